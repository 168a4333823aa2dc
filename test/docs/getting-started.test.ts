import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { EventSource } from 'eventsource'
import Fastify from 'fastify'
import t from 'tap'
import asyncCharts, { memoryStore } from '../../lib/index.ts'
import { chromiumPath, openBrowser } from '../helpers/chromium.ts'
import { followGuide } from '../helpers/guide.ts'
import { readPage } from '../helpers/markdown.ts'
import { freePort } from '../helpers/ports.ts'
import { redisServerPath, startRedis } from '../helpers/redis.ts'
import { root } from '../helpers/root.ts'

const GUIDE = 'docs/guides/getting-started.md'
const noBrowser = await chromiumPath() === null && 'there is no Chromium'
const noServer = await redisServerPath() === null && 'there is no redis-server'

interface Test {
  teardown (ended: () => unknown): unknown
}

interface Program {
  /** Resolves with the line of its output that has this text; its exit is an error before that. */
  says (text: string): Promise<string>
  /** Tells it to end, and waits; its exit code and signal. */
  end (): Promise<[code: number | null, signal: string | null]>
}

function run (t: Test, folder: string, file: string, env: Record<string, string>): Program {
  const child = spawn(process.execPath, [...process.execArgv, file], {
    cwd: folder, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'inherit']
  })
  const exited = once(child, 'exit') as Promise<[number | null, string | null]>
  const seen: string[] = []
  const lines = createInterface({ input: child.stdout }).on('line', line => seen.push(line))
  t.teardown(async () => {
    child.kill('SIGKILL')
    await exited
  })
  return {
    async says (text) {
      for (;;) {
        const line = seen.find(line => line.includes(text))
        if (line !== undefined) return line
        const [next] = await Promise.race([once(lines, 'line'), exited.then(() => [null])])
        if (next === null) throw new Error(`${file} ended: ${seen.join('\n')}`)
      }
    },
    end () {
      child.kill('SIGTERM')
      return exited
    }
  }
}

t.test('five minutes: a chart comes into the browser', { skip: noBrowser }, async t => {
  const { folder } = await followGuide(t, GUIDE)
  const [, bundling] = /^npx esbuild (.+)$/m.exec(readPage(GUIDE))!
  await promisify(execFile)(fileURLToPath(new URL('node_modules/.bin/esbuild', root)), bundling!.split(' '), { cwd: folder })
  const port = String(await freePort())
  await run(t, folder, 'demo.js', { PORT: port }).says('Server listening')
  const browser = await openBrowser(t)
  const page = await browser.newPage()
  const faults: string[] = []
  page.on('pageerror', error => faults.push(error.message))
  await page.goto(`http://127.0.0.1:${port}`)
  await page.click('button')
  // Texts, not functions: they are the page's, whose types and helpers are not those of a test.
  await page.waitForFunction("document.querySelector('span').textContent === 'rendering'")
  t.equal(await page.evaluate("document.querySelector('progress').value"), 60)
  await page.waitForSelector('svg rect')
  t.equal(await page.locator('svg rect').count(), 3)
  t.equal(await page.textContent('span'), 'completed')
  const url = page.url()
  await page.reload()
  await page.waitForSelector('svg rect')
  t.equal(page.url(), url, 'a reload shows the chart of the same message')

  await page.route('**/*.js', async route => {
    const file = new URL(route.request().url()).pathname
    await route.fulfill({ contentType: 'text/javascript', body: await readFile(join(folder, file), 'utf8') })
  })
  for (const follower of ['charts.js', 'socket.js']) {
    const statuses = await page.evaluate<string[]>(`(async () => {
      const [{ createChart }, { follow }] = await Promise.all([import('/charts.js'), import('/${follower}')])
      const { task_id } = await createChart(crypto.randomUUID())
      const statuses = []
      await new Promise(resolve => follow(task_id, task => {
        statuses.push(task.status)
        if (task.status === 'COMPLETED') resolve()
      }))
      return statuses
    })()`)
    t.match(statuses.join(), /PROCESSING,COMPLETED$/, follower)
  }
  const resumed = await page.evaluate(`(async () => {
    const { cancelChart, chartOf, createChart, follow, resume } = await import('/charts.js')
    const message_id = crypto.randomUUID()
    const { task_id } = await createChart(message_id)
    await new Promise(resolve => follow(task_id, task => task.status === 'COMPLETED' && resolve()))
    const other = await createChart(message_id, 'as a line chart')
    const shown = []
    await new Promise(resolve => resume(message_id, chart => shown.push(...Object.keys(chart.content)), task => {
      if (task.status === 'CANCELLED') resolve()
      else cancelChart(other.task_id)
    }))
    return { shown, same: (await chartOf(task_id)).task_id === task_id }
  })()`)
  t.same(resumed, { shown: ['svg'], same: true })
  const late = await page.evaluate(`(async () => {
    const { createChart, resume } = await import('/charts.js')
    const message_id = crypto.randomUUID()
    const { task_id } = await createChart(message_id)
    const chart = await new Promise(resolve => resume(message_id, resolve, () => {}))
    return { same: chart.task_id === task_id, content: Object.keys(chart.content) }
  })()`)
  t.same(late, { same: true, content: ['svg'] }, 'a chart that was running at the reload is shown')
  t.same(faults, [])
})

t.test('two queues in one application: each with its own routes and its own service', async t => {
  const { folder } = await followGuide(t, GUIDE)
  const { app } = await import(pathToFileURL(join(folder, 'two-queues.js')).href)
  t.teardown(() => app.close())
  for (const name of ['charts', 'reports']) {
    const url = `/api/v1/${name}/charts/async`
    const payload = { message_id: crypto.randomUUID() }
    const { task_id } = (await app.inject({ method: 'POST', url, payload, headers: { prefer: 'wait=5' } })).json()
    t.match((await app.inject(`${url}/${task_id}/result`)).json(), { content: { from: name } })
  }
  t.equal(app.hasDecorator('asyncCharts'), false)

  const twice = Fastify()
  t.teardown(() => twice.close())
  const register = async () => twice.register(asyncCharts, { store: memoryStore(), identify: () => null })
  await register()
  const promised = /A second\s+registration in the same context fails with `(\w+)`/.exec(readPage(GUIDE))![1]
  await t.rejects(register(), { code: promised })
})

t.test('Redis and a worker: two processes, a cookie, and both end by themselves', { skip: noServer }, async t => {
  const { folder } = await followGuide(t, GUIDE)
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  const PORT = String(await freePort())
  const server = run(t, folder, 'server.js', { PORT, REDIS_URL: redis.url })
  const worker = run(t, folder, 'worker.js', { REDIS_URL: redis.url })
  await server.says('Server listening')
  const origin = `http://127.0.0.1:${PORT}`
  const charts = `${origin}/api/v1/analytics/charts`
  t.same(await (await fetch(`${origin}/ready`)).json(), { store: true, feed: true, writable: true })
  t.match(await (await fetch(origin)).text(), '<button>Draw</button>', 'the page of the first stage')

  const body = JSON.stringify({ message_id: crypto.randomUUID() })
  const post = (headers: Record<string, string>) =>
    fetch(`${charts}/async`, { method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body })
  t.equal((await post({})).status, 401)
  const cookie = { cookie: 'theme=dark; session=secret-of-ada' }
  const created = await post(cookie)
  t.equal(created.status, 202)
  const { task_id } = await created.json() as { task_id: string }
  const source = new EventSource(`${charts}/stream/${task_id}`, {
    fetch: (url, init) => fetch(url, { ...init, headers: { ...init.headers, ...cookie } } as RequestInit)
  })
  t.teardown(() => source.close())
  await new Promise<void>(resolve => {
    source.onmessage = ({ data }) => JSON.parse(data).data.status === 'COMPLETED' && resolve()
  })
  source.close()
  const result = await fetch(`${charts}/async/${task_id}/result`, { headers: cookie })
  t.match(await result.json(), { content: { svg: /^<svg/ } })
  t.equal((await fetch(`${charts}/async/stats`, { headers: cookie })).status, 200)
  t.equal((await fetch(`${charts}/async/stats`, { headers: { cookie: 'session=secret-of-bob' } })).status, 403)

  t.same(await Promise.all([server.end(), worker.end()]), [[0, null], [0, null]])
})
