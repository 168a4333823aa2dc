import t from 'tap'
import { ChartQueueService, memoryStore, runWorker, type ChartTask, type RunWorkerOptions } from '../../lib/index.ts'
import { silentLogger } from '../../lib/silent-logger.ts'

const generate = new URL('../fixtures/generator-module.js', import.meta.url)
const ada = { user_id: 'ada' }

async function start (t: { teardown (end: () => Promise<void>): void }, options: Partial<RunWorkerOptions> = {}) {
  const store = memoryStore()
  const service = new ChartQueueService({ store, retry: { attempts: 2, backoff: { delay: 10 } } })
  const worker = await runWorker({ store, generate, handleSignals: false, concurrency: 2, shutdownTimeout: 100, logger: silentLogger, ...options })
  t.teardown(async () => {
    await worker.stop()
    await service.close()
  })
  const ask = async (adjustment_query: string) =>
    (await service.enqueueChartTask({ message_id: crypto.randomUUID(), adjustment_query }, ada)).task.task_id
  const until = async (task_id: string, met: (task: ChartTask) => boolean) => {
    for await (const task of service.watchTask(task_id)) if (met(task)) return task
    throw new Error('it has ended before')
  }
  const ended = (task_id: string) => until(task_id, task => task.completed_at !== null)
  const content = async (task_id: string) => (await service.getChart(await ended(task_id)))?.content
  return { service, worker, ask, until, ended, content }
}

t.test('a module behind a URL is called with what was asked', async t => {
  const { ask, content } = await start(t)
  const task_id = await ask('hello')
  t.match(await content(task_id), { request: { task_id, adjustment_query: 'hello', user_id: 'ada' }, dependencies: 0 })
})

t.test('computing without yielding for longer than the lease is not taken for a dead worker', async t => {
  const { ask, ended, content } = await start(t, { leaseDuration: 1_500 })
  const task_id = await ask('spin 4000')
  t.match(await ended(task_id), { status: 'COMPLETED', attempt: 1, step_progress: {} })
  t.equal(await content(task_id), 'spun')
})

t.test('a cancel ends a thread that never yields within a second, and its slot is free', async t => {
  const { service, ask, until, content } = await start(t, { concurrency: 1 })
  const task_id = await ask('spin 60000')
  await until(task_id, task => task.current_step === 'spinning')
  const next = await ask('next')
  const begin = performance.now()
  await service.cancelTask(task_id)
  await until(next, task => task.status === 'PROCESSING')
  t.ok(performance.now() - begin < 1_500, 'the slot is free when the thread has been ended')
  t.match(await content(next), { dependencies: 0 })
})

t.test('a deadline that is not answered ends the thread', async t => {
  const { ask, ended } = await start(t, { attemptTimeout: 200, concurrency: 1 })
  t.match(await ended(await ask('spin 60000')), { status: 'FAILED', error_code: 'CHARTS_ERR_ATTEMPT_TIMEOUT', attempt: 2 })
})

t.test('a signal that is answered ends the attempt, not the thread', async t => {
  const { service, ask, until, ended } = await start(t)
  const task_id = await ask('wait')
  await until(task_id, task => task.status === 'PROCESSING')
  await service.cancelTask(task_id)
  t.match(await ended(await ask('next')), { status: 'COMPLETED' })
})

t.test('errors are what they would be without a thread', async t => {
  const { ask, ended } = await start(t)
  t.match(await ended(await ask('refuse')), { status: 'FAILED', error_code: 'NO_ROWS', error_message: 'No rows', attempt: 1 })
  t.match(await ended(await ask('throw')), { error_code: 'CHARTS_ERR_GENERATION_FAILED', error_message: 'Chart generation failed', attempt: 2 })
  t.match(await ended(await ask('bad-step')), { error_code: 'NO_MODEL', error_message: 'No model', attempt: 1 })
})

t.test('steps are stored across attempts', async t => {
  const { ask, content } = await start(t)
  t.same(await content(await ask('step')), { pid: { by: 1 }, attempt: 2 })
})

t.test('a thread that takes too much memory fails its task and nothing else', async t => {
  const { ask, ended } = await start(t, { threadMemory: 128 })
  t.match(await ended(await ask('memory')), { status: 'FAILED', error_code: 'CHARTS_ERR_OUT_OF_MEMORY', attempt: 1 })
  t.match(await ended(await ask('next')), { status: 'COMPLETED' })
})

t.test('a stop ends what runs in threads', async t => {
  const { worker, service, ask, until } = await start(t)
  const task_id = await ask('spin 60000')
  await until(task_id, task => task.current_step === 'spinning')
  await worker.stop()
  t.match(await service.getTaskStatus(task_id), { status: 'PENDING', attempt: 0 })
})
