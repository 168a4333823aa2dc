import t from 'tap'
import { setTimeout as delay } from 'node:timers/promises'
import { ChartQueueService, memoryStore, type Chart, type ChartQueueServiceOptions, type CreateChartRequest, type Identity, type MessageChartsOptions, type TaskStore } from '../../lib/index.ts'
import { chartIdOf } from '../../lib/service/chart-identity.ts'
import { hostStore } from '../helpers/chart-store.ts'

const message_id = '9f0cf2a2-9b5c-4f3e-8f31-6f0f5a3c1d11'
const ada: Identity = { user_id: 'ada', org_id: 'acme' }
const bob: Identity = { user_id: 'bob', org_id: 'acme' }
const stranger: Identity = { user_id: 'mallory', org_id: 'another' }

function start (t: { teardown (end: () => unknown): unknown }, options: Partial<ChartQueueServiceOptions> = {}) {
  const chartStore = hostStore()
  const store = memoryStore()
  const service = new ChartQueueService({ store, chartStore, ...options })
  t.teardown(() => service.close())
  const chart = async (request: Partial<CreateChartRequest> = {}, identity = ada) => {
    const { task: { task_id } } = await service.enqueueChartTask({ message_id, force_create: true, ...request }, identity)
    const { lease } = (await service.dequeueChartTask())!
    await service.completeTask(task_id, lease, { content: { asked: request.adjustment_query ?? null } })
    return (await service.getTaskStatus(task_id))!
  }
  const list = async (identity: Identity, options: MessageChartsOptions = { limit: 50, content: true }) => service.getMessageCharts(message_id, identity, options)
  return { service, chartStore, store, chart, list }
}

/** A store that writes down how it is read. */
function readingStore () {
  const reads: Array<{ verb: string, args: unknown[] }> = []
  const store = new Proxy(memoryStore(), {
    get (store, verb: keyof TaskStore) {
      return (...args: unknown[]) => {
        if (/^read/.test(verb)) reads.push({ verb, args })
        return (store[verb] as (...args: unknown[]) => unknown)(...args)
      }
    }
  })
  return { store, reads }
}

t.test('a finished chart is the one that the host keeps', async t => {
  const { service, chartStore, store, chart } = start(t)
  const task = await chart({ adjustment_query: 'log scale' })
  t.equal(task.chart_id, chartIdOf(task.task_id, 1))
  t.strictSame(await service.getChart(task), chartStore.charts.get(task.chart_id!))
  t.equal(await store.readContent(task.chart_id!), null, 'it is kept once')
  chartStore.charts.clear()
  t.equal(await service.getChart(task), null)
})

t.test('a task without a chart has none', async t => {
  const { service, chartStore } = start(t)
  const { task } = await service.enqueueChartTask({ message_id }, ada)
  t.equal(await service.getChart(task), null)
  t.strictSame(chartStore.calls, [])
})

t.test('a chart that the host has lost does not count as existing', async t => {
  const { service, chartStore, chart } = start(t)
  const task = await chart({ force_create: false })
  t.match(await service.enqueueChartTask({ message_id }, ada), { outcome: 'chart_exists', task: { task_id: task.task_id } })
  chartStore.charts.clear()
  const { outcome, task: anew } = await service.enqueueChartTask({ message_id }, ada)
  t.equal(outcome, 'queued')
  t.not(anew.task_id, task.task_id)
})

t.test('only the current lease puts a chart into the host’s store', async t => {
  const { service, chartStore } = start(t)
  const { task: { task_id } } = await service.enqueueChartTask({ message_id }, ada)
  const { lease } = (await service.dequeueChartTask())!
  t.equal(await service.completeTask(task_id, lease + 1, { content: 1 }), false)
  await service.cancelTask(task_id)
  t.equal(await service.completeTask(task_id, lease, { content: 1 }), false)
  t.strictSame(chartStore.saved, [])
})

t.test('a completion repeated by the same lease answers true, and saves nothing more', async t => {
  const { service, chartStore } = start(t)
  const { task: { task_id } } = await service.enqueueChartTask({ message_id }, ada)
  const { lease } = (await service.dequeueChartTask())!
  t.equal(await service.completeTask(task_id, lease, { content: 1 }), true)
  t.equal(await service.completeTask(task_id, lease, { content: 1 }), true)
  t.strictSame(chartStore.calls, [`save ${chartIdOf(task_id, lease)}`])
})

t.test('a chart whose task does not name it is never shown', async t => {
  const { service, chartStore, chart, list } = start(t)
  const task = await chart()
  const orphan: Chart = { ...chartStore.charts.get(task.chart_id!)!, chart_id: chartIdOf(task.task_id, 7), content: 'of a lost lease' }
  chartStore.charts.set(orphan.chart_id, orphan)
  const { task: running } = await service.enqueueChartTask({ message_id, force_create: true }, ada)
  const early: Chart = { ...orphan, chart_id: chartIdOf(running.task_id, 1), task_id: running.task_id }
  chartStore.charts.set(early.chart_id, early)
  const { charts, active_tasks } = await list(ada)
  t.strictSame(charts.map(({ chart_id }) => chart_id), [task.chart_id])
  t.strictSame(active_tasks.map(({ task_id }) => task_id), [running.task_id])
})

t.test('what the host keeps beside a chart is no part of it', async t => {
  const { service, chartStore, chart, list } = start(t)
  const task = await chart()
  const kept = chartStore.charts.get(task.chart_id!)!
  for (const created_at of [new Date(kept.created_at), Date.parse(kept.created_at)]) {
    chartStore.charts.set(kept.chart_id, { ...kept, created_at, secret: 'cost' } as never)
    t.strictSame(await service.getChart(task), kept)
    t.strictSame((await list(ada)).charts, [kept])
  }
})

t.test('a store of the host that finds nothing, or fails, says so and no more', async t => {
  const { service, chartStore, chart, list } = start(t)
  const task = await chart({ force_create: false })
  for (const nothing of [null, undefined, []]) {
    chartStore.findByMessage = async () => nothing as never
    t.strictSame((await list(ada)).charts, [])
  }
  const kept = chartStore.charts.get(task.chart_id!)!
  for (const wrong of ['x', [null], [5], [{ ...kept, created_at: null }], [{ ...kept, created_at: new Date(NaN) }]]) {
    chartStore.findByMessage = async () => wrong as never
    await t.rejects(list(ada), { code: 'CHARTS_ERR_STORE_UNAVAILABLE', cause: Error })
  }
  const cause = new Error('secret')
  chartStore.findByMessage = () => { throw cause }
  chartStore.get = async () => { throw cause }
  for (const ask of [() => list(ada), () => service.getChart(task), () => service.enqueueChartTask({ message_id }, ada)]) {
    const error = await ask().then(() => null, (error: Error) => error)
    t.match(error, { code: 'CHARTS_ERR_STORE_UNAVAILABLE', cause })
    t.notMatch(error!.message, /secret/)
  }
})

t.test('of many charts that the host finds, only as many tasks are read as are needed', async t => {
  const { store, reads } = readingStore()
  const { chartStore, chart, list } = start(t, { store })
  const { chart_id } = await chart()
  const kept = chartStore.charts.get(chart_id!)!
  chartStore.findByMessage = async () => Array.from({ length: 1_000 }, (_, i) => ({
    ...kept, chart_id: chartIdOf(`${i}`, 1), task_id: chartIdOf(`${i}`, 2), created_at: new Date(i).toISOString(), content: i
  }))
  reads.length = 0
  t.strictSame((await list(ada, { limit: 2, content: true })).charts.map(({ content }) => content), [999, 998])
  t.strictSame(reads.map(({ verb, args }) => [verb, verb === 'read' && (args[0] as string[]).length]), [['readMessage', false], ['read', 100]])
})

t.test('large contents are read a few MiB at a time, however many ask', async t => {
  const inner = memoryStore()
  let open = 0
  let most = 0
  const asked: number[] = []
  const readContents: TaskStore['readContents'] = async (chart_ids, bytes) => {
    asked.push(bytes)
    most = Math.max(most, open += bytes)
    await delay(1)
    open -= bytes
    return inner.readContents(chart_ids, bytes)
  }
  const store = new Proxy(inner, { get: (target, verb: keyof TaskStore) => verb === 'readContents' ? readContents : (target[verb] as () => unknown).bind(target) })
  const { chart, list } = start(t, { store, chartStore: undefined })
  for (let n = 0; n < 10; n++) await chart({ adjustment_query: `${n}`.padEnd(60_000, 'x') })
  const lists = await Promise.all(Array.from({ length: 20 }, () => list(ada)))
  for (const { charts } of lists) t.strictSame(charts.map(({ content }) => (content as { asked: string }).asked[0]), Array.from({ length: 10 }, (_, n) => `${9 - n}`))
  t.ok(Math.max(...asked) <= 2 ** 19, 'half a MiB in one reply')
  t.ok(most <= 4 * 2 ** 20, `${most} bytes at once`)
})

t.test('contents have 8 MiB at most, those of the newest charts', async t => {
  for (const chartStore of [undefined, hostStore()]) {
    const { chart, list } = start(t, { chartStore, limits: { requestBytes: 0, chartBytes: 0 } })
    for (const letter of ['a', 'b', 'c', 'd']) await chart({ adjustment_query: letter.repeat(3 * 2 ** 20 - 12) })
    const { charts, content_complete } = await list(ada)
    t.equal(charts.length, 4)
    t.strictSame(charts.map(chart => 'content' in chart), [true, true, false, false])
    t.equal(content_complete, false)
    t.equal((await list(ada, { limit: 2, content: true })).content_complete, true)
    t.equal((await list(ada, { limit: 4, content: false })).content_complete, true, 'what was not wanted is not missed')
  }
})

t.test('a chart outlives its task where the host keeps it', async t => {
  let now = Date.now()
  const store = memoryStore({ now: () => now })
  const { service, chart, list } = start(t, { store })
  const { chart_id } = await chart()
  now += 86_400_000
  await service.cleanupExpiredTasks()
  t.strictSame((await list(ada)).charts.map(chart => chart.chart_id), [chart_id])
})

for (const [where, chartStore] of [["in the host's store", true], ['beside the tasks', false]] as const) {
  t.test(`charts of a message, ${where}: one’s own, and those of the org that are meant for it`, async t => {
    const { chart, list } = start(t, chartStore ? {} : { chartStore: undefined })
    await chart({ adjustment_query: 'private' })
    await chart({ adjustment_query: 'shared', visibility: 'ORGANIZATION' })
    await chart({ adjustment_query: 'public', visibility: 'PUBLIC' })
    await chart({ adjustment_query: 'planted', visibility: 'PUBLIC' }, stranger)
    await chart({ adjustment_query: 'of nobody’s org', visibility: 'ORGANIZATION' }, { user_id: 'cleo' })
    const asked = async (identity: Identity) => (await list(identity)).charts.map(({ adjustment_query }) => adjustment_query).sort()
    t.strictSame(await asked(ada), ['private', 'public', 'shared'])
    t.strictSame(await asked(bob), ['public', 'shared'])
    t.strictSame(await asked(stranger), ['planted'])
    t.strictSame(await asked({ user_id: 'dan' }), [], 'two users without an org are not of the same org')
  })

  t.test(`charts of a message, ${where}: with their contents or without, no more than asked for`, async t => {
    const { chart, list } = start(t, chartStore ? {} : { chartStore: undefined })
    for (const adjustment_query of ['one', 'two', 'three']) await chart({ adjustment_query })
    const { charts } = await list(ada, { limit: 2, content: true })
    t.equal(charts.length, 2)
    for (const { adjustment_query, content } of charts) t.strictSame(content, { asked: adjustment_query })
    const bare = await list(ada, { limit: 50, content: false })
    t.equal(bare.charts.length, 3)
    t.notOk(bare.charts.some(chart => 'content' in chart))
  })

  t.test(`charts of a message, ${where}: what the caller may not read is left out, its content unread`, async t => {
    const { store, reads } = readingStore()
    const { service, chart, list } = start(t, { store, ...(!chartStore && { chartStore: undefined }) })
    const shown = await chart({ adjustment_query: 'shown' })
    await chart({ adjustment_query: 'hidden' })
    for (const adjustment_query of ['active', 'hidden']) await service.enqueueChartTask({ message_id, force_create: true, adjustment_query }, ada)
    reads.length = 0
    const { charts, active_tasks } = await list(ada, { limit: 50, content: true, mayRead: async task => task?.adjustment_query !== 'hidden' })
    t.strictSame(charts.map(({ chart_id }) => chart_id), [shown.chart_id])
    t.strictSame(active_tasks.map(({ adjustment_query }) => adjustment_query), ['active'])
    t.strictSame(reads.map(({ verb }) => verb), ['readMessage', 'read', 'read', ...chartStore ? [] : ['readContents']], 'active tasks, charts, contents')
    if (!chartStore) t.strictSame(reads.at(-1)!.args[0], [shown.chart_id])
  })
}

t.test('a task that fails while a message is listed is among the failed ones', async t => {
  const store = memoryStore()
  const { service, list } = start(t, { store, chartStore: undefined, retry: { attempts: 1 } })
  const { task: { task_id } } = await service.enqueueChartTask({ message_id }, ada)
  const readMessage = store.readMessage.bind(store)
  store.readMessage = async query => {
    const refs = await readMessage(query)
    await service.completeTask(task_id, (await service.dequeueChartTask())!.lease, { error: new Error('no rows') })
    return refs
  }
  const { active_tasks, failed_tasks } = await list(ada)
  t.match([active_tasks, failed_tasks], [[], [{ task_id, status: 'FAILED' }]])
})

t.test('a chart that is made after the host has looked for charts is listed all the same', async t => {
  const { service, chartStore, chart, list } = start(t)
  const { chart_id } = await chart()
  const { task: { task_id } } = await service.enqueueChartTask({ message_id, force_create: true }, ada)
  const findByMessage = chartStore.findByMessage
  chartStore.findByMessage = async (...asked) => {
    const found = await findByMessage(...asked)
    await service.completeTask(task_id, (await service.dequeueChartTask())!.lease, { content: 'late' })
    return found
  }
  t.match(await list(ada), { active_tasks: [], charts: [{ task_id, content: 'late' }, { chart_id }] })
})

t.test('a chart of the host without content is listed without it', async t => {
  const { chartStore, chart, list } = start(t)
  const { chart_id } = await chart()
  const kept = chartStore.charts.get(chart_id!)!
  chartStore.charts.set(chart_id!, { ...kept, content: undefined as never })
  const { charts, content_complete } = await list(ada)
  t.match([charts, content_complete], [[{ chart_id }], true])
  t.notOk('content' in charts[0]!)
})
