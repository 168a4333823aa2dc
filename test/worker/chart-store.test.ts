import t from 'tap'
import { setTimeout as delay } from 'node:timers/promises'
import type { Chart, ChartStore, Identity } from '../../lib/index.ts'
import { chartIdOf } from '../../lib/service/chart-identity.ts'
import { gate, inTime, until } from '../helpers/gate.ts'
import { startQueue, stores } from '../helpers/queue.ts'
import { recordingLogger } from '../helpers/recording-logger.ts'
import { spyOnStore } from '../helpers/spy-store.ts'

interface Database extends ChartStore {
  readonly charts: Map<string, Chart>
  readonly log: string[]
}

function database (save: (chart: Chart, keep: () => void) => unknown = (_chart, keep) => keep()): Database {
  const charts = new Map<string, Chart>()
  const log: string[] = []
  return {
    charts,
    log,
    async save (chart) {
      log.push(`save ${chart.chart_id}`)
      await save(chart, () => charts.set(chart.chart_id, structuredClone(chart)))
    },
    async get (chart_id) { return charts.get(chart_id) ?? null },
    async findByMessage (message_id: string, _identity: Identity) { return [...charts.values()].filter(chart => chart.message_id === message_id) },
    async delete (chart_id: string) {
      log.push(`delete ${chart_id}`)
      charts.delete(chart_id)
    }
  }
}
const listAll = { limit: 50, content: true }

for (const kind of stores) {
  t.test(`a chart is saved before its task is completed, ${kind}`, async t => {
    const saved = gate<Chart>()
    const go = gate()
    const chartStore = database(async (chart, keep) => {
      keep()
      saved.open(chart)
      await go.opened
    })
    const queue = await startQueue(t, kind, { chartStore })
    await queue.work(async () => ({ marks: [1] }))
    const { task_id, message_id } = await queue.enqueue({ visibility: 'PUBLIC', adjustment_query: 'log scale' }, { user_id: 'ada', org_id: 'acme' })
    const chart = await saved.opened
    t.match(chart, { task_id, message_id, user_id: 'ada', org_id: 'acme', visibility: 'PUBLIC', adjustment_query: 'log scale', content: { marks: [1] } })
    t.same(Object.keys(chart).sort(), ['adjustment_query', 'chart_id', 'content', 'created_at', 'message_id', 'org_id', 'task_id', 'user_id', 'visibility'])
    t.match(await queue.service.getTaskStatus(task_id), { status: 'PROCESSING', chart_id: null })
    const before = await queue.service.getMessageCharts(message_id, { user_id: 'ada', org_id: 'acme' }, listAll)
    t.same(before.charts, [], 'nobody names it yet')
    go.open()
    const task = await queue.ended(task_id)
    t.match(task, { status: 'COMPLETED', chart_id: chart.chart_id })
    t.same(await queue.service.getChart(task), chart)
    const after = await queue.service.getMessageCharts(message_id, { user_id: 'ada', org_id: 'acme' }, listAll)
    t.same({ ...after, cursor: null }, { charts: [chart], active_tasks: [], failed_tasks: [], content_complete: true, cursor: null })
    if (queue.redis) t.same(await queue.redis.keys(`{${queue.keyPrefix}}:chart:*`), [], 'it is kept once')
  })

  t.test(`a save that fails is tried again with the content at hand, ${kind}`, async t => {
    let tries = 0
    const chartStore = database((_chart, keep) => {
      if (++tries < 4) throw new Error('database down')
      keep()
    })
    const queue = await startQueue(t, kind, { chartStore })
    let runs = 0
    const logger = recordingLogger()
    await queue.work(async () => ++runs, { logger, leaseDuration: 500 })
    const task = await queue.run()
    t.match(task, { status: 'COMPLETED', attempt: 1 })
    t.equal(runs, 1)
    t.equal(new Set(chartStore.log).size, 1, 'the same chart each time')
    t.equal(chartStore.charts.get(task.chart_id!)!.content, 1)
    t.equal(logger.said(/could not be saved/).length, 3)
  })

  t.test(`what was saved by a worker that was lost is not shown, and is deleted, ${kind}`, async t => {
    const chartStore = database()
    const queue = await startQueue(t, kind, { chartStore })
    const { task_id, message_id } = await queue.enqueue()
    const { task, lease } = (await queue.service.dequeueChartTask())!
    const orphan = chartIdOf(task_id, lease)
    // It saved, and died before it could say so.
    await chartStore.save({
      chart_id: orphan, task_id, message_id, user_id: 'ada', org_id: null, visibility: task.visibility, adjustment_query: null, created_at: task.created_at, content: 'orphan'
    })
    const list = () => queue.service.getMessageCharts(message_id, { user_id: 'ada' }, listAll)
    t.same((await list()).charts, [])
    await queue.service.releaseTask(task_id, lease)
    await queue.work(async () => 'chart')
    const ended = await queue.ended(task_id)
    t.not(ended.chart_id, orphan)
    await until(() => !chartStore.charts.has(orphan))
    t.same([...chartStore.charts.keys()], [ended.chart_id])
    t.same((await list()).charts.map(({ content }) => content), ['chart'])
  })

  t.test(`a chart that came too late is deleted, the one that is named stays, ${kind}`, async t => {
    const saving = gate<string>()
    const go = gate()
    const chartStore = database(async (chart, keep) => {
      if (chart.content === 'late') {
        saving.open(chart.chart_id)
        await go.opened
      }
      keep()
    })
    const queue = await startQueue(t, kind, { chartStore })
    const slow = spyOnStore(queue)
    await queue.work(async ({ adjustment_query }) => adjustment_query === 'next' ? 'next' : 'late', { store: slow.store, leaseDuration: 60_000, concurrency: 1 })
    const { task_id } = await queue.enqueue()
    const late = await saving.opened
    await queue.service.releaseTask(task_id, 1)
    slow.lose('request', 'claim')
    await queue.work(async () => 'in time')
    const task = await queue.ended(task_id)
    go.open()
    await until(() => chartStore.log.includes(`save ${late}`) && chartStore.log.filter(line => line === `delete ${late}`).length > 0 && !chartStore.charts.has(late))
    t.equal((await queue.service.getChart(task))!.content, 'in time')
  })

  t.test(`a completion whose reply was lost keeps its chart, ${kind}`, async t => {
    const chartStore = database()
    const queue = await startQueue(t, kind, { chartStore })
    const { store, lose, restore, calls } = spyOnStore(queue)
    lose('reply', 'settleAttempts')
    await queue.work(async () => 'chart', { store })
    const { task_id } = await queue.enqueue()
    const task = await queue.ended(task_id)
    await until(() => calls('settleAttempts') >= 3)
    restore()
    await queue.run()
    t.equal((await queue.service.getChart(task))!.content, 'chart')
    t.same(chartStore.log.filter(line => line.startsWith('delete')), [])
  })

  t.test(`a save that never ends does not hold the drain, ${kind}`, async t => {
    const saving = gate()
    let hang = true
    const chartStore = database((_chart, keep) => {
      saving.open()
      return hang ? new Promise(() => {}) : keep()
    })
    const queue = await startQueue(t, kind, { chartStore })
    const worker = await queue.work(async () => 'chart', { shutdownTimeout: 200, leaseDuration: 30_000 })
    const { task_id } = await queue.enqueue()
    await saving.opened
    await inTime(worker.stop(), 2_200, 'stop')
    t.match(await queue.service.getTaskStatus(task_id), { status: 'PENDING', attempt: 0 }, 'handed back')
    hang = false
    await queue.work(async () => 'chart')
    t.match(await queue.ended(task_id), { status: 'COMPLETED', attempt: 1 })
  })

  t.test(`a cancel while a chart is being saved leaves no chart, ${kind}`, async t => {
    const saving = gate()
    const go = gate()
    const chartStore = database(async (_chart, keep) => {
      keep()
      saving.open()
      await go.opened
    })
    const queue = await startQueue(t, kind, { chartStore })
    await queue.work(async () => 'chart')
    const { task_id } = await queue.enqueue()
    await saving.opened
    const cancelled = await queue.service.cancelTask(task_id)
    go.open()
    await until(() => chartStore.charts.size === 0)
    t.same(await queue.service.getTaskStatus(task_id), cancelled)
  })

  t.test(`a cancel of a task whose save fails leaves no chart either, ${kind}`, async t => {
    const saving = gate()
    const chartStore = database((_chart, keep) => {
      keep()
      saving.open()
      throw new Error('saved, but the reply was lost')
    })
    const queue = await startQueue(t, kind, { chartStore })
    await queue.work(async () => 'chart')
    const { task_id } = await queue.enqueue()
    await saving.opened
    await queue.service.cancelTask(task_id)
    await until(() => chartStore.charts.size === 0)
    await delay(50)
    t.equal(chartStore.charts.size, 0)
  })

  t.test(`a task that fails in the end leaves no chart of its earlier attempts, ${kind}`, async t => {
    const chartStore = database()
    const queue = await startQueue(t, kind, { chartStore, retry: { attempts: 2 } })
    const { task_id, message_id } = await queue.enqueue()
    const { task, lease } = (await queue.service.dequeueChartTask())!
    await chartStore.save({
      chart_id: chartIdOf(task_id, lease), task_id, message_id, user_id: 'ada', org_id: null, visibility: task.visibility, adjustment_query: null, created_at: task.created_at, content: 'orphan'
    })
    await queue.service.releaseTask(task_id, lease)
    await queue.work(async () => { throw new Error('no chart') })
    t.match(await queue.ended(task_id), { status: 'FAILED' })
    await until(() => chartStore.charts.size === 0)
  })

  t.test(`a chart that the host no longer has does not count, ${kind}`, async t => {
    const chartStore = database()
    const queue = await startQueue(t, kind, { chartStore })
    await queue.work(async () => 'chart')
    const request = { message_id: crypto.randomUUID() }
    const first = await queue.run(request)
    t.match(await queue.service.enqueueChartTask(request, { user_id: 'ada' }), { outcome: 'chart_exists', task: { task_id: first.task_id } })
    chartStore.charts.clear()
    t.equal(await queue.service.getChart(first), null)
    const again = await queue.service.enqueueChartTask(request, { user_id: 'ada' })
    t.equal(again.outcome, 'queued')
    t.match(await queue.ended(again.task.task_id), { status: 'COMPLETED' })
  })
}
