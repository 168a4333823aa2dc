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
import { createChartsClient } from './dist/lib/client/index.js'
import { useChart } from './dist/examples/react/use-chart.js'

const charts = createChartsClient()
const root = createRoot(document.getElementById('root'))

function Card ({ task_id }) {
  const { task, chart, error } = useChart(charts, task_id)
  return h('p', null, chart ? 'Chart: ' + chart.content : error?.message ?? task?.error_message ?? task?.current_step ?? '…')
}
globalThis.show = task_ids => root.render(h(StrictMode, null, task_ids.map(task_id => h(Card, { key: task_id, task_id }))))
`

t.test('the React hook: cards that share a connection, in strict mode too, and leave it', browserTest, async t => {
  const { outputFiles } = await build({
    stdin: { contents: PAGE, resolveDir: fileURLToPath(root) }, bundle: true, format: 'esm', platform: 'browser', write: false, define: { 'process.env.NODE_ENV': '"development"' }
  })
  const host = await startHost(t, 'memory', { identify: () => ({ user_id: 'ada' }) })
  host.app.get('/', async (_, reply) => reply.type('text/html').send('<!doctype html><title>Charts</title><div id="root"></div><script type="module" src="page.js"></script>'))
  host.app.get('/page.js', async (_, reply) => reply.type('text/javascript').send(outputFiles[0]!.text))
  const page = await (await openBrowser(t)).newPage()
  const faults: string[] = []
  page.on('pageerror', error => faults.push(error.message))
  const open = new Set<unknown>()
  let most = 0
  page.on('request', request => {
    if (request.url().includes('/stream/')) most = Math.max(most, open.add(request).size)
  })
  const close = (request: unknown) => open.delete(request)
  page.on('requestfinished', close).on('requestfailed', close)
  await page.goto(new URL('/', await host.listen()).href)
  await page.waitForFunction(() => 'show' in globalThis)

  const message_id = crypto.randomUUID()
  const [a, b] = [await host.as('ada').create({ message_id, adjustment_query: 'a' }), await host.as('ada').create({ message_id, adjustment_query: 'b' })]
  const show = (task_ids: string[]) => page.evaluate(task_ids => (globalThis as unknown as { show (task_ids: string[]): void }).show(task_ids), task_ids)
  const shows = (text: string) => page.getByText(text).first().waitFor()
  await show([a.task_id, b.task_id])
  await host.progress(a.task_id, { step: 'rendering' })
  await shows('rendering')
  await host.finish(a.task_id, { content: 'apples' })
  await shows('Chart: apples')
  t.equal(most, 1)
  t.equal(open.size, 1, 'the other card still follows')

  const left = page.waitForEvent('requestfailed')
  await show([a.task_id])
  await left
  t.equal(open.size, 0)
  await show([crypto.randomUUID()])
  await shows('Chart task not found')
  t.same(faults, [])
})
