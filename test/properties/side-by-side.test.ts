import { randomInt } from 'node:crypto'
import { Redis } from 'ioredis'
import * as fc from 'fast-check'
import t from 'tap'
import { redisUrl, removeKeys, uniquePrefix } from '../helpers/redis.ts'
import { sequences } from './commands.ts'
import { SideBySide } from './side-by-side.ts'

const seed = Number(process.env['PROPERTY_SEED'] ?? randomInt(2 ** 31))
const numRuns = Number(process.env['PROPERTY_RUNS'] ?? 40)

t.test(`Redis does what the memory store does, whatever is asked of both (PROPERTY_SEED=${seed})`, { timeout: 600_000 }, async t => {
  const redis = new Redis(await redisUrl())
  t.teardown(() => redis.disconnect())
  let played = 0

  const { failed, counterexample, errorInstance } = await fc.check(fc.asyncProperty(sequences(120), async commands => {
    const keyPrefix = uniquePrefix(t)
    played += commands.length
    try {
      await SideBySide.play(redis, keyPrefix, commands)
    } finally {
      await removeKeys(redis, keyPrefix)
    }
  }), { seed, numRuns, interruptAfterTimeLimit: 300_000 })
  for (const command of counterexample?.[0] ?? []) t.comment(JSON.stringify(command))
  if (failed) throw errorInstance
  t.comment(`${played} commands`)
})
