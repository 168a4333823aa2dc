import { randomInt } from 'node:crypto'
import { Redis } from 'ioredis'
import * as fc from 'fast-check'
import t from 'tap'
import { memoryStore } from '../../lib/store/memory.ts'
import { RedisStore } from '../../lib/store/redis/redis-store.ts'
import { redisUrl, removeKeys, uniquePrefix } from '../helpers/redis.ts'
import { sequences, type Command } from './commands.ts'
import { shortest } from './shortest.ts'
import { SideBySide } from './side-by-side.ts'

const seed = Number(process.env['PROPERTY_SEED'] ?? randomInt(2 ** 31))
const numRuns = Number(process.env['PROPERTY_RUNS'] ?? 40)

t.test(`Redis does what the memory store does, whatever is asked of both (PROPERTY_SEED=${seed})`, async t => {
  const redis = new Redis(await redisUrl())
  t.teardown(() => redis.disconnect())
  const play = async (commands: readonly Command[]) => {
    const keyPrefix = uniquePrefix(t)
    try {
      await SideBySide.play(now => [memoryStore({ now }), new RedisStore({ redis, keyPrefix, now })], commands)
    } finally {
      await removeKeys(redis, keyPrefix)
    }
  }

  // A sequence is cut short by leaving out commands, which is much faster than what fast-check tries with each of them.
  const { counterexample } = await fc.check(fc.asyncProperty(sequences(120), play), { seed, numRuns, endOnFailure: true })
  if (!counterexample) return
  const commands = await shortest(counterexample[0], rest => play(rest).then(() => false, () => true))
  t.comment(`PROPERTY_SEED=${seed} ends in a difference after\n${commands.map(command => JSON.stringify(command)).join('\n')}`)
  await play(commands)
  t.fail('the difference has gone: a test that is not the same each time')
})
