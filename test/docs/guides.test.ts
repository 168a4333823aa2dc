import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import Fastify from 'fastify'
import t from 'tap'
import asyncCharts, { ChartGenerationError, ChartQueueService, memoryStore } from '../../lib/index.ts'
import { followGuide } from '../helpers/guide.ts'
import { readPage } from '../helpers/markdown.ts'

interface Test {
  teardown (ended: () => unknown): unknown
}

/** Imports the snippets of a guide; their page's `fetch` goes to their app. */
async function follow (t: Test, guide: string) {
  const { folder } = await followGuide(t, `docs/guides/${guide}.md`)
  return (file: string) => import(pathToFileURL(join(folder, file)).href)
}

function serve (t: Test, origin: string): void {
  const { fetch } = globalThis
  globalThis.fetch = (url, init) => fetch(new URL(String(url), origin), init)
  t.teardown(() => { globalThis.fetch = fetch })
}

const memory = () => new ChartQueueService({ store: memoryStore() })

t.test('ordering and limits: priorities are for those who may, and a new prompt replaces the old one', async t => {
  const snippet = await follow(t, 'ordering-and-limits')
  const { app } = await snippet('server.js')
  t.teardown(() => app.close())
  serve(t, await app.listen({ port: 0 }))
  const { createChart } = await snippet('priorities.js')
  t.match(await createChart(crypto.randomUUID(), 'high'), { status: /./, message: 'Chart generation queued successfully' })
  await t.rejects(createChart(crypto.randomUUID(), 'urgent'), { code: 'FST_ERR_VALIDATION' })

  const { authorize } = await snippet('authorize.js')
  const access = { action: 'create', body: { priority: 'high' } }
  t.equal(authorize({ roles: [] }, access), false)
  t.equal(authorize({ roles: ['premium'] }, access), true)

  const { adjustChart } = await snippet('supersede.js')
  const message_id = crypto.randomUUID()
  await app.asyncCharts.enqueueChartTask({ message_id, run_at: new Date(Date.now() + 60_000).toISOString() }, { user_id: 'ada', org_id: 'acme' })
  await adjustChart(message_id, 'as a line chart')
  const active = await app.asyncCharts.getActiveTasksByMessageId(message_id, 'ada')
  t.notOk(active.some((task: { current_step: string }) => task.current_step === 'scheduled'))

  const { queue } = await snippet('weights.js')
  t.teardown(() => queue.close())
  for (const [user_id, roles] of [['ada', ['premium']], ['bob', []]]) {
    for (let i = 0; i < 4; i++) await queue.enqueueChartTask({ message_id: crypto.randomUUID() }, { user_id, roles })
  }
  const order = []
  for (let i = 0; i < 4; i++) order.push((await queue.dequeueChartTask()).task.user_id)
  t.same(order.sort(), ['ada', 'ada', 'ada', 'bob'], 'three to one')

  const { queueForTonight } = await snippet('tonight.js')
  const task = await queueForTonight(app.asyncCharts, crypto.randomUUID(), 'ada')
  t.match(task, { status: 'PENDING', current_step: 'scheduled' })
  const scheduledFor = async (now: Date) => {
    const { task_id } = await queueForTonight(app.asyncCharts, crypto.randomUUID(), 'ada', now)
    const { run_at } = await app.asyncCharts.getTaskDetails(task_id)
    return new Date(run_at)
  }
  const now = new Date()
  const at = (hours: number, days = 0) => new Date(now.getFullYear(), now.getMonth(), now.getDate() + 1 + days, hours)
  t.same(await scheduledFor(at(22)), at(23))
  t.same(await scheduledFor(at(23)), at(23, 1), 'past eleven is tomorrow')
})

t.test('dependencies and batches: a report comes over one stream, the summary last', async t => {
  const snippet = await follow(t, 'dependencies-and-batches')
  const queue = memory()
  t.teardown(() => queue.close())
  const { queueSummary } = await snippet('summary.js')
  t.match(await queueSummary(queue, crypto.randomUUID(), 'ada'), { status: 'PENDING', current_step: 'waiting_for_dependencies' })
  const { queueMonths } = await snippet('batch.js')
  const message_id = crypto.randomUUID()
  const months = await queueMonths(queue, message_id, 'ada')
  t.equal(months.task_ids.length, 3)
  t.same(await queueMonths(queue, message_id, 'ada'), months)

  const { generate } = await snippet('generate.js')
  const dependencies = [{ chart_id: 'a', content: 1 }]
  const chart = await generate({ adjustment_query: 'summary' }, { dependencies, progress: () => {} })
  t.same(chart, { title: 'summary', of: dependencies })
})

t.test('the client: a chart, a message, a token, and a page that is left', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(asyncCharts, {
    store: memoryStore(),
    identify: ({ headers }) => headers.authorization === 'Bearer secret' ? { user_id: 'ada' } : null,
    paramsSchema: { type: 'object' },
    generate: async ({ params = null }) => ({ asked: params })
  })
  const origin = await app.listen({ port: 0 })
  const snippet = await follow(t, 'client')
  const { chartsOf } = await snippet('token.js')
  const charts = chartsOf(`${origin}/api/v1/analytics`, async () => 'secret')
  const message_id = crypto.randomUUID()
  t.match(await charts.generate({ message_id, params: { year: 2026 } }), { content: { asked: { year: 2026 } } })

  const { showMessage } = await snippet('follow.js')
  const leaving = new AbortController()
  const shown: unknown[] = []
  const tasks: string[] = []
  const showing = showMessage(charts, message_id, {
    showTask: ({ status }: { status: string }) => tasks.push(status),
    showChart ({ content }: { content: unknown }) {
      shown.push(content)
      if (shown.length === 2) leaving.abort()
    },
    signal: leaving.signal
  })
  await charts.create({ message_id, params: { year: 2027 } })
  await showing
  t.same(shown, [{ asked: { year: 2026 } }, { asked: { year: 2027 } }])
  t.equal(tasks.at(-1), 'COMPLETED')

  const { followWhileShown } = await snippet('stop.js')
  const { task_id } = await charts.create({ message_id })
  await new Promise<void>(resolve => {
    const leave = followWhileShown(charts, task_id, {}, (_: object, { status }: { status: string }) => {
      if (status !== 'COMPLETED') return
      leave()
      resolve()
    })
  })

  const imports: Record<string, string> = JSON.parse(/<script type="importmap">([^]*?)<\/script>/.exec(readPage('docs/guides/client.md'))![1]!).imports
  const { app: modules } = await snippet('modules.js')
  t.teardown(() => modules.close())
  for (const path of Object.values(imports)) t.match(await modules.inject(path), { statusCode: 200, headers: { 'content-type': /javascript/ } })

  const { draw, charts: ofPage } = await snippet('draw.js')
  const [bar, step, image] = [{ value: 0 }, { textContent: '' }, { src: '' }]
  await draw(message_id, null, { bar, step, image }, new AbortController().signal)
  t.match(step.textContent, /baseUrl/, 'there is no page here')
  ofPage.generate = charts.generate
  await draw(message_id, null, { bar, step, image }, new AbortController().signal)
  t.equal(bar.value, 100)
  t.match(image.src, /^blob:/)
})

t.test('expensive steps: a chart that could not be drawn does not ask the model again', async t => {
  const snippet = await follow(t, 'expensive-steps')
  const { generate } = await snippet('generate.js')
  let answers: Array<() => Response> = []
  const { fetch } = globalThis
  t.teardown(() => { globalThis.fetch = fetch })
  globalThis.fetch = async () => answers.shift()!()
  const request = { message_id: 'm', task_id: 't' }
  const steps: string[] = []
  const context = { progress: () => {}, step: (name: string, fn: () => unknown) => { steps.push(name); return fn() } }
  answers = [() => new Response('', { status: 429, headers: { 'retry-after': '7' } }), () => Response.json({ mark: 'bar' })]
  await t.rejects(generate(request, context), { code: 'MODEL_BUSY', retryable: true, retryDelay: 7_000 })
  t.same(await generate(request, context), { svg: '<svg/>' })
  t.same(steps.slice(-2), ['data_extraction', 'llm_generation'])
  const { app } = await snippet('server.js')
  await app.close()
})

t.test('migrating: the old answer at every phase, and the new one with a header', async t => {
  const snippet = await follow(t, 'migrating-from-sync')
  const message_id = crypto.randomUUID()
  const old = { method: 'POST', url: '/charts', payload: { message_id, adjustment_query: null } }
  const chart = { message_id, adjustment_query: null, svg: '<svg/>' }
  const { app } = await snippet('phase-1.js')
  t.teardown(() => app.close())
  t.same((await app.inject(old)).json(), chart)
  serve(t, await app.listen({ port: 0 }))
  const { chartOf } = await snippet('phase-2.js')
  t.same(await chartOf(message_id), chart)

  const { app: deprecated } = await snippet('phase-3.js')
  t.teardown(() => deprecated.close())
  deprecated.log.level = 'silent'
  const answer = await deprecated.inject(old)
  t.same(answer.json(), chart)
  t.match(answer.headers, { deprecation: /^@\d+$/, sunset: /GMT$/ })

  const { messageIdOf } = await snippet('message-id.js')
  t.match(messageIdOf(42), /^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  t.equal(messageIdOf('42'), messageIdOf(42), 'the same id, the same UUID')
  t.not(messageIdOf(43), messageIdOf(42))
  const { app: own } = await snippet('own-fields.js')
  t.teardown(() => own.close())
  const ask = async (more: object) => (await own.inject({
    method: 'POST', url: '/api/v1/analytics/charts/async', headers: { prefer: 'wait=5' }, payload: { message_id: messageIdOf(42), ...more }
  })).json()
  t.match(await ask({ params: { report: 42, year: 2015 } }), { status: 'COMPLETED' })
  t.match(await ask({ report: 42 }), { code: 'FST_ERR_VALIDATION', message: /must not have report/ })

  const { app: gone } = await snippet('phase-4.js')
  t.teardown(() => gone.close())
  t.equal((await gone.inject(old)).statusCode, 410)
})

t.test('estimates: what a page says, and following a chart to its end', async t => {
  const snippet = await follow(t, 'estimates')
  const { sayWhen } = await snippet('waiting.js')
  const task = { current_step: 'queued', queue_position: 3, estimated_completion: null }
  t.equal(sayWhen(task), 'number 3 in line')
  t.equal(sayWhen({ ...task, estimated_completion: '2030-01-01T00:00:20.000Z' }, Date.parse('2030-01-01T00:00:00.000Z')), 'number 3 in line, about 20 s')
  t.equal(sayWhen({ current_step: 'rendering', estimated_completion: '2030-01-01T00:05:00.000Z' }, Date.parse('2030-01-01T00:00:00.000Z')), 'rendering, about 5 min')

  const { app } = await (await follow(t, 'ordering-and-limits'))('server.js')
  t.teardown(() => app.close())
  serve(t, await app.listen({ port: 0 }))
  const { followStatus } = await snippet('follow.js')
  const { task: { task_id } } = await app.asyncCharts.enqueueChartTask({ message_id: crypto.randomUUID() }, { user_id: 'ada', org_id: 'acme' })
  const shown: string[] = []
  const ended = await followStatus(`/api/v1/analytics/charts/async/${task_id}/status`, ({ status }: { status: string }) => shown.push(status))
  t.equal(ended.status, 'COMPLETED')
  t.equal(shown.at(-1), 'COMPLETED')
  await t.rejects(followStatus(`/api/v1/analytics/charts/async/${crypto.randomUUID()}/status`, () => t.fail('nothing to show')), { code: 'CHARTS_ERR_TASK_NOT_FOUND' })
})

t.test('the dashboard: who may see what, one to look only, and the way to a login', async t => {
  const snippet = await follow(t, 'dashboard')
  const { app } = await snippet('server.js')
  t.teardown(() => app.close())
  const page = async (path: string, role: string) => (await app.inject({ url: `/charts-dashboard${path}`, headers: { 'x-user': 'ada', 'x-role': role } }))
  t.match((await page('/', 'operator')).body, 'Pause queue')
  t.equal((await page('/', 'support')).statusCode, 200)
  t.notMatch((await page('/', 'support')).body, 'Pause queue')
  t.equal((await page('/tasks', 'sales')).statusCode, 403)

  const other = Fastify()
  t.teardown(() => other.close())
  await other.register(asyncCharts, { store: memoryStore(), identify: () => ({ user_id: 'ada' }), authorize: () => true })
  await (await snippet('look-only.js')).addDashboards(other)
  await (await snippet('login.js')).addDashboard(other, (request: { headers: { cookie?: string } }) => request.headers.cookie !== undefined)
  t.notMatch((await other.inject('/queue/wall/')).body, 'Pause queue')
  t.match((await other.inject('/queue/')).body, 'Pause queue')
  t.match(await other.inject({ url: '/charts-dashboard/', headers: { accept: 'text/html' } }), { statusCode: 302, headers: { location: '/login?to=%2Fcharts-dashboard%2F' } })
  t.equal((await other.inject({ url: '/charts-dashboard/', headers: { accept: 'text/html', cookie: 'session=1' } })).statusCode, 200)
})

t.test('operating: who may look and who may act, all that has failed, and all of it again', async t => {
  const snippet = await follow(t, 'operating')
  const { app } = await snippet('server.js')
  t.teardown(() => app.close())
  serve(t, await app.listen({ port: 0 }))
  const queue: ChartQueueService = app.asyncCharts
  const pause = (role: string) => app.inject({ method: 'POST', url: '/api/v1/analytics/charts/admin/pause', headers: { 'x-user': 'eve', 'x-role': role } })
  t.equal((await pause('support')).statusCode, 403)
  t.equal((await pause('operator')).statusCode, 200)

  await queue.resumeQueue()
  const { pauseFor } = await snippet('incident.js')
  await pauseFor(queue, async () => {
    await queue.enqueueChartTask({ message_id: crypto.randomUUID() }, { user_id: 'ada', org_id: 'acme' })
    t.equal((await queue.getQueueStats()).paused, true)
    t.equal(await queue.dequeueChartTask(), null)
  })
  t.equal((await queue.getQueueStats()).paused, false)

  const { failedTasks } = await snippet('all-failed.js')
  t.same(await failedTasks('acme', { 'x-user': 'eve', 'x-role': 'support' }), [])
  const own = memory()
  t.teardown(() => own.close())
  for (const adjustment_query of ['a', 'b']) {
    await own.enqueueChartTask({ message_id: crypto.randomUUID(), adjustment_query }, { user_id: 'ada', org_id: 'acme' })
    const taken = (await own.dequeueChartTask())!
    await own.completeTask(taken.task.task_id, taken.lease, { error: new ChartGenerationError('No rows') })
  }
  const { retryAll } = await snippet('retry-all.js')
  t.equal(await retryAll(own, 'acme'), 2)
  t.equal(await retryAll(own, 'acme'), 0, 'harmless when repeated')
  t.equal((await own.getQueueStats()).queue_length, 2)

  const chain = memory()
  t.teardown(() => chain.close())
  const refs = ['d', 'c', 'b', 'a']
  const requests = refs.map((ref, i) => ({ message_id: crypto.randomUUID(), ref, depends_on: refs.slice(i + 1, i + 2) }))
  await chain.enqueueChartTasks(requests, { user_id: 'ada', org_id: 'acme' })
  const base = (await chain.dequeueChartTask())!
  await chain.completeTask(base.task.task_id, base.lease, { error: new ChartGenerationError('No rows') })
  t.equal(await retryAll(chain, 'acme'), 4, 'what is needed goes first, in whatever order it is listed')

  t.equal((await app.inject('/api/v1/analytics/charts/async/stats')).statusCode, 401, 'nobody is not a user')
  await t.rejects(failedTasks('acme'), { code: 'CHARTS_ERR_UNAUTHENTICATED' })
})
