import rateLimit from '@fastify/rate-limit'
import type { onRequestHookHandler, preHandlerHookHandler } from 'fastify'
import t from 'tap'
import asyncCharts, { memoryStore, type ChartRoute, type ChartRouteOptions } from '../../lib/index.ts'
import { identify, startHost, type HostOptions } from '../helpers/app.ts'
import { readPage } from '../helpers/markdown.ts'
import { openSse, openWebSocket, tryWebSocket } from '../helpers/streams.ts'

const message_id = 'b4fb1bd1-0f68-4e51-9d3c-3cba7b1e0b8e'
const unknown = '00000000-0000-4000-8000-000000000000'
/** The header of a caller, and of the operator that `authorize` lets in. */
const ada = { 'x-user': 'ada' }

/** The changes of one route. */
const only = (name: string, changes: false | ChartRouteOptions) => (route: ChartRoute) => route.name === name ? changes : undefined

const byName = (a: { name?: string | undefined }, b: { name?: string | undefined }) => a.name! < b.name! ? -1 : 1

/** A request for a route, with ids that nobody has. */
const asked = ({ method, url }: Pick<ChartRoute, 'method' | 'url'>) => ({
  method: method as 'GET', url: url.replaceAll(/:\w+/g, unknown), headers: ada
})

/** All that the host is asked about. */
async function askedOf (t: Parameters<typeof startHost>[0], options: HostOptions = {}): Promise<ChartRoute[]> {
  const routes: ChartRoute[] = []
  await startHost(t, 'memory', { ...options, routes: route => { routes.push(route) } })
  return routes
}

t.test('the host is asked about each route once, with its name, method, full path and kind', async t => {
  const registered: string[] = []
  const routes = await askedOf(t, {
    prefix: '/api',
    before: app => app.addHook('onRoute', ({ method, url }) => { if (method !== 'HEAD') registered.push(`${String(method)} ${url}`) })
  })
  t.strictSame(routes.map(({ method, url }) => `${method} ${url}`).sort(), registered.sort(), 'about all that there are')
  t.equal(new Set(routes.map(({ name }) => name)).size, routes.length, 'no two have one name')
  t.ok(registered.length > 15)
  for (const { url, kind } of routes) {
    t.equal(kind, url.includes('/stream/') ? 'sse' : url.includes('/ws/') ? 'ws' : 'json', url)
  }
  t.hasStrict(routes.find(({ name }) => name === 'getChartStatus'), { method: 'GET', url: '/api/charts/async/:task_id/status' })
})

t.test('the reference has their names', async t => {
  const rows = [...readPage('docs/reference/http-api.md').matchAll(/^\| `(\w+)` \| `([A-Z]+) (\/\S+)` \|$/gm)]
  t.strictSame(rows.map(([, name, method, url]) => ({ name, method, url })).sort(byName), (await askedOf(t, { prefix: '' })).map(({ kind, ...route }) => route).sort(byName))
})

t.test('a second registration has the same names', async t => {
  const names: string[][] = [[], []]
  const host = await startHost(t, 'memory', { routes: ({ name }) => { names[0]!.push(name) } })
  await host.app.register(async scope => {
    await scope.register(asyncCharts, { store: memoryStore(), identify, prefix: '/other', routes: ({ name }) => { names[1]!.push(name) } })
  })
  t.strictSame(names[1], names[0])
})

t.test('each route may be left out, with its HEAD route, and only that one', async t => {
  const all = await askedOf(t)
  for (const left of all) {
    const host = await startHost(t, 'memory', { routes: only(left.name, false), authorize: () => true })
    for (const method of left.method === 'GET' ? ['GET', 'HEAD'] : [left.method]) {
      const answer = await host.app.inject(asked({ ...left, method }))
      t.equal(answer.statusCode, 404, `${method} of ${left.name}`)
      if (method !== 'HEAD') t.match(answer.json().message, /^Route .* not found$/, 'what Fastify says of what it does not know')
    }
    for (const other of all.filter(({ name }) => name !== left.name)) t.ok(host.app.hasRoute({ method: other.method as 'GET', url: other.url }), other.name)
  }
})

t.test('with all left out, the queue is still there', async t => {
  const host = await startHost(t, 'memory', { routes: () => false })
  for (const route of await askedOf(t)) t.notOk(host.app.hasRoute({ method: route.method as 'GET', url: route.url }), route.name)
  t.equal((await host.app.inject({ method: 'HEAD', url: `${host.path}/async`, headers: ada })).statusCode, 404)
  t.match(await host.service.enqueueChartTask({ message_id }, { user_id: 'ada' }), { outcome: 'queued' })
})

t.test('nobody is led to a route that is left out', async t => {
  const host = await startHost(t, 'memory', { routes: ({ name }) => name === 'getChartStatus' || name === 'getChartBatch' ? false : undefined })
  const created = await host.as('ada').post({ message_id })
  t.equal(created.statusCode, 202)
  t.notOk('location' in created.headers)
  const headers = { ...ada, 'content-type': 'application/json' }
  const batch = await host.app.inject({ method: 'POST', url: `${host.path}/async/batch`, headers, payload: { tasks: [{ message_id: unknown }] } })
  t.equal(batch.statusCode, 202)
  t.notOk('location' in batch.headers)
})

t.test('without its WebSocket route, nothing is done about upgrades', async t => {
  const host = await startHost(t, 'memory', { routes: ({ kind }) => kind === 'ws' ? false : undefined })
  const base = await host.listen()
  t.equal(host.app.server.listenerCount('upgrade'), 0)
  t.notOk(host.app.hasRequestDecorator('ws'))
  const { task_id } = await host.as('ada').create()
  t.match(await tryWebSocket(`${base}/ws/${task_id}`, { headers: ada }), { status: 404 })
})

t.test('@fastify/rate-limit: a limit for one route, through its config', async t => {
  const host = await startHost(t, 'memory', {
    before: app => app.register(rateLimit, { global: false }),
    routes: only('createChart', { config: { rateLimit: { max: 2, timeWindow: 60_000 } } })
  })
  const caller = host.as('ada')
  const answers = [await caller.create(), await caller.create()]
  const refused = await caller.post({ message_id })
  t.equal(refused.statusCode, 429)
  t.match(refused.json(), { statusCode: 429, error: 'Too Many Requests', message: /^Rate limit exceeded/ })
  t.match(refused.headers['retry-after'], /^\d+$/)
  t.equal((await host.service.getQueueStats()).queue_length, 2, 'nothing was queued')
  for (let i = 0; i < 5; i++) t.equal((await caller.get(`/async/${answers[0]!.task_id}/status`)).statusCode, 200)
})

t.test('@fastify/rate-limit: a limit for all routes is none for streams, unless they are given one', async t => {
  const limited = { max: 1, timeWindow: 60_000 }
  const host = await startHost(t, 'memory', {
    before: app => app.register(rateLimit, { global: true, ...limited }),
    routes: only('streamMessageCharts', { config: { rateLimit: limited } })
  })
  const base = await host.listen()
  const { task_id } = await host.as('ada').create()
  t.equal((await host.as('ada').post({ message_id })).statusCode, 429, 'the others are limited')
  for (let i = 0; i < 3; i++) {
    const reader = await openSse(`${base}/stream/${task_id}`, ada)
    t.equal((await reader.task())?.task_id, task_id)
    reader.destroy()
  }
  const { socket } = await openWebSocket(`${base}/ws/${task_id}`, { headers: ada })
  socket.terminate()
  const first = await openSse(`${base}/stream/by-message/${message_id}`, ada)
  first.destroy()
  const second = await openSse(`${base}/stream/by-message/${message_id}`, ada)
  t.strictSame([first.status, second.status], [200, 429])
})

t.test("the host's hooks go before the plugin's: onRequest before identify, preHandler before authorize", async t => {
  const order: string[] = []
  const onRequest: onRequestHookHandler = (_request, _reply, done) => { order.push('onRequest'); done() }
  const preHandler: preHandlerHookHandler = async () => { order.push('preHandler') }
  const host = await startHost(t, 'memory', {
    identify: request => { order.push('identify'); return identify(request) },
    authorize: () => { order.push('authorize'); return true },
    routes: () => ({ onRequest, preHandler: [preHandler, preHandler] })
  })
  const expected = ['onRequest', 'identify', 'preHandler', 'preHandler', 'authorize']
  const seen = () => order.splice(0)
  const { task_id } = await host.as('ada').create()
  t.strictSame(seen(), expected)
  for (const method of ['GET', 'HEAD'] as const) {
    t.equal((await host.as('ada').request(method, `/async/${task_id}/status`)).statusCode, 200)
    t.strictSame(seen(), expected, method)
  }
  const base = await host.listen()
  const stream = await openSse(`${base}/stream/${task_id}`, ada)
  stream.destroy()
  t.strictSame(seen(), expected, 'stream')
  const { socket } = await openWebSocket(`${base}/ws/${task_id}`, { headers: ada })
  socket.terminate()
  t.strictSame(seen(), expected, 'WebSocket')
})

t.test('a hook of the host may refuse, and identify sees what the hook has set', async t => {
  const host = await startHost(t, 'memory', {
    before: app => app.decorateRequest('user', null),
    identify: request => (request as unknown as { user: { user_id: string } | null }).user,
    routes: ({ name }) => ({
      onRequest: async (request, reply) => {
        if (name === 'cancelChart') return reply.code(418).send({ refused: name })
        Object.assign(request, { user: { user_id: 'eve' } })
      }
    })
  })
  const { task_id } = await host.nobody.create()
  t.equal((await host.service.getTaskStatus(task_id))?.user_id, 'eve')
  const refused = await host.nobody.delete(`/async/${task_id}`)
  t.strictSame([refused.statusCode, refused.json()], [418, { refused: 'cancelChart' }])
  t.equal((await host.service.getTaskStatus(task_id))?.status, 'PENDING', 'it was not cancelled')
})

t.test('constraints go for the HEAD route, too', async t => {
  const host = await startHost(t, 'memory', { routes: only('getChartStatus', { constraints: { host: 'charts.example' } }) })
  const { task_id } = await host.as('ada').create()
  for (const method of ['GET', 'HEAD'] as const) {
    const request = (headers: Record<string, string>) => host.as('ada').request(method, `/async/${task_id}/status`, { headers })
    t.equal((await request({ host: 'charts.example' })).statusCode, 200)
    t.equal((await request({ host: 'other.example' })).statusCode, 404)
  }
})

t.test('the level of the log lines of one route', async t => {
  const lines: string[] = []
  const host = await startHost(t, 'memory', {
    fastify: { logger: { level: 'info', stream: { write: (line: string) => { lines.push(line) } } } },
    routes: only('getChartStatus', { logLevel: 'silent' })
  })
  const { task_id } = await host.as('ada').create()
  await host.as('ada').get(`/async/${task_id}/status`)
  const urls = lines.map(line => JSON.parse(line).req?.url).filter(Boolean)
  t.strictSame(urls, [`${host.path}/async`])
})

t.test('nothing to change: nothing, an empty object, and keys without a value', async t => {
  for (const changes of [undefined, {}, { config: undefined, onRequest: undefined, schema: { hide: undefined } }]) {
    const host = await startHost(t, 'memory', { routes: () => changes as ChartRouteOptions })
    t.match(await host.as('ada').create(), { status: 'PENDING' })
  }
})

const handler = async () => {}
const refusals: Array<[changes: unknown, message: string | RegExp]> = [
  [null, 'options.routes(cancelChart) must be false, an object or undefined, got null'],
  [true, 'options.routes(cancelChart) must be false, an object or undefined, got true'],
  ['hidden', 'options.routes(cancelChart) must be false, an object or undefined, got "hidden"'],
  [[], 'options.routes(cancelChart) must be false, an object or undefined, got []'],
  [Promise.resolve(false), 'options.routes(cancelChart) must be false, an object or undefined, got a promise'],
  [{ handler }, 'options.routes(cancelChart).handler is not an option; known are schema, config, onRequest, preHandler, constraints, logLevel'],
  [{ bodyLimit: 1 }, /^options\.routes\(cancelChart\)\.bodyLimit is not an option; /],
  [{ preValidation: handler }, /^options\.routes\(cancelChart\)\.preValidation is not an option; /],
  [{ schema: { body: {} } }, 'options.routes(cancelChart).schema.body is not an option; known are tags, hide, security'],
  [{ schema: { operationId: 'x' } }, /^options\.routes\(cancelChart\)\.schema\.operationId is not an option/],
  [{ schema: { tags: 'charts' } }, 'options.routes(cancelChart).schema.tags must be array, got "charts"'],
  [{ schema: { hide: 'yes' } }, 'options.routes(cancelChart).schema.hide must be boolean, got "yes"'],
  [{ schema: { security: [{ session: 'all' }] } }, 'options.routes(cancelChart).schema.security.0.session must be array, got "all"'],
  [{ config: 5 }, 'options.routes(cancelChart).config must be object, got 5'],
  [{ onRequest: 'authenticate' }, 'options.routes(cancelChart).onRequest must be a function or a list of functions, got "authenticate"'],
  [{ preHandler: [handler, null] }, /^options\.routes\(cancelChart\)\.preHandler must be a function or a list of functions, got /],
  [{ constraints: 'v1' }, 'options.routes(cancelChart).constraints must be object, got "v1"'],
  [{ logLevel: 3 }, 'options.routes(cancelChart).logLevel must be string, got 3']
]

t.test('a change that is not allowed is refused at registration, with the route and the key', async t => {
  for (const [changes, message] of refusals) {
    const error = await startHost(t, 'memory', { routes: only('cancelChart', changes as ChartRouteOptions) }).then(() => null, (error: Error & { code: string }) => error)
    t.equal(error?.code, 'CHARTS_ERR_INVALID_OPTIONS', String(message))
    t.match(error?.message.replace('fastify-async-charts: ', ''), message)
  }
  await t.rejects(startHost(t, 'memory', { routes: 'none' as never }), { code: 'CHARTS_ERR_INVALID_OPTIONS', message: /options\.routes must be a function, got "none"/ })
  await t.rejects(startHost(t, 'memory', { routes: () => { throw new Error('mine') } }), { message: 'mine' })
})
