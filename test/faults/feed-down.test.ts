import t from 'tap'
import { Redis } from 'ioredis'
import { gate, inTime, until } from '../helpers/gate.ts'
import { connections, startQueue, type Queue } from '../helpers/queue.ts'
import { redisServerPath, startRedis } from '../helpers/redis.ts'

const skip = await redisServerPath() === null && 'needs a Redis of its own'

/** A generator that runs until it is aborted, with the default lease: the next extension is more than three seconds away. */
async function runUntilAborted (queue: Queue, redis?: Redis) {
  const started = gate()
  const aborted = gate<string>()
  await queue.work(async (_request, { signal }) => {
    signal.addEventListener('abort', () => aborted.open(signal.reason.code))
    started.open()
    await aborted.opened
    throw signal.reason
  }, redis ? { redis } : {})
  const { task_id } = await queue.enqueue()
  await started.opened
  return { task_id, aborted: aborted.opened }
}

t.test('a cancel that falls into a gap of the subscriber connection reaches the generator within a second', { skip }, async t => {
  const server = await startRedis()
  t.teardown(() => server.stop())
  const queue = await startQueue(t, 'redis', { url: server.url })
  const { task_id, aborted } = await runUntilAborted(queue)
  const subscribers = await connections(queue.redis!, 'subscriber')
  // In one go: nobody is subscribed again when the cancel is announced.
  const killing = Promise.all(subscribers.map(id => queue.redis!.client('KILL', 'ID', id)))
  const cancelling = queue.service.cancelTask(task_id)
  await killing
  t.match(await cancelling, { status: 'CANCELLED' })
  t.equal(await inTime(aborted, 1_000, 'the generator is aborted'), 'CANCELLED')
})

t.test('a cancel reaches the generator within a second while the subscriber stays away', { skip }, async t => {
  const server = await startRedis()
  t.teardown(() => server.stop())
  const queue = await startQueue(t, 'redis', { url: server.url })
  const allow = (rule: string) => queue.redis!.call('ACL', 'SETUSER', 'worker', 'on', 'nopass', '~*', '+@all', rule)
  await allow('allchannels')
  const redis = new Redis(server.url, { username: 'worker', password: 'any' })
  t.teardown(() => redis.disconnect())
  const { task_id, aborted } = await runUntilAborted(queue, redis)
  const before = (await connections(queue.redis!, 'subscriber')).length
  // Ends the subscriptions that it no longer allows, and refuses new ones.
  await allow('resetchannels')
  await until(async () => (await queue.redis!.pubsub('NUMSUB', `{${queue.keyPrefix}}:cancelled`))[1] === before - 1)
  await queue.service.cancelTask(task_id)
  t.equal(await inTime(aborted, 1_000, 'the generator is aborted'), 'CANCELLED')

  const connected = async () => Number(/total_connections_received:(\d+)/.exec(await queue.redis!.info('stats'))![1])
  const known = await connected()
  await new Promise(resolve => setTimeout(resolve, 500))
  t.ok(await connected() - known <= 1, 'it does not connect again and again')
  await allow('allchannels')
  await until(async () => (await queue.redis!.pubsub('NUMSUB', `{${queue.keyPrefix}}:cancelled`))[1] === before)
})
