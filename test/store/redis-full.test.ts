import { Redis } from 'ioredis'
import { test } from 'tap'
import { completion, failing, idsOf, LEASE, leaseOf, Scene } from '../../lib/store/conformance/scene.ts'
import { RedisStore } from '../../lib/store/redis/redis-store.ts'
import { silentLogger } from '../../lib/silent-logger.ts'
import { redisServerPath, startRedis } from '../helpers/redis.ts'

const skip = await redisServerPath() === null && 'needs a Redis of its own'

test('a full Redis stops new work and never running work', { skip }, async t => {
  const server = await startRedis({ config: ['--maxmemory-policy', 'noeviction'] })
  const redis = new Redis(server.url)
  t.teardown(async () => {
    redis.disconnect()
    await server.stop()
  })
  await Scene.play(async () => new RedisStore({ redis, keyPrefix: 'full' }), async scene => {
    await scene.enqueueMany(6)
    const { tasks: [done, failed, released, cancelled, running] } = await scene.claim({ count: 5 })
    const waiting = (await scene.store.stats()).queue_length
    await redis.config('SET', 'maxmemory', '1mb')
    await t.rejects(redis.set('full', 'of it'), /OOM/)

    await t.rejects(scene.enqueue(), { code: 'CHARTS_ERR_STORE_UNAVAILABLE', statusCode: 503 })
    t.equal((await scene.store.stats()).queue_length, waiting, 'nothing was queued')
    t.same(await scene.store.extend([leaseOf(running!)], LEASE), ['ok'])
    const { finished } = await scene.complete(done!, JSON.stringify('x'.repeat(100_000)))
    t.equal(finished?.status, 'COMPLETED')
    t.equal((await scene.store.readContent(finished!.chart_id!))?.length, 100_002, 'the chart is there')
    t.equal((await scene.fail(failed!, { delay: 'never' })).finished?.status, 'FAILED')
    t.equal((await scene.release(released!)).current, true)
    t.equal((await scene.store.cancel(cancelled!.task.task_id))?.task.status, 'CANCELLED')
    t.equal((await scene.read(running!.task.task_id)).status, 'PROCESSING')
    t.equal(await scene.store.cleanup(), 0)

    await redis.config('SET', 'maxmemory', '0')
    await scene.enqueue()
    t.equal((await scene.complete(running!)).current, true)
  })
})

test('a full Redis settles what is settled with a claim, and hands out only what that claim was given before', { skip }, async t => {
  const server = await startRedis({ config: ['--maxmemory-policy', 'noeviction'] })
  const redis = new Redis(server.url)
  t.teardown(async () => {
    redis.disconnect()
    await server.stop()
  })
  await Scene.play(async () => new RedisStore({ redis, keyPrefix: 'full' }), async scene => {
    await scene.enqueueMany(6)
    const { tasks: [done, failed] } = await scene.claim({ count: 2 })
    const claim = scene.wish({ claim_id: 'before', count: 2 })
    const { claimed: given } = await scene.store.settleAttempts([], claim)
    t.equal(given.tasks.length, 2)
    await redis.config('SET', 'maxmemory', '1mb')

    const settlements = [completion(done!), failing(failed!, { delay: 60_000 })]
    const { settled, claimed: again } = await scene.store.settleAttempts(settlements, claim)
    t.match(settled, [{ current: true, finished: { status: 'COMPLETED' } }, { current: true, finished: null }])
    t.same(idsOf(again.tasks), idsOf(given.tasks), 'the reply to it may have been lost')

    const refused = await scene.store.settleAttempts(settlements, scene.wish({ count: 2 }))
    t.same(refused.settled.map(({ current }) => current), [true, true], 'harmless when repeated')
    t.same(refused.claimed.tasks, [])
    t.ok(refused.claimed.due! <= 1_000, 'it is worth asking again soon')
    t.match(await scene.store.stats(), { queue_length: 3, processing_count: 2 })

    await redis.config('SET', 'maxmemory', '0')
    t.equal((await scene.store.settleAttempts([], scene.wish({ count: 2 }))).claimed.tasks.length, 2)
  })
})

test('a Redis that may evict tasks is warned of at the start', { skip }, async t => {
  const server = await startRedis({ config: ['--maxmemory-policy', 'allkeys-lru'] })
  const redis = new Redis(server.url)
  const warnings: Array<{ details: object, message: string | undefined }> = []
  const logger = { ...silentLogger, warn: (details: object, message?: string) => { warnings.push({ details, message }) } }
  const store = new RedisStore({ redis, keyPrefix: 'evicting', logger })
  t.teardown(async () => {
    await store.close()
    redis.disconnect()
    await server.stop()
  })
  await store.ready(5_000)
  t.match(warnings, [{ details: { policy: 'allkeys-lru' }, message: /noeviction/ }])
  await redis.config('SET', 'maxmemory-policy', 'noeviction')
  await store.ready(5_000)
  t.equal(warnings.length, 1)
})
