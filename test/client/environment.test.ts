import t from 'tap'
import { createChartsClient } from '../../lib/client/index.ts'
import { abortable, pause } from '../../lib/client/timing.ts'

const message_id = 'b4fb1bd1-0f68-4e51-9d3c-3cba7b1e0b8e'
const task = {
  task_id: '279d231d-993b-405c-9862-d8e7477cb800', message_id, chart_id: null, status: 'PENDING', version: 1, completed_at: null
}
const json = (body: unknown, headers: Record<string, string> = {}) => new Response(JSON.stringify(body), { headers: { 'content-type': 'application/json', ...headers } })

t.test('in a page, the base URL is relative to the address of the page', async t => {
  Object.assign(globalThis, { location: { href: 'https://app.example/reports/7' } })
  t.teardown(() => { delete (globalThis as { location?: unknown }).location })
  const asked: string[] = []
  const charts = createChartsClient({
    baseUrl: '/analytics',
    fetch: async url => {
      asked.push(String(url))
      return json(task)
    }
  })
  await charts.status(task.task_id)
  t.same(asked, [`https://app.example/analytics/charts/async/${task.task_id}/status`])
})

t.test('in a page, a pause ends when the browser is online again', async t => {
  const page = new EventTarget()
  const { addEventListener, removeEventListener } = page
  Object.assign(globalThis, { addEventListener: addEventListener.bind(page), removeEventListener: removeEventListener.bind(page) })
  t.teardown(() => {
    delete (globalThis as { addEventListener?: unknown }).addEventListener
    delete (globalThis as { removeEventListener?: unknown }).removeEventListener
  })
  const paused = pause(60_000, undefined)
  page.dispatchEvent(new Event('online'))
  await paused
  t.pass('it has ended')
})

t.test('what was aborted before is not waited for', async t => {
  const reason = new Error('left')
  await t.rejects(abortable(AbortSignal.abort(reason), new Promise(() => {})), reason)
})

t.test('a stream that the server answers with 204 has ended: the watch ends, too', async t => {
  const charts = createChartsClient({
    baseUrl: 'http://charts.example',
    fetch: async url => String(url).includes('/stream/') ? new Response(null, { status: 204 }) : json({ tasks: [task] })
  })
  const states = []
  for await (const { status } of charts.watchBatch('0d3b1c0e-8c39-4f3e-9d0a-6f0a5e0c7a11')) states.push(status)
  t.same(states, ['PENDING'])
})

t.test('a client that has asked for thousands of tasks still knows how to watch one of the first', async t => {
  const asked: string[] = []
  const idOf = (i: number) => `${String(i).padStart(8, '0')}-993b-405c-9862-d8e7477cb800`
  const charts = createChartsClient({
    baseUrl: 'http://charts.example',
    fetch: async url => {
      asked.push(String(url))
      const id = /async\/([\da-f-]{36})/.exec(String(url))?.[1]
      return json(id ? { ...task, task_id: id, status: 'COMPLETED', completed_at: '2030-01-01T00:00:00.000Z' } : { active_tasks: [] })
    }
  })
  for (let i = 0; i <= 1_000; i++) await charts.status(idOf(i))
  asked.length = 0
  const states = []
  for await (const { status } of charts.watch(idOf(0))) states.push(status)
  t.same(states, ['COMPLETED'])
  t.match(asked[0], `${idOf(0)}/status`, 'it asks again for what it has forgotten')
})
