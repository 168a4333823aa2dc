import t from 'tap'
import { gate, until } from '../helpers/gate.ts'
import { startQueue } from '../helpers/queue.ts'
import { recordingLogger } from '../helpers/recording-logger.ts'
import { redisServerPath, startRedis } from '../helpers/redis.ts'

const skip = await redisServerPath() === null && 'needs a Redis of its own'

t.test('a worker with free slots stores its charts while Redis is full, and stops in order', { skip }, async t => {
  const server = await startRedis({ config: ['--maxmemory-policy', 'noeviction'] })
  t.teardown(() => server.stop())
  const queue = await startQueue(t, 'redis', { url: server.url })
  const logger = recordingLogger()
  const finish = new Map<string, () => void>()
  let runs = 0
  const worker = await queue.work(async ({ task_id }) => {
    runs++
    const { opened, open } = gate()
    finish.set(task_id, open)
    await opened
    return { paid: true }
  }, { concurrency: 3, leaseDuration: 2_000, shutdownTimeout: 60_000, logger })
  const [first, second] = await Promise.all([1, 2].map(async () => (await queue.enqueue()).task_id))
  await until(() => finish.size === 2)
  await queue.redis!.config('SET', 'maxmemory', '1mb')
  // The third slot looks for work now and then.
  await until(() => logger.said(/does not answer/).length > 0)

  finish.get(first!)!()
  t.match(await queue.ended(first!), { status: 'COMPLETED', attempt: 1 })
  const stopping = worker.stop()
  finish.get(second!)!()
  await stopping
  t.match(await queue.service.getTaskStatus(second!), { status: 'COMPLETED', attempt: 1 })
  t.same(logger.said(/not reachable/), [])

  await queue.redis!.config('SET', 'maxmemory', '0')
  await queue.work(async () => ++runs)
  await queue.run()
  t.equal(runs, 3, 'nothing was generated twice')
})

t.test('a full Redis starts nothing new, and keeps only the charts of what ran', { skip }, async t => {
  const server = await startRedis({ config: ['--maxmemory-policy', 'noeviction'] })
  t.teardown(() => server.stop())
  const queue = await startQueue(t, 'redis', { url: server.url })
  const usedMemory = async () => Number(/used_memory:(\d+)/.exec(await queue.redis!.info('memory'))![1])
  const CHART_BYTES = 200_000
  const [WORKERS, CONCURRENCY, TASKS] = [5, 2, 60]
  const chart = 'x'.repeat(CHART_BYTES)
  const finish = gate()
  const ran: string[] = []
  const logger = recordingLogger()
  for (let i = 0; i < WORKERS; i++) {
    await queue.work(async ({ task_id }, { progress }) => {
      ran.push(task_id)
      await finish.opened
      progress({ step: 'rendering', progress: 50 })
      return chart
    }, { concurrency: CONCURRENCY, logger })
  }
  const ids: string[] = []
  for (let i = 0; i < TASKS; i++) ids.push((await queue.enqueue()).task_id)
  await until(() => ran.length === WORKERS * CONCURRENCY)
  await queue.redis!.config('SET', 'maxmemory', '1mb')
  const before = await usedMemory()

  const running = [...ran]
  finish.open()
  for (const id of running) t.match(await queue.ended(id), { status: 'COMPLETED', attempt: 1 })
  await until(() => logger.said(/does not answer/).length === WORKERS)
  t.same(ran, running, 'nothing else was started')
  t.match(await queue.service.getQueueStats(), { queue_length: TASKS - running.length, processing_count: 0 })
  const grown = await usedMemory() - before
  t.comment(`${(grown / 1e6).toFixed(1)} MB for ${running.length} charts of ${CHART_BYTES / 1e6} MB`)
  t.ok(grown < 2 * running.length * CHART_BYTES, `${grown} bytes`)

  await queue.redis!.config('SET', 'maxmemory', '0')
  for (const id of ids) t.match(await queue.ended(id), { status: 'COMPLETED', attempt: 1 })
  t.equal(ran.length, TASKS, 'each ran once')
})
