import { randomUUID } from 'node:crypto'
import { Redis } from 'ioredis'
import t from 'tap'
import { Scene, listAll } from '../../lib/store/conformance/scene.ts'
import { RedisStore } from '../../lib/store/redis/redis-store.ts'
import { redisUrl, removeKeys, uniquePrefix } from '../helpers/redis.ts'

async function start (t: { readonly name: string, teardown (end: () => unknown): unknown }) {
  const redis = new Redis(await redisUrl())
  const keyPrefix = uniquePrefix(t)
  t.teardown(async () => {
    await removeKeys(redis, keyPrefix)
    redis.disconnect()
  })
  return { redis, prefix: `{${keyPrefix}}:`, play: (run: (scene: Scene) => Promise<void>) => Scene.play(async ({ now }) => new RedisStore({ redis, keyPrefix, now }), run) }
}

t.test('a chart of another type is lost, not out of reach', async t => {
  const { redis, prefix, play } = await start(t)
  await play(async ({ store }) => {
    const chart_id = randomUUID()
    await redis.rpush(`${prefix}chart:${chart_id}`, 'x')
    t.equal(await store.readContent(chart_id), null)
    await store.close()
    await t.rejects(store.readContent(chart_id), { code: 'CHARTS_ERR_STORE_UNAVAILABLE' })
  })
})

t.test('what no worker has written is no worker', async t => {
  const { redis, prefix, play } = await start(t)
  await play(async scene => {
    const registration = { worker_id: 'own', host: 'host', pid: 1, version: '1.0.0', concurrency: 1, state: 'running' as const, started_at: scene.date }
    await scene.store.registerWorker(registration)
    for (const [name, text] of [['other', 'no JSON'], ['odd', `1 ${JSON.stringify({ ...registration, pid: 'one' })}`]] as const) {
      await redis.zadd(`${prefix}2:workers`, Date.parse(scene.date) + 60_000, name)
      await redis.set(`${prefix}2:worker:${name}`, text)
    }
    t.match((await scene.store.readWorkers(10)).workers, [{ worker_id: 'own' }])
  })
})

t.test('tasks of more times than are remembered have each their own', async t => {
  const { play } = await start(t)
  await play(async scene => {
    const created: string[] = []
    for (let i = 0; i < 1_100; i++) {
      scene.pass(1)
      created.unshift((await scene.enqueue()).created_at)
    }
    t.same((await listAll(scene, {}, 500)).map(task => task.created_at), created)
  })
})
