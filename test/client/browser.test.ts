import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import t from 'tap'
import type { Page } from 'playwright-core'
import type { ChartsClient, PublicChartTask } from '../../lib/client/index.ts'
import { browserTest } from '../e2e/browser.ts'
import { startHost, type HostOptions } from '../helpers/app.ts'
import { openBrowser } from '../helpers/chromium.ts'
import { root } from '../helpers/root.ts'

const message_id = 'b4fb1bd1-0f68-4e51-9d3c-3cba7b1e0b8e'

/** What the page of these tests has. */
interface ChartsPage {
  charts: ChartsClient
  states: PublicChartTask[]
  ended: Promise<unknown>
}
declare const globalThis: ChartsPage & { document: object, dispatchEvent (event: unknown): void, Event: new (type: string) => unknown }

const { outputFiles } = await build({
  stdin: { contents: "import { createChartsClient } from './dist/lib/client/index.js'\nObject.assign(globalThis, { createChartsClient, charts: createChartsClient() })", resolveDir: fileURLToPath(root) },
  bundle: true,
  format: 'esm',
  platform: 'browser',
  write: false
})

t.test('in a browser', browserTest, async t => {
  const browser = await openBrowser(t)

  /** A page with the client, and the streams that it has opened. */
  async function open (t: Parameters<typeof startHost>[0], options: HostOptions = {}) {
    const host = await startHost(t, 'memory', { identify: () => ({ user_id: 'ada' }), ...options })
    host.app.get('/', async (_, reply) => reply.type('text/html').send('<!doctype html><title>Charts</title><script type="module" src="client.js"></script>'))
    host.app.get('/client.js', async (_, reply) => reply.type('text/javascript').send(outputFiles[0]!.text))
    const page = await browser.newPage()
    t.teardown(() => page.close())
    const streams: string[] = []
    page.on('request', request => { if (request.url().includes('/stream/')) streams.push(request.url()) })
    await page.goto(new URL('/', await host.listen()).href)
    await page.waitForFunction(() => 'charts' in globalThis)
    return { host, page, streams }
  }

  /** Asks for a chart and follows it. */
  const follow = (page: Page) => page.evaluate(async message_id => {
    const { task_id } = await globalThis.charts.create({ message_id })
    globalThis.states = []
    globalThis.ended = (async () => {
      for await (const state of globalThis.charts.watch(task_id)) globalThis.states.push(state)
    })()
    return task_id
  }, message_id)
  const shows = (page: Page, step: string) => page.waitForFunction(step => globalThis.states.at(-1)?.current_step === step, step)
  const ended = (page: Page) => page.evaluate(async () => {
    await globalThis.ended
    return globalThis.states.map(({ status, version }) => ({ status, version }))
  })

  await t.test('generate, below the origin of the page', async t => {
    const { page } = await open(t, { generate: async ({ adjustment_query }) => ({ asked: adjustment_query }) })
    const chart = await page.evaluate(message_id => globalThis.charts.generate({ message_id, adjustment_query: 'as a line chart' }), message_id)
    t.match(chart, { message_id, content: { asked: 'as a line chart' } })
    const code = await page.evaluate(() => globalThis.charts.create({ message_id: 'x' }).catch(error => error.code))
    t.equal(code, 'INVALID_ARGUMENT')
  })

  await t.test('a hidden tab goes on', async t => {
    const { host, page, streams } = await open(t)
    const task_id = await follow(page)
    await shows(page, 'queued')
    await page.evaluate(() => {
      Object.defineProperties(globalThis.document, { hidden: { value: true }, visibilityState: { value: 'hidden' } })
      for (const target of [globalThis.document as typeof globalThis, globalThis]) target.dispatchEvent(new globalThis.Event('visibilitychange'))
    })
    await host.progress(task_id, { step: 'rendering' })
    await shows(page, 'rendering')
    await host.finish(task_id, { content: 1 })
    t.equal((await ended(page)).at(-1)!.status, 'COMPLETED')
    t.equal(streams.length, 1)
  })

  await t.test('200 cards of a message have one connection', async t => {
    const { host, page, streams } = await open(t)
    const task_ids = await page.evaluate(async message_id => {
      const { charts } = globalThis
      const halves = await Promise.all([0, 1].map(half => charts.createBatch(Array.from({ length: 100 }, (_, i) => ({ message_id, adjustment_query: `${half}.${i}` })))))
      const task_ids = halves.flatMap(({ tasks }) => tasks.map(({ task_id }) => task_id))
      globalThis.states = []
      let begun = () => {}
      const all = new Promise<void>(resolve => { begun = resolve })
      globalThis.ended = Promise.all(task_ids.map(async task_id => {
        let isFirst = true
        for await (const state of charts.watch(task_id)) {
          if (isFirst && globalThis.states.push(state) === task_ids.length) begun()
          isFirst = false
          if (state.completed_at) globalThis.states.push(state)
        }
      }))
      await all
      return task_ids
    }, message_id)
    for (const task_id of task_ids) await host.finish(task_id, { content: 1 })
    t.equal((await ended(page)).filter(({ status }) => status === 'COMPLETED').length, 200)
    t.equal(streams.length, 1)
  })

  await t.test('offline, and back', async t => {
    const { host, page } = await open(t, { stream: { maxDuration: 500 } })
    const task_id = await follow(page)
    await shows(page, 'queued')
    const failed = page.waitForEvent('requestfailed')
    await page.context().setOffline(true)
    await failed
    await host.finish(task_id, { content: 1 })
    const back = performance.now()
    await page.context().setOffline(false)
    const states = await ended(page)
    t.equal(states.at(-1)!.status, 'COMPLETED')
    t.ok(performance.now() - back < 10_000, 'soon')
    t.ok(states.every(({ version }, i) => i === 0 || version > states[i - 1]!.version))
  })

  await t.test('another origin, with a token', async t => {
    const cors = (await import('@fastify/cors')).default
    const { host } = await open(t, { before: app => app.register(cors, { origin: true, methods: ['GET', 'POST', 'DELETE'] }), generate: async () => 1 })
    const { page } = await open(t)
    const address = host.app.listeningOrigin.replace('127.0.0.1', 'localhost')
    const chart = await page.evaluate(async ({ baseUrl, message_id }) => {
      const { createChartsClient } = globalThis as unknown as { createChartsClient: typeof import('../../lib/client/index.ts').createChartsClient }
      const charts = createChartsClient({ baseUrl, headers: async () => ({ authorization: 'Bearer secret' }) })
      return charts.generate({ message_id })
    }, { baseUrl: `${address}/api/v1/analytics`, message_id })
    t.match(chart, { content: 1 })
  })
})
