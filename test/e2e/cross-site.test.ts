import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { fetchEventSource as FetchEventSource } from '@microsoft/fetch-event-source'
import t, { type Test } from 'tap'
import Fastify from 'fastify'
import { startHost } from '../helpers/app.ts'
import { openBrowser } from '../helpers/chromium.ts'
import { browserTest } from './browser.ts'

/** The modules of @microsoft/fetch-event-source import each other without an extension. */
const FETCH_EVENT_SOURCE = fileURLToPath(new URL('.', import.meta.resolve('@microsoft/fetch-event-source'))).replace(/lib\/\w+\/$/, 'lib/esm/')

/** A site of its own for the browser: another host name is another site. */
async function startSite (t: Test, name: string): Promise<string> {
  const app = Fastify()
  app.get('/', async (_request, reply) => reply.type('text/html').send('<!doctype html><title>a page</title>'))
  t.teardown(() => app.close())
  await app.listen({ port: 0, host: '127.0.0.1' })
  return `http://${name}:${(app.server.address() as { port: number }).port}`
}

t.test('a browser at two sites', browserTest, async t => {
  const browser = await openBrowser(t)
  const host = await startHost(t, 'memory', { authorize: () => true, stream: { maxDuration: 300 } })
  host.app.get('/', async (_request, reply) => reply.type('text/html').send('<!doctype html><title>our page</title>'))
  host.app.get('/login', async (_request, reply) => reply.header('set-cookie', 'user=ada; Path=/').send('ada'))
  host.app.get<{ Params: { name: string } }>('/fetch-event-source/:name', async ({ params }, reply) =>
    reply.type('text/javascript').send(readFileSync(`${FETCH_EVENT_SOURCE}${params.name.replace(/(\.js)?$/, '.js')}`)))
  const base = await host.listen()
  const { origin } = new URL(base)
  const page = await (await browser.newContext()).newPage()

  await t.test('a page of another site cannot pause the queue with the cookie of its visitor', async t => {
    // The same host name, so that SameSite does not keep the cookie back: only the port differs.
    const evil = await startSite(t, '127.0.0.1')
    await page.goto(`${origin}/login`)
    await page.goto(evil)
    const send = (init: RequestInit) => page.evaluate(async ([url, init]) => {
      // It may send, but not read: what came of it, the host says.
      await fetch(url, { method: 'POST', credentials: 'include', mode: 'no-cors', ...init })
    }, [`${base}/admin/pause`, init] as const)
    for (const init of [{}, { body: '{}', headers: { 'content-type': 'text/plain' } }]) {
      const refused = page.waitForResponse(response => response.request().method() === 'POST')
      await send(init)
      t.equal((await refused).status(), 403)
    }
    const answered = page.waitForNavigation()
    await page.evaluate(url => {
      const { document } = globalThis as unknown as { document: { body: { innerHTML: string }, forms: Array<{ submit (): void }> } }
      document.body.innerHTML = `<form method="post" action="${url}"></form>`
      document.forms[0]!.submit()
    }, `${base}/admin/pause`)
    const form = (await answered)!
    t.equal(form.status(), 403, 'by a form neither')
    t.match(await form.json(), { code: 'CHARTS_ERR_CROSS_SITE' })
    t.equal((await host.service.getQueueStats()).paused, false)
  })

  await t.test('our own page can', async t => {
    await page.goto(origin)
    for (const operation of ['pause', 'resume']) {
      const status = await page.evaluate(async url => (await fetch(url, { method: 'POST' })).status, `${base}/admin/${operation}`)
      t.equal(status, 200)
      t.equal((await host.service.getQueueStats()).paused, operation === 'pause')
    }
  })

  for (const client of ['EventSource', 'fetch-event-source'] as const) {
    await t.test(`${client}: progress, a reconnect, the finished task, and no more`, async t => {
      const { task_id } = await host.as('ada').create()
      await page.goto(origin)
      await page.addScriptTag({ type: 'module', content: "import { fetchEventSource } from '/fetch-event-source/index.js'\nObject.assign(globalThis, { fetchEventSource })" })
      await page.waitForFunction(() => 'fetchEventSource' in globalThis)
      await page.evaluate(async ([client, url]) => {
        const seen: string[] = []
        Object.assign(globalThis, { seen, stopped: false })
        if (client === 'EventSource') {
          const source = new (globalThis as unknown as { EventSource: new (url: string) => { onmessage: unknown, onerror: unknown, readyState: number } }).EventSource(url)
          source.onmessage = ({ data }: { data: string }) => seen.push(data)
          source.onerror = () => { if (source.readyState === 2) Object.assign(globalThis, { stopped: true }) }
        } else {
          const { fetchEventSource } = globalThis as unknown as { fetchEventSource: typeof FetchEventSource }
          const leaving = new AbortController()
          fetchEventSource(url, {
            signal: leaving.signal,
            openWhenHidden: true,
            async onopen ({ status }: Response) { if (status === 204) leaving.abort() },
            onmessage ({ data }: { data: string }) {
              seen.push(data)
              JSON.parse(data)
            },
            onclose () { throw new Error('come back') }
          }).then(() => Object.assign(globalThis, { stopped: true }))
        }
      }, [client, `${base}/stream/${task_id}`] as const)
      const has = (text: string) => page.waitForFunction(text => (globalThis as unknown as { seen: string[] }).seen.some(data => data.includes(text)), text)
      await has('PENDING')
      await host.progress(task_id, { step: 'rendering' })
      await has('rendering')
      // Ended by the server meanwhile, it comes back.
      await page.waitForRequest(request => request.url().includes(task_id))
      await host.finish(task_id, { content: 1 })
      await page.waitForFunction(() => (globalThis as unknown as { stopped: boolean }).stopped)
      const seen: string[] = await page.evaluate(() => (globalThis as unknown as { seen: string[] }).seen)
      const versions = seen.map(data => JSON.parse(data).data.version)
      t.strictSame(versions, [...new Set(versions)].sort((a, b) => a - b), 'each state once')
      t.equal(JSON.parse(seen.at(-1)!).data.status, 'COMPLETED')
    })
  }
})
