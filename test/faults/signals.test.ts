import t from 'tap'
import { inTime } from '../helpers/gate.ts'
import { startQueue } from '../helpers/queue.ts'
import { startProxy } from '../helpers/proxy.ts'
import { redisUrl } from '../helpers/redis.ts'
import { startWorkerProcess } from '../helpers/worker-process.ts'

// They wait more than they work.
t.jobs = 3

/** ms: shorter than the time that a drain may take, and than a lease, but no measure of speed. */
const SOON = 15_000

for (const name of ['SIGTERM', 'SIGINT'] as const) {
  t.test(`${name} drains: what runs finishes, nothing new is taken, the process ends by itself`, { buffered: true }, async t => {
    const queue = await startQueue(t, 'redis')
    const worker = await startWorkerProcess(t, { url: await redisUrl(), keyPrefix: queue.keyPrefix, concurrency: 2 })
    t.equal((await worker.next('ready')).listeners, 1)
    const { task_id } = await queue.enqueue({ adjustment_query: 'hold' })
    await worker.next('started')
    worker.signal(name)
    await worker.next('draining')
    const next = await queue.enqueue({ adjustment_query: 'after 1' })
    await new Promise(resolve => setTimeout(resolve, 300))
    t.ok(worker.running, 'it waits for what runs')
    worker.send({ command: 'finish', task_id })
    t.equal(await inTime(worker.exited, SOON, 'it ends'), 0)
    t.match(await queue.service.getTaskStatus(task_id), { status: 'COMPLETED', attempt: 1 })
    t.match(await queue.service.getTaskStatus(next.task_id), { status: 'PENDING', attempt: 0 })
    t.equal(worker.all('done').length, 1)
  })
}

t.test('SIGTERM hands back what does not finish in time, to another at once', { buffered: true }, async t => {
  const queue = await startQueue(t, 'redis')
  const options = { url: await redisUrl(), keyPrefix: queue.keyPrefix, leaseDuration: 30_000, concurrency: 2 }
  const worker = await startWorkerProcess(t, { ...options, shutdownTimeout: 500 })
  const ids = [(await queue.enqueue({ adjustment_query: 'hold' })).task_id, (await queue.enqueue({ adjustment_query: 'deaf' })).task_id]
  await Promise.all(ids.map(id => worker.next('started', ({ task_id }) => task_id === id)))
  const other = await startWorkerProcess(t, options)
  worker.signal('SIGTERM')
  const starts = await inTime(Promise.all(ids.map(id => other.next('started', ({ task_id }) => task_id === id))), SOON, 'another runs them')
  t.same(starts.map(({ attempt }) => attempt), [1, 1], 'at no cost')
  t.equal(await inTime(worker.exited, SOON, 'it ends'), 0)
  t.equal(worker.all('overdue').length, 0, 'at most 2 s after shutdownTimeout')
  t.same(worker.all('aborted').map(({ code }) => code), ['SHUTDOWN', 'SHUTDOWN'])
  for (const task_id of ids) other.send({ command: 'finish', task_id })
  for (const id of ids) t.match(await queue.ended(id), { status: 'COMPLETED', attempt: 1 })
})

t.test('a second SIGTERM ends the process as a signal does', { buffered: true }, async t => {
  const queue = await startQueue(t, 'redis')
  const worker = await startWorkerProcess(t, { url: await redisUrl(), keyPrefix: queue.keyPrefix, leaseDuration: 1_000 })
  const { task_id } = await queue.enqueue({ adjustment_query: 'hold' })
  await worker.next('started')
  worker.signal('SIGTERM')
  await worker.next('draining')
  worker.signal('SIGTERM')
  t.equal(await inTime(worker.exited, SOON, 'it ends'), 'SIGTERM')
  await queue.work(async () => 'chart', { leaseDuration: 1_000 })
  t.match(await inTime(queue.ended(task_id), SOON, 'the task runs again'), { status: 'COMPLETED', attempt: 2 })
})

t.test('an idle worker ends at once on SIGTERM', { buffered: true }, async t => {
  const queue = await startQueue(t, 'redis')
  const worker = await startWorkerProcess(t, { url: await redisUrl(), keyPrefix: queue.keyPrefix })
  worker.signal('SIGTERM')
  t.equal(await inTime(worker.exited, SOON, 'it ends'), 0)
})

t.test('handleSignals: false leaves the process to its host', { buffered: true }, async t => {
  const queue = await startQueue(t, 'redis')
  const worker = await startWorkerProcess(t, { url: await redisUrl(), keyPrefix: queue.keyPrefix, handleSignals: false })
  t.equal((await worker.next('ready')).listeners, 0)
  worker.signal('SIGTERM')
  t.equal(await inTime(worker.exited, SOON, 'it ends'), 'SIGTERM')
  t.equal(worker.all('done').length, 0)
})

for (const fault of ['cut', 'stall', 'stallReplies'] as const) {
  t.test(`SIGTERM keeps its time while Redis is not reachable: ${fault}`, { buffered: true }, async t => {
    const proxy = await startProxy(await redisUrl())
    t.teardown(() => proxy.stop())
    const queue = await startQueue(t, 'redis')
    const worker = await startWorkerProcess(t, { url: proxy.url, keyPrefix: queue.keyPrefix, shutdownTimeout: 500, leaseDuration: 5_000 })
    await queue.enqueue({ adjustment_query: 'hold' })
    await worker.next('started')
    await proxy[fault]()
    worker.signal('SIGTERM')
    await worker.next('done')
    t.equal(worker.all('overdue').length, 0, 'at most 2 s after shutdownTimeout')
    t.equal(await inTime(worker.exited, SOON, 'it ends'), 0)
  })
}
