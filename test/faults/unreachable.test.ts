import t from 'tap'
import { setTimeout as delay } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { RedisStore } from '../../lib/store/redis/redis-store.ts'
import { gate, inTime, until } from '../helpers/gate.ts'
import { startProxy } from '../helpers/proxy.ts'
import { connections, startQueue } from '../helpers/queue.ts'
import { redisServerPath, redisUrl, startRedis, uniquePrefix } from '../helpers/redis.ts'
import { startWorkerProcess } from '../helpers/worker-process.ts'

// They wait more than they work.
t.jobs = 4

const LEASE = 2_000

for (const fault of ['cut', 'stall', 'stallReplies'] as const) {
  t.test(`a worker that cannot reach Redis aborts before another starts: ${fault}`, { buffered: true }, async t => {
    const proxy = await startProxy(await redisUrl())
    t.teardown(() => proxy.stop())
    const queue = await startQueue(t, 'redis')
    const options = { keyPrefix: queue.keyPrefix, leaseDuration: LEASE, concurrency: 3 }
    const lonely = await startWorkerProcess(t, { ...options, url: proxy.url })
    const ids = await Promise.all([1, 2, 3].map(async () => (await queue.enqueue({ adjustment_query: 'hold' })).task_id))
    await Promise.all(ids.map(id => lonely.next('started', ({ task_id }) => task_id === id)))
    const other = await startWorkerProcess(t, { ...options, url: await redisUrl() })
    // Once the leases have been extended: what counts is when the last extension was sent.
    await delay(LEASE)
    t.same(lonely.all('aborted'), [])
    await proxy[fault]()
    // A request that still gets through extends a lease whose holder does not learn of it.
    const unheard = fault === 'stallReplies' ? LEASE : 0
    await inTime(Promise.all(ids.map(id => other.next('started', ({ task_id }) => task_id === id))), LEASE + 1_000 + unheard, 'another runs them')
    for (const id of ids) {
      const aborted = await lonely.next('aborted', ({ task_id }) => task_id === id)
      const started = await other.next('started', ({ task_id }) => task_id === id)
      t.equal(aborted.code, 'LEASE_LOST')
      t.ok(aborted.at < started.at, `aborted ${(started.at - aborted.at).toFixed(0)} ms before the next start`)
      t.equal(started.attempt, 2)
    }
    await proxy.restore()
    for (const task_id of ids) other.send({ command: 'finish', task_id })
    for (const id of ids) t.match(await queue.ended(id), { status: 'COMPLETED', attempt: 2 })
    await other.kill()
    const next = await queue.enqueue({ adjustment_query: 'after 1' })
    t.match(await inTime(queue.ended(next.task_id), 15_000, 'the lonely one works on'), { status: 'COMPLETED', attempt: 1 })
  })

  t.test(`a blip shorter than the lease loses nothing: ${fault}`, { buffered: true }, async t => {
    const proxy = await startProxy(await redisUrl())
    t.teardown(() => proxy.stop())
    const queue = await startQueue(t, 'redis')
    const worker = await startWorkerProcess(t, { url: proxy.url, keyPrefix: queue.keyPrefix, leaseDuration: 5_000, concurrency: 2 })
    const ids = await Promise.all([1, 2].map(async () => (await queue.enqueue({ adjustment_query: 'hold' })).task_id))
    await Promise.all(ids.map(id => worker.next('started', ({ task_id }) => task_id === id)))
    for (let i = 0; i < 3; i++) {
      await proxy[fault]()
      await delay(600)
      await proxy.restore()
      await delay(1_500)
    }
    for (const task_id of ids) worker.send({ command: 'finish', task_id })
    for (const id of ids) t.match(await queue.ended(id), { status: 'COMPLETED', attempt: 1 })
    t.same(worker.all('aborted'), [])
    t.equal(worker.all('started').length, 2)
  })

  t.test(`a chart that was finished meanwhile is delivered when Redis is back: ${fault}`, { buffered: true }, async t => {
    const proxy = await startProxy(await redisUrl())
    t.teardown(() => proxy.stop())
    const queue = await startQueue(t, 'redis')
    const worker = await startWorkerProcess(t, { url: proxy.url, keyPrefix: queue.keyPrefix, leaseDuration: LEASE })
    const { task_id } = await queue.enqueue({ adjustment_query: 'hold' })
    await worker.next('started')
    await proxy[fault]()
    worker.send({ command: 'finish', task_id })
    // Far beyond the lease, which nobody collects.
    await delay(LEASE * 2)
    await proxy.restore()
    t.match(await inTime(queue.ended(task_id), 10_000, 'it is delivered'), { status: 'COMPLETED', attempt: 1 })
    t.equal(worker.all('started').length, 1)
    t.equal((await queue.redis!.keys(`{${queue.keyPrefix}}:chart:*`)).length, 1)
  })

  t.test(`tasks that are taken while the network fails run once, at no cost: ${fault}`, { buffered: true }, async t => {
    const proxy = await startProxy(await redisUrl())
    t.teardown(() => proxy.stop())
    const queue = await startQueue(t, 'redis')
    const worker = await startWorkerProcess(t, { url: proxy.url, keyPrefix: queue.keyPrefix, leaseDuration: 20_000, concurrency: 2 })
    const ids: string[] = []
    for (let i = 0; i < 5; i++) {
      const { task_id } = await queue.enqueue({ adjustment_query: 'after 150' })
      ids.push(task_id)
      await delay(40 * i)
      await proxy[fault]()
      await delay(300)
      await proxy.restore()
    }
    for (const id of ids) t.match(await queue.ended(id), { status: 'COMPLETED', attempt: 1 })
    t.equal(worker.all('started').length, ids.length)
  })
}

t.test('a cancel that could not be heard reaches the generator at the next extension', { buffered: true, skip: await redisServerPath() === null && 'needs a Redis of its own' }, async t => {
  const server = await startRedis()
  t.teardown(() => server.stop())
  const queue = await startQueue(t, 'redis', { url: server.url })
  const started = gate()
  const aborted = gate<string>()
  const lease = 3_000
  await queue.work(async (_request, { signal }) => {
    signal.addEventListener('abort', () => aborted.open(signal.reason.code))
    started.open()
    await aborted.opened
    throw signal.reason
  }, { leaseDuration: lease })
  const { task_id } = await queue.enqueue()
  await started.opened
  const subscribers = await connections(queue.redis!, 'subscriber')
  t.equal(subscribers.length, 2)
  // In one go: nobody is subscribed again when the cancel is announced.
  const killing = Promise.all(subscribers.map(id => queue.redis!.client('KILL', 'ID', id)))
  const cancelling = queue.service.cancelTask(task_id)
  await killing
  t.match(await cancelling, { status: 'CANCELLED' })
  t.equal(await inTime(aborted.opened, lease / 3 + 1_000, 'the generator is aborted'), 'CANCELLED')
})

t.test('a worker that starts before its Redis works when it comes', { buffered: true }, async t => {
  const proxy = await startProxy(await redisUrl())
  t.teardown(() => proxy.stop())
  await proxy.cut()
  const queue = await startQueue(t, 'redis')
  const worker = await startWorkerProcess(t, { url: proxy.url, keyPrefix: queue.keyPrefix })
  const { task_id } = await queue.enqueue({ adjustment_query: 'after 1' })
  await proxy.restore()
  await until(() => worker.all('started').length > 0)
  t.match(await queue.ended(task_id), { status: 'COMPLETED', attempt: 1 })
})

t.test('a Redis that has fallen silent is no feed, until it speaks again', { buffered: true }, async t => {
  const proxy = await startProxy(await redisUrl())
  t.teardown(() => proxy.stop())
  const redis = new Redis(proxy.url)
  const store = new RedisStore({ redis, keyPrefix: uniquePrefix(t) })
  const feed: boolean[] = []
  const off = store.listen({ hint () {}, cancelled () {}, added () {}, feed: up => feed.push(up) })
  t.teardown(async () => {
    off()
    await store.close()
    redis.disconnect()
  })
  await until(() => feed.length === 1)
  await proxy.stall()
  await until(() => feed.length === 2)
  t.strictSame(await store.checkHealth(), { store: false, feed: false, writable: false })
  await proxy.restore()
  await until(() => feed.length === 3)
  t.strictSame(feed, [true, false, true])
})
