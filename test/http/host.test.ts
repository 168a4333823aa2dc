import t from 'tap'
import cors from '@fastify/cors'
import Fastify, { type FastifyError, type FastifyInstance } from 'fastify'
import asyncCharts, { memoryStore } from '../../lib/index.ts'
import { Host, identify, startHost, storeKinds } from '../helpers/app.ts'
import { openWebSocket } from '../helpers/streams.ts'

const message_id = 'b4fb1bd1-0f68-4e51-9d3c-3cba7b1e0b8e'
const json = { 'content-type': 'application/json' }

t.test('a prefix of the host', async t => {
  for (const prefix of ['/charts-api', '/a/b', '']) {
    await t.test(prefix || 'none', async t => {
      const host = await startHost(t, 'memory', { prefix })
      const response = await host.as('ada').post({ message_id })
      t.equal(response.statusCode, 202)
      t.equal(response.headers.location, `${prefix}/charts/async/${response.json().task_id}/status`)
      t.equal((await host.app.inject({ url: response.headers.location!, headers: { 'x-user': 'ada' } })).statusCode, 200)
      t.equal((await host.app.inject({ url: '/api/v1/analytics/charts/async/stats', headers: { 'x-user': 'ada' } })).statusCode, 404)
    })
  }
})

t.test('in a scope of the host with a prefix of its own', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(async scope => {
    await scope.register(asyncCharts, { store: memoryStore(), identify })
    t.ok(scope.asyncCharts, 'decorates the scope')
  }, { prefix: '/tenants' })
  t.notOk('asyncCharts' in app, 'and nothing above it')
  const url = '/tenants/api/v1/analytics/charts/async'
  const response = await app.inject({ method: 'POST', url, headers: { ...json, 'x-user': 'ada' }, payload: { message_id } })
  t.equal(response.statusCode, 202)
  t.equal(response.headers.location, `${url}/${response.json().task_id}/status`)
  t.equal((await app.inject({ url: response.headers.location!, headers: { 'x-user': 'ada' } })).statusCode, 200)
})

t.test('twice in one scope is refused, and opens nothing that nobody could close', async t => {
  const redis = { duplicate () { t.fail('opened') }, evalsha () {}, blpop () {} }
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(asyncCharts, { store: memoryStore(), identify })
  await t.rejects(async () => app.register(asyncCharts, { redis: redis as never, identify }), { code: 'CHARTS_ERR_INVALID_OPTIONS', message: /registered here already/ })
})

for (const kind of storeKinds) {
  t.test(`twice in one host, in two scopes, on ${kind}`, async t => {
    const lines: string[] = []
    const logger = { level: 'warn', stream: { write: (line: string) => { lines.push(line) } } }
    const one = await startHost(t, kind, { fastify: { logger } })
    const other = await startHost(t, kind)
    const app = Fastify({ logger })
    t.teardown(() => app.close())
    for (const [i, host] of [one, other].entries()) {
      const store = kind === 'redis' ? { redis: host.redis! } : { store: memoryStore() }
      await app.register(async scope => scope.register(asyncCharts, { ...store, identify, keyPrefix: host.keyPrefix, prefix: `/charts-${i}` }))
    }
    const address = await app.listen({ port: 0 })
    const created = await Promise.all([0, 1].map(async i => {
      const response = await fetch(`${address}/charts-${i}/charts/async`, {
        method: 'POST', headers: { ...json, 'x-user': 'ada' }, body: JSON.stringify({ message_id })
      })
      t.equal(response.status, 202)
      return await response.json() as { task_id: string }
    }))
    t.not(created[0]!.task_id, created[1]!.task_id, 'two queues')
    const status = (i: number, task_id: string) =>
      app.inject({ url: `/charts-${i}/charts/async/${task_id}/status`, headers: { 'x-user': 'ada' } })
    t.equal((await status(0, created[0]!.task_id)).statusCode, 200)
    t.equal((await status(1, created[0]!.task_id)).statusCode, 404)

    for (const [i, { task_id }] of created.entries()) {
      const { WebSocket } = await import('ws')
      const socket = new WebSocket(`${address.replace('http', 'ws')}/charts-${i}/charts/ws/${task_id}`, { headers: { 'x-user': 'ada' } })
      const [data] = await new Promise<[Buffer]>((resolve, reject) => {
        socket.once('message', (...message: [Buffer]) => resolve(message))
        socket.once('error', reject)
      })
      t.equal(JSON.parse(String(data)).task_id, task_id, 'each has its sockets')
      socket.terminate()
    }
    t.strictSame(lines, [], 'and nothing to warn of')
  })
}

t.test("the host's own routes keep the host's own ways", async t => {
  const host = await startHost(t, 'memory', {
    before: app => {
      app.setErrorHandler((error: FastifyError, _request, reply) => reply.code(error.statusCode ?? 500).send({ host: error.message }))
    }
  })
  host.app.post('/own', {
    schema: {
      body: { type: 'object', properties: { n: { type: 'integer' }, at: { type: 'string', default: 'here' } }, additionalProperties: false }
    }
  }, async request => request.body)
  host.app.get('/broken', async () => { throw new Error('mine') })
  const own = await host.app.inject({ method: 'POST', url: '/own', headers: json, payload: { n: '5', extra: 1 } })
  t.equal(own.statusCode, 200, 'no identity is asked for')
  t.strictSame(own.json(), { n: 5, at: 'here' }, 'coerced, stripped and filled in as ever')
  t.equal(own.headers['cache-control'], undefined)
  const broken = await host.app.inject({ url: '/broken' })
  t.strictSame(broken.json(), { host: 'mine' })
  const bad = await host.app.inject({ method: 'POST', url: '/own', headers: json, payload: { n: 'five' } })
  t.strictSame(bad.json(), { host: 'body/n must be integer' })
})

t.test('parsers of the host are not ours', async t => {
  const keepBytes = (_request: unknown, body: Buffer, done: (error: null, body: Buffer) => void) => done(null, body)
  const hosts: Array<[name: string, before: (app: FastifyInstance) => unknown, kept: string | null]> = [
    ['one for every type', app => app.addContentTypeParser('*', { parseAs: 'buffer' }, keepBytes), 'application/octet-stream'],
    ['one that keeps the bytes of JSON', app => app.addContentTypeParser('application/json', { parseAs: 'buffer' }, keepBytes), 'application/json'],
    ['none', app => app.removeAllContentTypeParsers(), null]
  ]
  for (const [name, before, kept] of hosts) {
    const host = await startHost(t, 'memory', { before, authorize: () => true })
    const ada = host.as('ada')
    host.app.post('/own', async request => ({ bytes: Buffer.isBuffer(request.body) }))
    const { task_id } = await ada.create()
    t.equal((await ada.post({ message_id }, { 'content-type': 'text/plain' })).statusCode, 400, `${name}: a text`)
    t.equal((await ada.post({ message_id }, { 'content-type': 'application/xml' })).statusCode, 415, `${name}: another type`)
    t.equal((await ada.post('{"__proto__":{}}')).json().code, 'FST_ERR_CTP_INVALID_JSON_BODY')
    for (const [method, path] of [['POST', '/admin/pause'], ['POST', '/admin/resume'], ['DELETE', `/async/${task_id}`], ['DELETE', `/admin/tasks/${task_id}`]] as const) {
      t.equal((await ada.request(method, path, { headers: json, payload: '' })).statusCode, 200, `${method} ${path} with nothing that is JSON`)
    }
    if (kept === null) continue
    const own = await host.app.inject({ method: 'POST', url: '/own', headers: { 'content-type': kept }, payload: '{}' })
    t.strictSame(own.json(), { bytes: true }, "the host's routes have them")
  }
})

t.test("the host's error handler sees every error", async t => {
  const handler = (error: FastifyError, _request: unknown, reply: { code (code: number): { send (body: object): unknown } }) =>
    reply.code(error.statusCode ?? 500).send({ mine: error.code })
  const expectations = async (host: Host) => {
    const ada = host.as('ada')
    const { task_id } = await ada.create()
    const answers: Array<[Awaited<ReturnType<typeof ada.get>>, number, string]> = [
      [await host.nobody.get('/async/stats'), 401, 'CHARTS_ERR_UNAUTHENTICATED'],
      [await ada.get('/async/stats'), 403, 'CHARTS_ERR_FORBIDDEN'],
      [await ada.post('{'), 400, 'FST_ERR_CTP_INVALID_JSON_BODY'],
      [await ada.post({}), 400, 'FST_ERR_VALIDATION'],
      [await ada.get('/async/x/status'), 400, 'FST_ERR_VALIDATION'],
      [await ada.get(`/async/${message_id}/status`), 404, 'CHARTS_ERR_TASK_NOT_FOUND'],
      [await ada.get(`/stream/${message_id}`), 404, 'CHARTS_ERR_TASK_NOT_FOUND'],
      [await ada.get(`/ws/${message_id}`), 404, 'CHARTS_ERR_TASK_NOT_FOUND'],
      [await ada.get(`/ws/${task_id}`), 426, 'CHARTS_ERR_UPGRADE_REQUIRED'],
      [await ada.get(`/async/${task_id}/result`), 409, 'CHARTS_ERR_TASK_NOT_FINISHED'],
      [await ada.post({ message_id }), 429, 'CHARTS_ERR_TOO_MANY_TASKS']
    ]
    for (const [response, statusCode, code] of answers) {
      t.equal(response.statusCode, statusCode, code)
      t.strictSame(response.json(), { mine: code })
      if ([409, 429].includes(statusCode)) t.ok(response.headers['retry-after'], 'and when to come again is said all the same')
    }
  }
  const options = { limits: { waitingPerTenant: 1 } }

  await t.test('set before the plugin', async t => {
    await expectations(await startHost(t, 'memory', { ...options, before: app => { app.setErrorHandler(handler) } }))
  })

  await t.test('set after the plugin', async t => {
    const app = Fastify()
    t.teardown(() => app.close())
    app.register(asyncCharts, { ...options, store: memoryStore(), identify })
    app.setErrorHandler(handler)
    await app.ready()
    await expectations(new Host(app, '', null, '/api/v1/analytics'))
  })
})

t.test('an identify or authorize that throws goes to the host', async t => {
  const teapot = Object.assign(new Error('no session store'), { statusCode: 418, code: 'TEAPOT' })
  const host = await startHost(t, 'memory', {
    identify: async request => {
      if (request.headers['x-user'] === 'throw') throw teapot
      return identify(request)
    },
    authorize: () => { throw teapot }
  })
  const { task_id } = (await host.service.enqueueChartTask({ message_id }, { user_id: 'ada' })).task
  for (const [user, path] of [['throw', '/async/x/status'], ['ada', `/async/${task_id}/status`], ['ada', `/stream/${task_id}`], ['ada', `/ws/${task_id}`]]) {
    const response = await host.as(user!).get(path!)
    t.equal(response.statusCode, 418)
    t.strictSame(response.json(), { statusCode: 418, code: 'TEAPOT', error: "I'm a Teapot", message: 'no session store' })
  }
})

t.test('an identify that answers with no identity is an error of the host, not a user', async t => {
  for (const identity of [{}, { user_id: '' }, { user_id: 5 }, 'ada', { user_id: 'ada', org_id: 5 }, { user_id: 'ada', org_id: '' }, { user_id: 'a\ud800' }, { user_id: 'ada', org_id: '\udc00' }, { user_id: 'x'.repeat(513) }]) {
    const host = await startHost(t, 'memory', { identify: () => identity as never })
    for (const response of [await host.nobody.post({ message_id }), await host.nobody.get(`/async/${message_id}/status`)]) {
      t.equal(response.statusCode, 500, JSON.stringify(identity))
      t.equal(response.json().code, 'CHARTS_ERR_INVALID_IDENTITY')
    }
  }
})

t.test('@fastify/cors of the host is kept on streams, too', async t => {
  const host = await startHost(t, 'memory', { before: app => app.register(cors, { origin: ['https://app.example'], credentials: true }) })
  const { task_id } = await host.as('ada').finished({ content: 1 })
  for (const path of [`/async/${task_id}/status`, `/stream/${task_id}`]) {
    const response = await host.as('ada').get(path, { origin: 'https://app.example' })
    t.equal(response.statusCode, 200)
    t.match(response.headers, {
      'access-control-allow-origin': 'https://app.example', 'access-control-allow-credentials': 'true', vary: /Origin/
    })
  }
})

t.test('the options of register apply to our routes', async t => {
  const lines: Array<{ level: number, req?: { method: string } | string }> = []
  const stream = { write: (line: string) => { lines.push(JSON.parse(line)) } }
  const app = Fastify({ logger: { level: 'info', stream } })
  t.teardown(() => app.close())
  app.get('/own', async () => 'mine')
  await app.register(asyncCharts, { store: memoryStore(), identify, logLevel: 'warn' })
  await app.register(async scope => {
    // A function that makes the options is Fastify's own, too.
    await scope.register(asyncCharts, () => ({ store: memoryStore(), identify, prefix: '/other', logSerializers: { req: (request: { method: string }) => `asked to ${request.method}` } }))
  }, { prefix: '/inner' })
  const headers = { 'x-user': 'ada' }
  const url = `/charts/async/${crypto.randomUUID()}/status`
  t.equal((await app.inject({ url: `/api/v1/analytics${url}`, headers })).statusCode, 404)
  t.strictSame(lines.filter(line => 'req' in line), [], 'quiet')
  t.equal((await app.inject({ url: `/inner/other${url}`, headers })).statusCode, 404)
  t.match(lines.find(line => 'req' in line), { level: 30, req: 'asked to GET' })
  lines.length = 0
  await app.inject({ url: '/own' })
  t.match(lines.find(line => 'req' in line), { req: { method: 'GET' } }, "the host's own routes keep theirs")
  const wrong = Fastify()
  await t.rejects(async () => wrong.register(asyncCharts, { store: memoryStore(), identify, logLevel: 5 } as never), { message: /options\.logLevel must be string, got 5/ })
  await t.rejects(async () => Fastify().register(asyncCharts, { store: memoryStore(), identify, logSerializers: 5 } as never), { message: /options\.logSerializers must be object/ })
})

t.test('identify runs after a session plugin, whenever that was registered', async t => {
  type Sessions = { session?: { user: string } }
  const asked: string[] = []
  const host = await startHost(t, 'memory', {
    identify: request => {
      asked.push(request.url)
      const user = (request.raw as Sessions).session?.user
      return user ? { user_id: user } : null
    }
  })
  host.app.addHook('onRequest', async request => {
    if (request.headers.cookie) (request.raw as Sessions).session = { user: request.headers.cookie.slice('user='.length) }
  })
  const headers = { ...json, cookie: 'user=ada' }
  const url = `${host.path}/async`
  const created = await host.app.inject({ method: 'POST', url, headers, payload: { message_id } })
  t.equal(created.statusCode, 202)
  t.equal((await host.app.inject({ url: created.headers.location!, headers })).statusCode, 200)
  const base = await host.listen()
  const reader = await openWebSocket(`${base}/ws/${created.json().task_id}`, { headers: { cookie: 'user=ada' } })
  t.match(await reader.task(), { message_id }, 'by WebSocket too')
  reader.socket.terminate()
  for (const payload of ['{', '[]', 'x'.repeat(100_000)]) {
    t.equal((await host.app.inject({ method: 'POST', url, headers: json, payload })).statusCode, 401, 'and still before anything of it is validated')
  }
})
