import { randomInt } from 'node:crypto'
import { Redis } from 'ioredis'
import * as fc from 'fast-check'
import t from 'tap'
import { memoryStore } from '../../lib/store/memory.ts'
import { RedisStore } from '../../lib/store/redis/redis-store.ts'
import { redisUrl, removeKeys, uniquePrefix } from '../helpers/redis.ts'
import { sequences, type Command } from './commands.ts'
import { shrink } from './shrink.ts'
import { SideBySide } from './side-by-side.ts'

const seed = Number(process.env['PROPERTY_SEED'] ?? randomInt(2 ** 31))
const numRuns = Number(process.env['PROPERTY_RUNS'] ?? 40)

t.test(`Redis and the memory store answer random commands equally (PROPERTY_SEED=${seed})`, async t => {
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

  // Not shrunk by fast-check, which also simplifies each command: to leave out commands is much faster.
  const { counterexample } = await fc.check(fc.asyncProperty(sequences(120), play), { seed, numRuns, endOnFailure: true })
  if (!counterexample) return
  const commands = await shrink(counterexample[0], rest => play(rest).then(() => false, () => true))
  t.comment(`PROPERTY_SEED=${seed}: the stores differ after\n${commands.map(command => JSON.stringify(command)).join('\n')}`)
  await play(commands)
  t.fail('the difference did not occur again: the test is not deterministic')
})
