import { randomUUID } from 'node:crypto'
import { Redis } from 'ioredis'
import t from 'tap'
import { Scene } from '../../lib/store/conformance/scene.ts'
import { RedisStore } from '../../lib/store/redis/redis-store.ts'
import { redisUrl, removeKeys, uniquePrefix } from '../helpers/redis.ts'

/** What a version of the package leaves behind that knows neither deadlines nor the list of unfinished tasks. */
t.test('beside a version of the package that is older', async t => {
  const redis = new Redis(await redisUrl())
  const keyPrefix = uniquePrefix(t)
  const key = (name: string) => `{${keyPrefix}}:${name}`
  t.teardown(async () => {
    await removeKeys(redis, keyPrefix)
    redis.disconnect()
  })
  await Scene.play(async ({ now }) => new RedisStore({ redis, keyPrefix, now }), async scene => {
    const overdue = async (task_id: string) => redis.zadd(key('deadlines'), Date.parse(scene.date) - 1, task_id)
    const completed = await scene.completed()
    const cancelled = await scene.cancelled()
    const released = await scene.taken()
    await scene.release(released)
    const running = await scene.take()
    const waiting = await scene.enqueue()
    for (const { task_id } of [completed, cancelled, running.task, { task_id: randomUUID() }]) await overdue(task_id)
    const before = await scene.store.read([completed, cancelled, running.task, waiting].map(({ task_id }) => task_id))

    await t.test('a deadline that was left ends nothing that has been taken or has ended', async t => {
      const { lost } = await scene.dequeue({ count: 0 })
      t.same(lost, [])
      t.same(await scene.store.read(before.map(task => task!.task_id)), before)
      t.equal(await redis.exists(key('deadlines')), 0)
      t.match(await scene.store.stats(), { queue_length: 1, processing_count: 1 })
    })

    await t.test('what it has ended is listed once, and no longer taken for unfinished', async t => {
      for (const id of [completed.task_id, cancelled.task_id, randomUUID()]) await redis.zadd(key('active'), '1', id)
      const { tasks } = await scene.store.list({}, 100, null)
      const ids = tasks.map(({ task_id }) => task_id)
      t.equal(new Set(ids).size, ids.length)
      t.equal(ids.length, 4)
      await scene.store.cleanup()
      t.same((await redis.zrange(key('active'), '0', '-1')).sort(), [running.task.task_id, waiting.task_id].sort())
    })

    await t.test('a task whose records lack what is new is shown, and has no estimate', async t => {
      const { task: { task_id } } = running
      await redis.hdel(key(`task:${task_id}`), 'at', 'from', 'moved', 'trace', 'worker')
      t.match(await scene.read(task_id), { status: 'PROCESSING', step_at: null, progress_at: null, step_from: 0 })
      await scene.store.progress([{ task_id, lease: running.lease, progress: 10, step: 'rendering', step_progress: {} }])
      t.match(await scene.read(task_id), { current_step: 'rendering', progress: 10 })
      t.match((await scene.store.inspect(task_id))?.attempts, [{ lease: 1, outcome: 'released' }])
      t.same((await scene.store.outlook()).completed.length, 1)
      await scene.fail(running, { delay: 0 })
      t.match(await scene.read(task_id), { status: 'PENDING', current_step: 'retrying' })
    })
  })
})

/** An older version does not count what is scheduled, neither when it comes nor when it goes. */
t.test('beside a version of the package that does not count what is scheduled', async t => {
  const redis = new Redis(await redisUrl())
  const keyPrefix = uniquePrefix(t)
  const scheduled = `{${keyPrefix}}:scheduled`
  t.teardown(async () => {
    await removeKeys(redis, keyPrefix)
    redis.disconnect()
  })
  await Scene.play(async ({ now }) => new RedisStore({ redis, keyPrefix, now }), async scene => {
    const limits = { waitingPerTenant: 2, scheduledPerTenant: 2, queueLength: 2 }
    const outcome = async (wish: object) => (await scene.store.enqueue(scene.draft({ ...limits, ...wish }))).outcome
    const run_at = Date.parse(scene.date) + 1_000

    await t.test('what it has put aside is subtracted from nobody', async t => {
      await scene.enqueue({ ...limits, run_at })
      await redis.del(scheduled)
      await scene.enqueue({ ...limits, run_at: run_at + 60_000, user_id: 'bob' })
      scene.pass(1_000)
      t.equal((await scene.takeIds({ count: 1 })).length, 1)
      t.same(await redis.hgetall(scheduled), { 'user:bob': '1', '': '1' })
    })

    await t.test('what it has taken is counted for no more than the tenant has waiting, and forgotten once nothing waits', async t => {
      await redis.hset(scheduled, 'user:ada', 50, '', 51)
      t.equal(await outcome({ run_at: run_at + 60_000 }), 'queued')
      t.equal(await outcome({}), 'queued')
      for (const task of (await scene.store.list({ status: 'PENDING' }, 100, null)).tasks) await scene.store.cancel(task.task_id)
      t.equal(await redis.exists(scheduled), 0)
    })
  })
})
