import t from 'tap'
import type { Chart, ChartStore, GenerateChart } from '../../lib/index.ts'
import { messageCharts } from '../../lib/service/collected-answers.ts'
import { createQueue } from '../../lib/service/queue.ts'
import { Consumer } from '../../lib/worker/consumer.ts'
import { hostStore, type HostStore } from '../helpers/chart-store.ts'
import { gate, inTime, until } from '../helpers/gate.ts'
import { startQueue, stores, type Queue } from '../helpers/queue.ts'
import { recordingLogger } from '../helpers/recording-logger.ts'
import { spyOnStore } from '../helpers/spy-store.ts'

const TIMEOUTS = { call: 50, save: 200 }

interface WorkOptions {
  readonly chartStore: ChartStore
  readonly generate: GenerateChart
  readonly attemptTimeout?: number
  readonly save?: number
  readonly checkpointBytes?: number
}

interface Test { teardown (end: () => unknown): unknown }

/** A worker whose timeouts for the host's store are short. */
function work (t: Test, queue: Queue, { chartStore, generate, attemptTimeout = 60_000, save = TIMEOUTS.save, checkpointBytes = 2 ** 20 }: WorkOptions) {
  const spy = spyOnStore(queue)
  const logger = recordingLogger()
  const parts = createQueue({
    store: spy.store,
    keyPrefix: queue.keyPrefix,
    chartStore,
    logger,
    chartStoreTimeouts: { ...TIMEOUTS, save },
    leaseDuration: 10_000,
    pollInterval: 2_000,
    retention: { task: 86_400, status: 3_600, messageIndex: 86_400 },
    retry: { attempts: 3, backoff: { type: 'fixed', delay: 0, max: 0, jitter: 0 } },
    limits: { waitingPerTenant: 0, runningPerTenant: 0, scheduledPerTenant: 0, queueLength: 0, queueTimeout: 0, requestBytes: 0, chartBytes: 0, checkpointBytes }
  })
  const consumer = new Consumer({ queue: parts, generate, concurrency: 1, leaseDuration: 10_000, attemptTimeout, shutdownTimeout: 0, logger })
  t.teardown(async () => {
    await consumer.stop()
    await parts.close()
  })
  return { parts, consumer, logger, spy }
}

const counting = () => {
  let runs = 0
  const generate: GenerateChart = async () => ({ made: ++runs })
  return { generate, runs: () => runs }
}
const saysNo = () => { throw new Error('the database is read-only') }
const saysNothing = () => new Promise(() => {})
const contents = (charts: HostStore) => [...charts.charts.values()].map(({ content }) => content)

for (const kind of stores) {
  for (const [how, trouble] of [['refuses', saysNo], ['never answers', saysNothing]] as const) {
    t.test(`a chart store that ${how} fails the task with a code of its own, and the chart is generated once, ${kind}`, async t => {
      const chartStore = hostStore()
      chartStore.troubles.push(...Array<() => unknown>(1_000).fill(trouble))
      const queue = await startQueue(t, kind, { chartStore })
      const { generate, runs } = counting()
      const { logger } = work(t, queue, { chartStore, generate, attemptTimeout: 10_000 })
      const task = await queue.run()
      t.match(task, { status: 'FAILED', error_code: 'CHARTS_ERR_CHART_NOT_SAVED', error_message: 'The chart could not be saved', attempt: 3 })
      t.equal(runs(), 1)
      t.strictSame([...new Set(chartStore.saved.map(({ content }) => JSON.stringify(content)))], ['{"made":1}'])
      t.ok(logger.said(/could not be saved, trying again/).length >= 3)
      chartStore.troubles.length = 0
      t.match(await queue.run(), { status: 'COMPLETED' }, 'the slot is free')
    })
  }

  t.test(`a chart that could not be saved is saved by the next attempt, elsewhere, ${kind}`, async t => {
    const chartStore = hostStore()
    chartStore.troubles.push(...Array<() => unknown>(1_000).fill(saysNo))
    const queue = await startQueue(t, kind, { chartStore })
    const first = counting()
    const { consumer } = work(t, queue, { chartStore, generate: first.generate, save: 60_000 })
    const { task_id } = await queue.enqueue()
    await until(() => chartStore.saved.length > 0)
    // Released in the middle of it.
    await consumer.stop()
    t.match(await queue.service.getTaskStatus(task_id), { status: 'PENDING', attempt: 0 })
    chartStore.troubles.length = 0
    const second = counting()
    work(t, queue, { chartStore, generate: second.generate })
    t.match(await queue.ended(task_id), { status: 'COMPLETED', attempt: 1 })
    t.strictSame([first.runs(), second.runs()], [1, 0])
    t.strictSame(contents(chartStore), [{ made: 1 }])
  })

  t.test(`the time of the generator does not end the saving of its chart, ${kind}`, async t => {
    const chartStore = hostStore()
    const generated = gate()
    chartStore.troubles.push(async () => {
      // Longer than an attempt may take: saving is no part of it.
      await new Promise(resolve => setTimeout(resolve, 150))
      throw new Error('not yet')
    })
    const queue = await startQueue(t, kind, { chartStore })
    const { generate, runs } = counting()
    work(t, queue, { chartStore, attemptTimeout: 100, save: 60_000, generate: async (...args) => { generated.open(); return generate(...args) } })
    t.match(await queue.run(), { status: 'COMPLETED', attempt: 1 })
    t.equal(runs(), 1)
  })

  t.test(`a chart that is too large to be kept meanwhile is generated again, ${kind}`, async t => {
    const chartStore = hostStore()
    chartStore.troubles.push(...Array<() => unknown>(1_000).fill(saysNo))
    const queue = await startQueue(t, kind, { chartStore })
    const { generate, runs } = counting()
    const { logger } = work(t, queue, { chartStore, generate, checkpointBytes: 5 })
    t.match(await queue.run(), { status: 'FAILED', error_code: 'CHARTS_ERR_CHART_NOT_SAVED' })
    t.equal(runs(), 3)
    t.equal(logger.said(/exceeds limits.checkpointBytes/).length, 3)
  })

  t.test(`a chart that the store cannot keep meanwhile is generated again, ${kind}`, async t => {
    const chartStore = hostStore()
    chartStore.troubles.push(...Array<() => unknown>(1_000).fill(saysNo))
    const queue = await startQueue(t, kind, { chartStore })
    const { generate, runs } = counting()
    const { spy, logger } = work(t, queue, { chartStore, generate })
    spy.lose('request', 'checkpoint')
    t.match(await queue.run(), { status: 'FAILED', error_code: 'CHARTS_ERR_CHART_NOT_SAVED' })
    t.equal(runs(), 3)
    t.equal(logger.said(/the unsaved chart could not be kept/).length, 3)
  })

  t.test(`an answer of the chart store that comes too late is dropped, ${kind}`, async t => {
    const charts = hostStore()
    const late = gate<Chart | null>()
    const failed = gate()
    t.teardown(() => failed.open())
    const unhandled: unknown[] = []
    const note = (error: unknown) => { unhandled.push(error) }
    process.on('unhandledRejection', note)
    t.teardown(() => process.off('unhandledRejection', note))
    const chartStore: ChartStore = {
      ...charts,
      get: () => late.opened,
      findByMessage: async () => {
        await failed.opened
        throw new Error('late')
      }
    }
    const queue = await startQueue(t, kind, { chartStore })
    const { generate } = counting()
    const { parts } = work(t, queue, { chartStore, generate })
    const task = await queue.run()
    await t.rejects(parts.charts.of(task), { code: 'CHARTS_ERR_STORE_UNAVAILABLE', cause: { message: 'chartStore has not answered within 50 ms' } })
    const asked = messageCharts(parts.answers, task.message_id, { user_id: 'ada' }, { limit: 1, content: true })
    await t.rejects(asked, { code: 'CHARTS_ERR_STORE_UNAVAILABLE' })
    failed.open()
    late.open(null)
    await new Promise(resolve => setImmediate(resolve))
    t.strictSame(unhandled, [])
  })

  t.test(`a chart store that never answers does not hold a worker up that stops, ${kind}`, async t => {
    const charts = hostStore()
    const asked = gate()
    const chartStore: ChartStore = {
      ...charts,
      get: () => {
        asked.open()
        return new Promise(() => {})
      }
    }
    const queue = await startQueue(t, kind, { chartStore })
    const worker = await queue.work(async () => 'chart', { shutdownTimeout: 0 })
    const { task_id } = await queue.run()
    await queue.enqueue({ depends_on: [task_id] })
    await asked.opened
    await inTime(worker.stop(), 2_000, 'stop')
  })
}
