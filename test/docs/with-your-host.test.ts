import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { request as requestHttp } from 'node:http'
import { connect } from 'node:http2'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { EventSource } from 'eventsource'
import type { FastifyInstance } from 'fastify'
import { generate } from 'selfsigned'
import t from 'tap'
import { createChartsClient } from '../../lib/client/index.ts'
import { findExecutable } from '../helpers/executables.ts'
import { followGuide } from '../helpers/guide.ts'
import { readPage } from '../helpers/markdown.ts'
import { freePort } from '../helpers/ports.ts'
import { chromiumPath, openBrowser } from '../helpers/chromium.ts'
import { openWebSocket, tryWebSocket } from '../helpers/streams.ts'

const GUIDE = 'docs/guides/with-your-host.md'
const CHARTS = '/api/v1/analytics/charts'
const { folder } = await followGuide(t, GUIDE)
const snippet = (file: string) => import(pathToFileURL(join(folder, file)).href)
const { buildApp } = await snippet('server.js')
const secret = 'a secret of thirty-two characters'

interface Test {
  teardown (ended: () => unknown): unknown
}

/** The host of the guide, and the cookie of somebody who has logged in. */
async function startHost (t: Test, settings: object = {}): Promise<{ app: FastifyInstance, cookie: string }> {
  // Without TLS here: a secure cookie would not be set.
  const app: FastifyInstance = await buildApp({ secret, secure: false, ...settings })
  t.teardown(() => app.close())
  const login = await app.inject({ method: 'POST', url: '/login' })
  return { app, cookie: String(login.headers['set-cookie']).split(';')[0]! }
}

async function create (app: FastifyInstance, headers: Record<string, string>) {
  const payload = { message_id: crypto.randomUUID() }
  return app.inject({ method: 'POST', url: `${CHARTS}/async`, headers: { prefer: 'wait=5', ...headers }, payload })
}

const streamOf = (task_id: string) => `${CHARTS}/stream/${task_id}`

t.test('a session says who it is; headers for other origins and of helmet are on answers and streams', async t => {
  const { app, cookie } = await startHost(t)
  t.equal((await create(app, {})).statusCode, 401)
  const origin = { origin: 'https://app.example' }
  const created = await create(app, { cookie, ...origin })
  t.equal(created.statusCode, 200)
  const stream = await app.inject({ url: streamOf(created.json().task_id), headers: { cookie, ...origin } })
  t.match(stream.headers['content-type'], /event-stream/)
  for (const { headers } of [created, stream]) {
    t.equal(headers['access-control-allow-origin'], 'https://app.example')
    t.match(headers['access-control-expose-headers'], /Retry-After, Idempotent-Replayed/)
    t.match(headers['content-security-policy'], /img-src 'self' data: blob:/)
  }
  const preflight = await app.inject({
    method: 'OPTIONS',
    url: `${CHARTS}/async/${created.json().task_id}`,
    headers: { ...origin, 'access-control-request-method': 'DELETE', 'access-control-request-headers': 'prefer,idempotency-key' }
  })
  t.match(preflight.headers['access-control-allow-methods'], /DELETE/)
  t.equal(preflight.headers['access-control-allow-headers'], 'prefer,idempotency-key')
})

t.test('answers name no other headers than those that pages of other origins may read', async t => {
  const { app, cookie } = await startHost(t)
  const created = await create(app, { cookie, 'idempotency-key': 'once' })
  const { task_id, message_id } = created.json()
  const known = ['location', 'etag', 'retry-after', 'idempotent-replayed', 'preference-applied', 'stream-cursor']
  const exposed = /exposedHeaders: \[(.+)\]/.exec(readPage(GUIDE))![1]!.replaceAll("'", '').toLowerCase().split(', ')
  t.same(exposed, known)
  const usual = /^(?:access-control-.*|vary|cache-control|content-.*|date|connection|set-cookie|x-.*|cross-origin-.*|origin-agent-cluster|referrer-policy|strict-transport-security|transfer-encoding)$/
  for (const url of [`/async/${task_id}/status`, `/async/${task_id}/result`, `/by-message/${message_id}`]) {
    const { headers } = await app.inject({ url: `${CHARTS}${url}`, headers: { cookie } })
    for (const name of Object.keys(headers)) t.ok(usual.test(name) || known.includes(name), `${url} ${name}`)
  }
})

t.test('large answers are compressed, streams are not', async t => {
  const { app, cookie } = await startHost(t)
  const { task_id, message_id } = (await create(app, { cookie })).json()
  const headers = { cookie, 'accept-encoding': 'gzip' }
  for (const path of [`/async/${task_id}/result`, `/by-message/${message_id}`]) {
    t.equal((await app.inject({ url: `${CHARTS}${path}`, headers })).headers['content-encoding'], 'gzip', path)
  }
  const origin = await app.listen({ port: 0, host: '127.0.0.1' })
  const charts = createChartsClient({ baseUrl: `${origin}/api/v1/analytics`, headers: () => ({ cookie }) })
  t.match(await charts.result(task_id), { content: { rows: { length: 500 } } })
  const stream = await app.inject({ url: streamOf(task_id), headers })
  t.equal(stream.headers['content-encoding'], undefined)
  t.match(stream.body, /"status":"COMPLETED"/)
})

t.test('a rate limit is for requests, and a stream is never refused by it', async t => {
  const { app, cookie } = await startHost(t, { limits: { max: 3 } })
  const { task_id } = (await create(app, { cookie })).json()
  const status = () => app.inject({ url: `${CHARTS}/async/${task_id}/status`, headers: { cookie } })
  let answer = await status()
  for (let i = 0; i < 3 && answer.statusCode === 200; i++) answer = await status()
  t.equal(answer.statusCode, 429)
  t.ok(Number(answer.headers['retry-after']) > 0)
  for (let i = 0; i < 5; i++) t.equal((await app.inject({ url: streamOf(task_id), headers: { cookie } })).statusCode, 200)
  const origin = await app.listen({ port: 0, host: '127.0.0.1' })
  const socket = await openWebSocket(`${origin}${CHARTS}/ws/${task_id}`, { headers: { cookie } })
  t.match(await socket.task(), { status: 'COMPLETED' })
})

t.test('behind a trusted proxy, users have limits of their own', async t => {
  const { app, cookie } = await startHost(t, { limits: { max: 2 }, trustProxy: true })
  const { task_id } = (await create(app, { cookie, 'x-forwarded-for': '192.0.2.1' })).json()
  const status = (address: string) => app.inject({ url: `${CHARTS}/async/${task_id}/status`, headers: { cookie, 'x-forwarded-for': address } })
  t.equal((await status('192.0.2.1')).statusCode, 200)
  t.equal((await status('192.0.2.1')).statusCode, 429)
  t.equal((await status('192.0.2.2')).statusCode, 200)
})

t.test('users have limits of their own where they are counted', async t => {
  const { limits } = await snippet('per-user.js')
  const { app, cookie } = await startHost(t, { limits: { max: 2, ...limits } })
  // Who is nobody is refused before anything is counted.
  for (let i = 0; i < 2; i++) await create(app, {})
  t.equal((await create(app, { cookie })).statusCode, 200)
  t.equal((await create(app, { cookie })).statusCode, 200)
  t.equal((await create(app, { cookie })).statusCode, 429)
})

t.test('a secure cookie is set behind a proxy that is trusted', async t => {
  for (const trustProxy of [true, false]) {
    const { app } = await startHost(t, { secure: true, trustProxy })
    const { headers } = await app.inject({ method: 'POST', url: '/login', headers: { 'x-forwarded-proto': 'https' } })
    t.equal(headers['set-cookie'] !== undefined, trustProxy)
  }
})

t.test('a 429 ends an EventSource for good', async t => {
  const source = new EventSource('http://127.0.0.1', { fetch: async () => new Response('', { status: 429, headers: { 'retry-after': '1' } }) })
  await new Promise<void>(resolve => { source.onerror = () => resolve() })
  t.equal(source.readyState, EventSource.CLOSED)
})

t.test('tokens: from a header and from a cookie, and a wrong one is nobody', async t => {
  const { buildApp } = await snippet('jwt.js')
  const app = await buildApp(secret)
  t.teardown(() => app.close())
  const token = app.jwt.sign({ sub: 'ada' })
  const created = await create(app, { authorization: `Bearer ${token}` })
  t.match(created.json(), { status: 'COMPLETED' })
  const { task_id } = created.json()
  t.equal((await app.inject({ url: streamOf(task_id), headers: { cookie: `token=${token}` } })).statusCode, 200)
  for (const headers of [{}, { authorization: 'Bearer x.y.z' }, { cookie: `token=${app.jwt.sign({ sub: 'ada' }, { expiresIn: -1 })}` }]) {
    t.match((await create(app, headers as Record<string, string>)).json(), { statusCode: 401, code: 'CHARTS_ERR_UNAUTHENTICATED' })
  }
})

t.test('an overloaded process refuses requests and lets streams pass', async t => {
  const { buildApp } = await snippet('pressure.js')
  // Any process has more than a byte of heap.
  const app = await buildApp({ maxHeapUsedBytes: 1, sampleInterval: 1 })
  t.teardown(() => app.close())
  await app.ready()
  const { task } = await app.asyncCharts.enqueueChartTask({ message_id: crypto.randomUUID() }, { user_id: 'ada' })
  await app.asyncCharts.cancelTask(task.task_id)
  let refused = await app.inject(`${CHARTS}/async/${task.task_id}/status`)
  while (refused.statusCode === 200) {
    // The process is measured by a timer, which injected requests leave no time for.
    await sleep(5)
    refused = await app.inject(`${CHARTS}/async/${task.task_id}/status`)
  }
  t.equal(refused.statusCode, 503)
  t.equal(refused.headers['retry-after'], '10')
  t.match((await app.inject(streamOf(task.task_id))).body, /"status":"CANCELLED"/)
})

t.test('HTTP/2: requests and streams over one connection', async t => {
  const { private: key, cert } = await generate([{ name: 'commonName', value: 'localhost' }], { keySize: 2048 })
  const files = [join(folder, 'key.pem'), join(folder, 'cert.pem')] as const
  await Promise.all([writeFile(files[0], key), writeFile(files[1], cert)])
  const { buildApp } = await snippet('http2.js')
  const app = await buildApp(...files)
  t.teardown(() => app.close())
  const { task_id } = (await create(app, {})).json()
  const origin = await app.listen({ port: 0, host: '127.0.0.1' })
  const session = connect(origin, { ca: cert, rejectUnauthorized: false })
  t.teardown(() => session.close())
  const bodies = await Promise.all([1, 2, 3, 4, 5, 6, 7, 8].map(async () => {
    const stream = session.request({ ':path': streamOf(task_id) })
    let text = ''
    for await (const chunk of stream.setEncoding('utf8')) text += chunk
    return text
  }))
  for (const body of bodies) t.match(body, /"status":"COMPLETED"/)
})

t.test('a chart as an image of its own shows under helmet', { skip: await chromiumPath() === null && 'there is no Chromium' }, async t => {
  const { app } = await startHost(t)
  const origin = await app.listen({ port: 0, host: '127.0.0.1' })
  const page = await (await openBrowser(t)).newPage()
  // Any answer of the host will do: its headers count.
  await page.goto(origin)
  const width = await page.evaluate(`new Promise((resolve, reject) => {
    const image = new Image()
    image.onload = () => resolve(image.width)
    image.onerror = () => reject(new Error('refused'))
    const svg = '<svg xmlns="http://www.w3.org/2000/svg" width="7" height="7"/>'
    image.src = URL.createObjectURL(new Blob([svg], { type: 'image/svg+xml' }))
  })`)
  t.equal(width, 7)
})

const nginx = await findExecutable('nginx')

/** An nginx with the guide's location in front of the server; `more` is added to it, `less` taken away; `location` and `pass` take its place. */
async function startNginx (t: Test, target: string, { more = '', less = '', location = `${CHARTS}/`, pass = '' } = {}): Promise<string> {
  const guide = /```nginx\n([^]*?)```/.exec(readPage(GUIDE))![1]!.replace(less, '')
  const port = await freePort()
  const folder = await mkdtemp(join(tmpdir(), 'charts-nginx-'))
  const server = guide
    .replace('listen 443 ssl http2', `listen 127.0.0.1:${port}`)
    .replace(`location ${CHARTS}/ {`, `location ${location} {\n${more}`)
    .replace('proxy_pass http://app;', `proxy_pass http://app${pass};`)
  await writeFile(join(folder, 'nginx.conf'), `
    pid nginx.pid;
    daemon off;
    error_log stderr notice;
    events {}
    http {
      access_log off;
      client_body_temp_path body;
      proxy_temp_path proxy;
      fastcgi_temp_path fastcgi;
      uwsgi_temp_path uwsgi;
      scgi_temp_path scgi;
      upstream app { server ${new URL(target).host}; }
      ${server}
    }`)
  const child = spawn(nginx!, ['-p', folder, '-c', 'nginx.conf', '-e', 'stderr'], { stdio: ['ignore', 'ignore', 'pipe'] })
  const exited = once(child, 'exit')
  t.teardown(async () => {
    child.kill('SIGQUIT')
    child.kill('SIGTERM')
    await exited
    await rm(folder, { recursive: true, force: true })
  })
  const lines: string[] = []
  for await (const line of createInterface({ input: child.stderr })) {
    lines.push(line)
    if (line.includes('start worker process ')) break
  }
  child.stderr.resume()
  if (child.exitCode !== null) throw new Error(lines.join('\n'))
  return `http://127.0.0.1:${port}`
}

/** Resolves with the first frame of a stream whose task is still waiting. */
async function firstFrame (url: string, headers: Record<string, string>): Promise<string> {
  const request = requestHttp(url, { headers }).end()
  const [response] = await once(request, 'response')
  for await (const chunk of response.setEncoding('utf8')) if (chunk.includes('data:')) return chunk
  return 'ended'
}

t.test('nginx passes each frame on at once, sockets too, and buffers only where it is told to', { skip: nginx === null && 'there is no nginx' }, async t => {
  const { app, cookie } = await startHost(t, { trustProxy: true })
  const target = await app.listen({ port: 0, host: '127.0.0.1' })
  const waiting = await app.asyncCharts.enqueueChartTask(
    { message_id: crypto.randomUUID(), run_at: new Date(Date.now() + 3_600_000).toISOString() }, { user_id: 'ada' })
  const { task_id } = waiting.task
  const proxy = await startNginx(t, target, { more: 'gzip on; gzip_types application/json;' })
  t.match((await tryWebSocket(`${proxy}${CHARTS}/ws/${task_id}`, { headers: { cookie, origin: proxy } })), { status: 403 }, 'a list replaces the own origin')
  t.match(await firstFrame(`${proxy}${streamOf(task_id)}`, { cookie, 'accept-encoding': 'gzip' }), /"current_step":"scheduled"/)
  const socket = await openWebSocket(`${proxy}${CHARTS}/ws/${task_id}`, { headers: { cookie, origin: 'https://app.example' } })
  t.match(await socket.task(), { current_step: 'scheduled' })

  const old = { less: 'proxy_http_version 1.1;' }
  const deaf = await startNginx(t, target, { ...old, more: 'proxy_ignore_headers X-Accel-Buffering;' })
  const arrived: string[] = []
  const buffered = firstFrame(`${deaf}${streamOf(task_id)}`, { cookie }).then(() => arrived.push('buffered'))
  const unbuffered = await startNginx(t, target, { ...old, more: 'proxy_ignore_headers X-Accel-Buffering; proxy_buffering off;' })
  await firstFrame(`${unbuffered}${streamOf(task_id)}`, { cookie })
  arrived.push('unbuffered')
  t.same(arrived, ['unbuffered'], 'asked for first, and kept back until the stream ends')
  await app.asyncCharts.cancelTask(task_id)
  await buffered
})

t.test('nginx with a path in front of it: the Location of a new task has the path, too', { skip: nginx === null && 'there is no nginx' }, async t => {
  const { app, cookie } = await startHost(t)
  const target = await app.listen({ port: 0, host: '127.0.0.1' })
  const proxy = await startNginx(t, target, { location: '/app/', pass: '/', more: 'proxy_redirect / /app/;' })
  const created = await fetch(`${proxy}/app${CHARTS}/async`, {
    method: 'POST', headers: { cookie, 'content-type': 'application/json' }, body: JSON.stringify({ message_id: crypto.randomUUID() })
  })
  const location = new URL(created.headers.get('location')!, proxy)
  t.match(location.pathname, /^\/app\/api\/v1\/analytics\/charts\/async\/[^/]+\/status$/)
  t.equal((await fetch(location, { headers: { cookie } })).status, 200)
  const charts = createChartsClient({ baseUrl: `${proxy}/app/api/v1/analytics`, headers: () => ({ cookie }) })
  t.match(await charts.generate({ message_id: crypto.randomUUID() }), { content: { asked: null } })
})
