import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { Redis } from 'ioredis'
import t from 'tap'
import { DAY, Scene, type OpenStore } from '../../lib/store/conformance/scene.ts'
import { memoryStore } from '../../lib/store/memory.ts'
import { RedisStore } from '../../lib/store/redis/redis-store.ts'
import { seeded } from '../helpers/random.ts'
import { redisUrl, removeKeys, uniquePrefix } from '../helpers/redis.ts'
import { Workload } from './workload.ts'

const seed = Number(process.env['PROPERTY_SEED'] ?? randomInt(2 ** 31))
const runs = Number(process.env['PROPERTY_RUNS'] ?? 10)
const STEPS = 300

/** Plays a random workload. `drained`, `expired`: called when all tasks have ended, and after their retention, to check what the store keeps. */
async function play (open: OpenStore, seed: number, drained = async () => {}, expired = async () => {}): Promise<void> {
  await Scene.play(open, async scene => {
    const { store } = scene
    const workload = new Workload(scene, seeded(seed))
    const { invariants } = workload
    try {
      await store.ready(5_000)
      for (let i = 0; i < STEPS; i++) await workload.step()
      await workload.drain()
      await invariants.checkEnd()
      const { queue_length, processing_count, delayed_count, oldest_waiting_at } = await store.stats()
      assert.deepEqual([queue_length, processing_count, delayed_count, oldest_waiting_at], [0, 0, 0, null])
      await drained()
      scene.pass(DAY)
      const { ids } = invariants
      assert.deepEqual(await store.read(ids), ids.map(() => null))
      assert.equal(await store.cleanup(), ids.length)
      await expired()
    } finally {
      invariants.stop()
    }
  })
}

const forEachSeed = async (test: (seed: number) => Promise<void>) => {
  for (let run = 0; run < runs; run++) await test(seed + run)
}

t.test(`in memory, the invariants hold under a random workload (PROPERTY_SEED=${seed})`, async t => {
  await t.resolves(forEachSeed(seed => play(async ({ now }) => memoryStore({ now }), seed)))
})

t.test(`on Redis, the invariants hold under a random workload (PROPERTY_SEED=${seed})`, async t => {
  const redis = new Redis(await redisUrl())
  t.teardown(() => redis.disconnect())

  await t.resolves(forEachSeed(async seed => {
    const keyPrefix = uniquePrefix(t)
    const keys = async () => (await redis.keys(`{${keyPrefix}}:*`)).map(key => key.slice(keyPrefix.length + 3).replace(/^2:/, ''))
    const kinds = async () => [...new Set((await keys()).map(key => key.split(':')[0]!))].sort()
    try {
      await play(async ({ now }) => new RedisStore({ redis, keyPrefix, now }), seed, async () => {
        const kept = ['attempts', 'batch', 'chart', 'claim', 'finished', 'idempotency', 'message_charts', 'message_tasks', 'request', 'task', 'unrun', 'work_signal']
        assert.deepEqual((await kinds()).filter(kind => !kept.includes(kind)), [], 'no key of unfinished tasks is left')
      }, async () => {
        assert.deepEqual((await kinds()).filter(kind => ['attempts', 'chart', 'finished', 'request', 'states', 'task'].includes(kind)), [], 'no key of the tasks is left')
        // The other keys expire by the clock of Redis.
        for (const key of await redis.keys(`{${keyPrefix}}:*`)) assert.ok(await redis.pttl(key) > 0, `${key} expires`)
      })
    } finally {
      await removeKeys(redis, keyPrefix)
    }
  }))
})
