import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { Redis } from 'ioredis'
import t from 'tap'
import { DAY, Scene, type OpenStore } from '../../lib/store/conformance/scene.ts'
import { memoryStore } from '../../lib/store/memory.ts'
import { RedisStore } from '../../lib/store/redis/redis-store.ts'
import { seeded } from '../helpers/random.ts'
import { redisUrl, removeKeys, uniquePrefix } from '../helpers/redis.ts'
import { Crowd } from './crowd.ts'

const seed = Number(process.env['PROPERTY_SEED'] ?? randomInt(2 ** 31))
const runs = Number(process.env['PROPERTY_RUNS'] ?? 10)
const STEPS = 300

/** `drained` and `passed` look behind the store: once all work is done, and once its retention has passed. */
async function live (open: OpenStore, seed: number, drained = async () => {}, passed = async () => {}): Promise<void> {
  await Scene.play(open, async scene => {
    const { store } = scene
    const crowd = new Crowd(scene, seeded(seed))
    try {
      await store.ready(5_000)
      for (let i = 0; i < STEPS; i++) await crowd.step()
      await crowd.drain()
      await crowd.witness.testify()
      const { queue_length, processing_count, delayed_count, oldest_waiting_at } = await store.stats()
      assert.deepEqual([queue_length, processing_count, delayed_count, oldest_waiting_at], [0, 0, 0, null])
      await drained()
      scene.pass(DAY)
      const { ids } = crowd.witness
      assert.deepEqual(await store.read(ids), ids.map(() => null))
      assert.equal(await store.cleanup(), ids.length)
      await passed()
    } finally {
      crowd.witness.leave()
    }
  })
}

const each = async (play: (seed: number) => Promise<void>) => {
  for (let run = 0; run < runs; run++) await play(seed + run)
}

t.test(`in memory, the promises hold whatever a crowd does (PROPERTY_SEED=${seed})`, async t => {
  await t.resolves(each(seed => live(async ({ now }) => memoryStore({ now }), seed)))
})

t.test(`on Redis, the promises hold whatever a crowd does (PROPERTY_SEED=${seed})`, async t => {
  const redis = new Redis(await redisUrl())
  t.teardown(() => redis.disconnect())

  await t.resolves(each(async seed => {
    const keyPrefix = uniquePrefix(t)
    const left = async () => (await redis.keys(`{${keyPrefix}}:*`)).map(key => key.slice(keyPrefix.length + 3).replace(/^2:/, ''))
    const kinds = async () => [...new Set((await left()).map(key => key.split(':')[0]!))].sort()
    try {
      await live(async ({ now }) => new RedisStore({ redis, keyPrefix, now }), seed, async () => {
        const kept = ['attempts', 'batch', 'chart', 'claim', 'finished', 'idempotency', 'message_charts', 'message_tasks', 'request', 'task', 'unrun', 'work_signal']
        assert.deepEqual((await kinds()).filter(kind => !kept.includes(kind)), [], 'nothing of the work is left')
      }, async () => {
        assert.deepEqual((await kinds()).filter(kind => ['attempts', 'chart', 'finished', 'request', 'states', 'task'].includes(kind)), [], 'nothing of the tasks is left')
        // What else there is goes by itself, by the clock of Redis.
        for (const key of await redis.keys(`{${keyPrefix}}:*`)) assert.ok(await redis.pttl(key) > 0, `${key} expires`)
      })
    } finally {
      await removeKeys(redis, keyPrefix)
    }
  }))
})
