import t from 'tap'
import type { Chart } from 'fastify-async-charts'
import { messages } from '../../examples/chat/messages.ts'
import { freePort } from '../helpers/ports.ts'
import { startExample } from './example.ts'
import { Visitor } from './visitor.ts'

const [weather, employment, electricity, penguins] = messages.map(({ id }) => id) as [string, string, string, string]

t.test('the demo, one process without Redis', async t => {
  const port = await freePort()
  const demo = await startExample(t, 'demo', { PORT: String(port), PACE: '60' })
  t.equal(demo.address, `http://127.0.0.1:${port}`)
  const ada = await Visitor.arrive(demo.address)
  const bob = await Visitor.arrive(demo.address)

  await t.test('greets a newcomer with a page and a cookie that scripts cannot read', async t => {
    const page = await fetch(demo.address)
    t.match(page.headers.get('set-cookie'), /^chat_user=[\da-f-]{36}; Path=\/; .*HttpOnly; SameSite=Lax$/)
    t.match(page.headers.get('content-security-policy'), /default-src 'self'/)
    t.match(await page.text(), '<title>Analytics chat</title>')
    for (const [path, type] of [['chat.js', /javascript/], ['style.css', /css/], ['favicon.svg', /svg/]] as const) {
      t.match((await fetch(`${demo.address}/${path}`)).headers.get('content-type'), type)
    }
    const again = await fetch(demo.address, { headers: { cookie: page.headers.get('set-cookie')!.split(';')[0]! } })
    t.notOk(again.headers.has('set-cookie'), 'who is known keeps it')
  })

  await t.test('lists its messages', async t => {
    const listed = await (await fetch(`${demo.address}/messages`)).json() as { id: string }[]
    t.same(listed.map(({ id }) => id), messages.map(({ id }) => id))
  })

  await t.test('asks who is calling', async t => {
    for (const cookie of ['', 'chat_user=', 'chat_user=ada']) {
      const nobody = await new Visitor(demo.address, cookie).create(weather)
      t.equal(nobody.status, 401)
      t.match(await nobody.json(), { statusCode: 401, code: 'CHARTS_ERR_UNAUTHENTICATED' })
    }
  })

  await t.test('makes a chart while one watches', async t => {
    const task = await ada.accepted(weather)
    const states = await ada.watch(task.task_id, ({ completed_at }) => completed_at !== null)
    t.match(states.at(-1), { status: 'COMPLETED', progress: 100, attempt: 1, error_message: null })
    t.same(Object.keys(states.at(-1)!.step_progress), ['data_extraction', 'llm_generation', 'schema_creation', 'rendering'])
    const chart = await (await ada.ask(`/async/${task.task_id}/result`)).json() as Chart
    t.match(chart.content, { title: 'Precipitation by month', svg: /^<svg/, spec: { data: { name: 'rows' } }, rows: [{ month: 'Jan' }] })

    const again = await ada.create(weather)
    t.equal(again.status, 200, 'and has it when it is asked for again')
    t.match(await again.json(), { task_id: task.task_id, chart_id: chart.chart_id })
    t.equal((await ada.create(weather, null, true)).status, 202, 'unless a new one is forced')
  })

  await t.test('keeps it from others', async t => {
    const [chart] = (await ada.chartsOf(weather)).charts
    for (const path of [`/async/${chart!.task_id}/status`, `/async/${chart!.task_id}/result`, `/stream/${chart!.task_id}`]) {
      t.equal((await bob.ask(path)).status, 404)
    }
    t.same((await bob.chartsOf(weather)).charts, [])
  })

  await t.test('says what is wrong', async t => {
    const wrong = { 'as a pie chart': 'ADJUSTMENT_NOT_UNDERSTOOD', 'by species': 'UNKNOWN_FIELD', 'only 1890': 'NO_DATA' }
    for (const [adjustment, error_code] of Object.entries(wrong)) {
      const task = await ada.finished((await ada.accepted(weather, adjustment)).task_id)
      t.match(task, { status: 'FAILED', error_code, attempt: 1 }, 'at once: another try would end the same way')
      const result = await ada.ask(`/async/${task.task_id}/result`)
      t.equal(result.status, 409)
      t.match(await result.json(), { code: 'CHARTS_ERR_TASK_FAILED', message: task.error_message })
    }
    t.match((await ada.chartsOf(weather)).failed_tasks.map(({ error_code }) => error_code), ['NO_DATA', 'UNKNOWN_FIELD', 'ADJUSTMENT_NOT_UNDERSTOOD'])
    t.match(await ada.finished((await ada.accepted(crypto.randomUUID())).task_id), { status: 'FAILED', error_code: 'UNKNOWN_MESSAGE' })
  })

  await t.test('cancels', async t => {
    const { task_id } = await ada.accepted(penguins)
    const cancelled = await ada.ask(`/async/${task_id}`, { method: 'DELETE' })
    t.equal(cancelled.status, 200)
    t.match(await cancelled.json(), { status: 'CANCELLED' })
    t.match(await ada.finished(task_id), { status: 'CANCELLED' })
    t.match(await ada.chartsOf(penguins), { charts: [], has_active_tasks: false })
  })

  await t.test('makes many at a time, each its own', async t => {
    const tasks = await Promise.all(messages.flatMap(({ id, suggestions }) => suggestions.map(suggestion => bob.accepted(id, suggestion))))
    const finished = await Promise.all(tasks.map(({ task_id }) => bob.finished(task_id)))
    t.same(finished.filter(({ status }) => status !== 'COMPLETED'), [])
    for (const { id, suggestions } of messages) {
      t.same((await bob.chartsOf(id)).charts.map(chart => chart.adjustment_query).sort(), [...suggestions].sort())
    }
  })

  t.equal(demo.output.trim().split('\n').length, 10, 'has printed nothing but its greeting')
})

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  t.test(`${signal} ends the demo promptly, whatever runs and whoever watches`, async t => {
    const demo = await startExample(t, 'demo', { PORT: String(await freePort()), PACE: '60000' })
    const ada = await Visitor.arrive(demo.address)
    const { task_id } = await ada.accepted(weather)
    await Promise.all([employment, electricity, penguins].map(id => ada.accepted(id)))
    await ada.watch(task_id, ({ status }) => status === 'PROCESSING')
    const stream = await ada.ask(`/stream/${task_id}`)
    const begun = performance.now()
    t.equal(await demo.end(signal), 0)
    t.ok(performance.now() - begun < 3_000, `${Math.round(performance.now() - begun)} ms`)
    t.ok((await stream.text()).includes('retry:'), 'the watcher is told to come back')
  })
}

t.test('what it cannot start with is said in a line', async t => {
  await t.rejects(startExample(t, 'demo', { PORT: 'abc' }), /PORT must be a whole number, got abc/)
  const PORT = String(await freePort())
  await startExample(t, 'demo', { PORT })
  await t.rejects(startExample(t, 'demo', { PORT }), new RegExp(`port ${PORT} already: PORT=${Number(PORT) + 1}`))
})
