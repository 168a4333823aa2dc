import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import t from 'tap'
import { browserTest } from '../e2e/browser.ts'
import { startHost } from '../helpers/app.ts'
import { openBrowser } from '../helpers/chromium.ts'
import { root } from '../helpers/root.ts'

const PAGE = `
import { StrictMode, createElement as h } from 'react'
import { createRoot } from 'react-dom/client'
import { QueryClient, QueryClientProvider, useQuery } from '@tanstack/react-query'
import { createChartsClient } from './dist/lib/client/index.js'
import { messageQuery, useCancelChart, useChart, useCreateChart } from './dist/examples/react/chart-queries.js'

const charts = createChartsClient()
const root = createRoot(document.getElementById('root'))

function Card ({ task_id }) {
  const { task, chart, error } = useChart(charts, task_id)
  const cancel = useCancelChart(charts)
  const name = task?.adjustment_query
  return h('li', null,
    name + ': ' + (chart?.content ?? error?.message ?? task?.error_message ?? task?.current_step),
    h('button', { onClick: () => cancel.mutate(task_id) }, 'Cancel ' + name))
}

function Message ({ message_id }) {
  const { data } = useQuery(messageQuery(charts, message_id))
  const create = useCreateChart(charts)
  const cards = [...data?.charts ?? [], ...data?.active_tasks ?? [], ...data?.failed_tasks ?? []]
  return h('div', null,
    h('button', { onClick: () => create.mutate({ message_id, adjustment_query: 'new' }) }, 'Create'),
    h('ul', null, cards.map(({ task_id }) => h(Card, { key: task_id, task_id }))))
}

const client = new QueryClient()
globalThis.show = message_id => root.render(h(StrictMode, null, h(QueryClientProvider, { client }, message_id && h(Message, { message_id }))))
`

t.test('TanStack Query: a list, its cards over one connection, a new chart, a cancel, and a page that is left', browserTest, async t => {
  const { outputFiles } = await build({
    stdin: { contents: PAGE, resolveDir: fileURLToPath(root) }, bundle: true, format: 'esm', platform: 'browser', write: false, define: { 'process.env.NODE_ENV': '"development"' }
  })
  const host = await startHost(t, 'memory', { identify: () => ({ user_id: 'ada' }) })
  host.app.get('/', async (_, reply) => reply.type('text/html').send('<!doctype html><title>Charts</title><div id="root"></div><script type="module" src="page.js"></script>'))
  host.app.get('/page.js', async (_, reply) => reply.type('text/javascript').send(outputFiles[0]!.text))
  const page = await (await openBrowser(t)).newPage()
  const faults: string[] = []
  page.on('pageerror', error => faults.push(error.message))
  page.on('console', message => { if (message.type() === 'error' && !message.text().includes('favicon')) faults.push(message.text()) })
  const open = new Set<unknown>()
  const asked: string[] = []
  page.on('request', request => {
    asked.push(`${request.method()} ${new URL(request.url()).pathname.replace(host.path, '')}`)
    if (request.url().includes('/stream/')) open.add(request)
  })
  const close = (request: unknown) => open.delete(request)
  page.on('requestfinished', close).on('requestfailed', close)
  await page.route('**/favicon.ico', route => route.fulfill({ status: 204 }))
  await page.goto(new URL('/', await host.listen()).href)
  await page.waitForFunction(() => 'show' in globalThis)

  const message_id = crypto.randomUUID()
  const [a, b] = [await host.as('ada').create({ message_id, adjustment_query: 'a' }), await host.as('ada').create({ message_id, adjustment_query: 'b' })]
  const show = (message_id: string | null) => page.evaluate(message_id => (globalThis as unknown as { show (message_id: string | null): void }).show(message_id), message_id)
  const shows = (text: string) => page.getByText(text).first().waitFor()
  await show(message_id)
  await shows('b: queued')
  await host.progress(a.task_id, { step: 'rendering' })
  await shows('a: rendering')
  await host.finish(a.task_id, { content: 'apples' })
  await shows('a: apples')
  t.equal(open.size, 1, 'the cards share a connection')

  await page.getByText('Create').click()
  await shows('new: queued')
  await page.getByText('Cancel b').click()
  await shows('b: cancelled')
  t.equal((await host.service.getTaskStatus(b.task_id))?.status, 'CANCELLED')

  const left = page.waitForEvent('requestfailed', request => request.url().includes('/stream/'))
  await show(null)
  await left
  t.equal(open.size, 0, 'nobody follows the new chart any more')
  const before = asked.length
  const [created] = await host.service.getActiveTasksByMessageId(message_id, 'ada')
  await host.finish(created!.task_id, { content: 'newest' })
  await show(message_id)
  await shows('a: apples')
  await shows('new: newest')
  const again = asked.slice(before)
  t.notOk(again.some(request => request.includes(a.task_id)), 'what has ended is in the cache')
  t.same(faults, [])
})
