import { randomUUID } from 'node:crypto'
import { Redis } from 'ioredis'
import t from 'tap'
import { Scene } from '../../lib/store/conformance/scene.ts'
import { RedisStore } from '../../lib/store/redis/redis-store.ts'
import { redisUrl, removeKeys, uniquePrefix } from '../helpers/redis.ts'

/** What version 0.1.0 of the package keeps of a waiting task and of a running one, in the names of its keys. */
async function writeFormat1 (redis: Redis, prefix: string): Promise<string[]> {
  const message_id = randomUUID()
  const [waiting, running] = [randomUUID(), randomUUID()]
  for (const [id, status] of [[waiting, 'PENDING'], [running, 'PROCESSING']] as const) {
    await redis.hset(`${prefix}task:${id}`, { format: 1, message: message_id, user: 'ada', tenant: 'user:ada', status, version: 1, created: Date.now(), lease: 0 })
    await redis.set(`${prefix}request:${id}`, JSON.stringify({ task_id: id, message_id, user_id: 'ada' }))
    await redis.zadd(`${prefix}active`, Date.now(), id)
    await redis.zadd(`${prefix}message_tasks:${message_id}:ada`, -Date.now(), id)
  }
  await redis.zadd(`${prefix}queue:normal`, 60, waiting)
  await redis.zadd(`${prefix}processing`, 1, running)
  await redis.hset(`${prefix}waiting`, { 'user:ada': 1, '': 1 })
  await redis.lpush(`${prefix}wake`, 1)
  return [message_id, waiting, running]
}

t.test('a version of the package with another format of records keeps its own queue beside this one', async t => {
  const redis = new Redis(await redisUrl())
  const keyPrefix = uniquePrefix(t)
  const prefix = `{${keyPrefix}}:`
  t.teardown(async () => {
    await removeKeys(redis, keyPrefix)
    redis.disconnect()
  })
  const [message_id, waiting, running] = await writeFormat1(redis, prefix) as [string, string, string]
  const snapshot = async () => Promise.all([redis.zrange(`${prefix}queue:normal`, '0', '-1'), redis.zrange(`${prefix}processing`, '0', '-1'), redis.hgetall(`${prefix}waiting`), redis.llen(`${prefix}wake`)])
  const before = await snapshot()
  await Scene.play(async ({ now }) => new RedisStore({ redis, keyPrefix, now }), async scene => {
    t.same(await scene.claimIds({ count: 10 }), [], 'it claims none of theirs')
    t.match(await scene.store.stats(), { queue_length: 0, processing_count: 0 }, 'nor counts them')
    t.same(await scene.store.read([waiting, running]), [null, null])
    const { task_id } = await scene.enqueue({ message_id })
    t.same((await scene.store.readActive({ message_id, user_id: 'ada', limit: 10 })).map(task => task.task_id), [task_id], 'in a message with tasks of both it finds its own')
    t.match(await scene.complete(await scene.claimOne()), { finished: { status: 'COMPLETED' } })
    t.match(await scene.store.readMessage({ message_id, user_id: 'ada', org_id: null, limit: 10 }), { active: [], completed: [{ task_id }] })
  })
  t.same(await snapshot(), before, 'theirs is as it was: their workers go on')
})

t.test('a message that is no state is no hint, and harms nobody', async t => {
  const redis = new Redis(await redisUrl())
  const keyPrefix = uniquePrefix(t)
  t.teardown(async () => {
    await removeKeys(redis, keyPrefix)
    redis.disconnect()
  })
  await Scene.play(async () => new RedisStore({ redis, keyPrefix }), async scene => {
    const hints: string[] = []
    const ended = new Promise<void>(resolve => {
      const hint = (_task_id: string, { status }: { status: string }) => {
        hints.push(status)
        if (status === 'CANCELLED') resolve()
      }
      scene.store.listen({ hint, cancelled () {}, added () {}, feed () {} })
    })
    await scene.store.ready(5_000)
    const { task_id } = await scene.enqueue()
    await scene.store.subscribe(task_id)
    for (const junk of ['', '{}', '["PENDING"]', '1 PENDING 0 queued 1', `1 PENDING 0 queued 1 ${' '.repeat(14)}{`]) await redis.publish(`{${keyPrefix}}:updates:${task_id}`, junk)
    await scene.claimOne()
    await scene.store.cancel(task_id)
    await ended
    t.same(hints, ['PROCESSING', 'CANCELLED'])
  })
})
