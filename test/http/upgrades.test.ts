import t, { type Test } from 'tap'
import { once } from 'node:events'
import { Agent, request, type IncomingMessage, type Server } from 'node:http'
import { createSecureServer } from 'node:http2'
import { createServer } from 'node:https'
import { connect, type AddressInfo, type Socket } from 'node:net'
import type { Duplex, Readable } from 'node:stream'
import { connect as connectSecurely, type TLSSocket } from 'node:tls'
import websocket from '@fastify/websocket'
import Fastify, { type FastifyInstance } from 'fastify'
import { WebSocketServer } from 'ws'
import asyncCharts, { memoryStore } from '../../lib/index.ts'
import { identify, startHost, type Host, type HostOptions } from '../helpers/app.ts'
import { SocketReader, openWebSocket, tryWebSocket } from '../helpers/streams.ts'

const ada = { 'x-user': 'ada' }
const handshake = ['Host: x', 'Connection: Upgrade', 'Upgrade: WebSocket', 'Sec-WebSocket-Version: 13', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==']
/** What the HTTP client of the JDK sends with every request over http. */
const h2c = { connection: 'Upgrade, HTTP2-Settings', upgrade: 'h2c', 'http2-settings': 'AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA' }

const portOf = (app: FastifyInstance) => (app.server.address() as AddressInfo).port

/** Whatever comes until the server has ended the connection: this side does not. */
async function read (socket: Readable): Promise<string> {
  let answer = ''
  for await (const chunk of socket) answer += chunk
  return answer
}

function send (app: FastifyInstance, lines: string[]): Socket {
  const socket = connect({ port: portOf(app), host: '127.0.0.1', allowHalfOpen: true })
  socket.write(`${lines.join('\r\n')}\r\n\r\n`)
  return socket
}

/** A host with routes of its own that is listening. */
async function start (t: Test, options: HostOptions = {}): Promise<Host> {
  const host = await startHost(t, 'memory', options)
  host.app.get('/own', async () => ({ own: true }))
  host.app.post('/own', async ({ body }) => body)
  await host.listen()
  return host
}

const urlOf = (host: Host, task_id: string) => `http://127.0.0.1:${portOf(host.app)}${host.path}/ws/${task_id}`

async function streams (t: Test, host: Host, url = (task_id: string) => urlOf(host, task_id)): Promise<void> {
  const { task_id } = await host.as('ada').create()
  const reader = await openWebSocket(url(task_id), { headers: ada })
  t.equal((await reader.task())!.task_id, task_id, 'ours work')
  reader.socket.terminate()
}

t.test('a handshake with a route that is no WebSocket gets a response, and its connection is closed', async t => {
  const host = await start(t, { before: app => app.get('/slow', (_request, reply) => reply.hijack()) })
  const answers: Array<[path: string, status: RegExp]> = [
    ['/own', /^HTTP\/1\.1 200/], ['/nowhere', /^HTTP\/1\.1 404/], [`${host.path}/nowhere`, /^HTTP\/1\.1 404/], [`${host.path}/ws/x`, /^HTTP\/1\.1 401/]
  ]
  for (const [path, status] of answers) {
    t.match(await read(send(host.app, [`GET ${path} HTTP/1.1`, ...handshake])), status, path)
  }
  const behind = send(host.app, ['GET /slow HTTP/1.1', 'Host: x', '', `GET ${host.path}/ws/x HTTP/1.1`, ...handshake])
  t.equal(await read(behind), '', 'and so is one behind a request that is not answered yet')
  const other = send(host.app, ['GET /slow HTTP/1.1', 'Host: x', '', 'GET /own HTTP/1.1', 'Host: x', 'Connection: Upgrade', 'Upgrade: h2c'])
  t.equal(await read(other), '', 'also one that offers another protocol')
  await streams(t, host)
  await host.app.close()
  t.equal(host.app.server.listenerCount('upgrade'), 0, 'nothing is left behind')
})

for (const order of ['before', 'after']) {
  t.test(`a host with WebSockets of its own, registered ${order} the plugin`, async t => {
    const sockets = new WebSocketServer({ noServer: true })
    const seen: string[] = []
    const serve = (app: FastifyInstance) => {
      app.server.on('upgrade', (incoming: IncomingMessage, socket: Duplex, head: Buffer) => {
        seen.push(incoming.url!)
        if (incoming.url === '/mine') sockets.handleUpgrade(incoming, socket, head, opened => opened.send('hello'))
        if (incoming.url === '/theirs') socket.end('theirs', () => socket.destroy())
      })
    }
    const host = await start(t, order === 'before' ? { before: serve } : {})
    if (order === 'after') serve(host.app)
    const reader = await openWebSocket(`http://127.0.0.1:${portOf(host.app)}/mine`)
    t.equal(await reader.next(), 'hello', 'theirs work')
    reader.socket.terminate()
    t.equal(await read(send(host.app, ['GET /theirs HTTP/1.1', ...handshake])), 'theirs', 'nothing of ours is written there')
    t.equal(await read(send(host.app, ['POST /theirs HTTP/1.1', 'Host: x', 'Connection: Upgrade', 'Upgrade: h2c'])), 'theirs')
    await streams(t, host)
    t.equal(seen.length, 4, 'they are asked as ever')
  })
}

t.test('a client that offers another protocol gets a response over HTTP/1.1', async t => {
  const host = await start(t)
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  t.teardown(() => agent.destroy())
  const used = new Set<unknown>()
  const ask = async (method: string, path: string, body?: object, hostname = '127.0.0.1') => {
    const outgoing = request({
      agent, method, path, hostname, port: portOf(host.app), headers: { ...ada, ...h2c, ...(body && { 'content-type': 'application/json' }) }
    })
    outgoing.end(body && JSON.stringify(body))
    const [response] = await once(outgoing, 'response') as [IncomingMessage]
    used.add(response.socket)
    const text = await read(response)
    return { status: response.statusCode, body: JSON.parse(text) }
  }
  const large = { text: 'ä'.repeat(200_000) }
  t.strictSame(await ask('GET', '/own'), { status: 200, body: { own: true } })
  t.strictSame(await ask('POST', '/own', large), { status: 200, body: large })
  const message_id = crypto.randomUUID()
  for (let i = 0; i < 12; i++) {
    t.match(await ask('POST', `${host.path}/async`, { message_id }), { status: 202, body: { message_id } })
  }
  t.equal(used.size, 1, 'over one connection')
  t.match(await ask('GET', `${host.path}/ws/${message_id}`), { status: 404 })
  await streams(t, host)
})

t.test('where the host listens on two addresses', async t => {
  const host = await startHost(t, 'memory')
  await host.app.listen({ port: 0, host: 'localhost' })
  for (const { address, port } of host.app.addresses() as AddressInfo[]) {
    const at = address.includes(':') ? `[${address}]` : address
    await streams(t, host, task_id => `http://${at}:${port}${host.path}/ws/${task_id}`)
    const socket = connect({ port, host: address, allowHalfOpen: true })
    socket.write(['GET /nowhere HTTP/1.1', 'Host: x', 'Connection: close, Upgrade', 'Upgrade: h2c', '', ''].join('\r\n'))
    t.match(await read(socket), /^HTTP\/1\.1 404/, `h2c at ${address}`)
  }
})

t.test('prefixes with parameters, and paths that only the router of the host knows', async t => {
  const cases: Array<[name: string, options: HostOptions, path: (path: string) => string]> = [
    ['a parameter', { prefix: '/tenants/:tenant/v1.0' }, path => path.replace(':tenant', 'acme')],
    ['a parameter that has to match', { prefix: '/tenants/:tenant(^[a-z]+$)' }, path => path.replace(/:tenant\(.*?\)/, 'acme')],
    ['another case', { fastify: { routerOptions: { caseSensitive: false } } }, path => path.toUpperCase()],
    ['a slash at the end', { fastify: { routerOptions: { ignoreTrailingSlash: true } } }, path => `${path}/`],
    ['a rewritten path', { fastify: { rewriteUrl: ({ url }) => url!.replace('/behind-a-proxy', '') } }, path => `/behind-a-proxy${path}`]
  ]
  for (const [name, options, path] of cases) {
    const host = await startHost(t, 'memory', options)
    await host.listen()
    const { task } = await host.service.enqueueChartTask({ message_id: crypto.randomUUID() }, { user_id: 'ada' })
    const url = `http://127.0.0.1:${portOf(host.app)}${path(`${host.path}/ws/${task.task_id}`)}`
    if (name !== 'a rewritten path') host.app.server.on('upgrade', () => {})
    const reader = await openWebSocket(url, { headers: ada })
    t.equal((await reader.task())!.task_id, task.task_id, name)
    reader.socket.terminate()
  }
})

t.test('several times in one host that has WebSockets of its own', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  const prefixes = ['/one', '/two', '/three']
  const queues = new Map<string, FastifyInstance>()
  for (const prefix of prefixes) {
    await app.register(async scope => {
      await scope.register(asyncCharts, { store: memoryStore(), identify, prefix })
      queues.set(prefix, scope)
    })
  }
  app.server.on('upgrade', (incoming: IncomingMessage, socket: Duplex) => { if (incoming.url === '/mine') socket.end('mine', () => socket.destroy()) })
  await app.listen({ port: 0, host: '127.0.0.1' })
  for (const [prefix, { asyncCharts: queue }] of queues) {
    const { task } = await queue.enqueueChartTask({ message_id: crypto.randomUUID() }, { user_id: 'ada' })
    const reader = await openWebSocket(`http://127.0.0.1:${portOf(app)}${prefix}/charts/ws/${task.task_id}`, { headers: ada })
    t.equal((await reader.task())!.task_id, task.task_id, prefix)
    reader.socket.terminate()
  }
  t.equal(await read(send(app, ['GET /mine HTTP/1.1', ...handshake])), 'mine')
  await app.close()
  t.equal(app.server.listenerCount('upgrade'), 1, "the host's own")
})

for (const order of ['before', 'after']) {
  for (const scoped of [false, true]) {
    t.test(`a host with @fastify/websocket ${scoped ? 'in a scope of its own' : 'for all'}, ${order} the plugin`, async t => {
      const lines: string[] = []
      const echo = async (scope: FastifyInstance) => {
        await scope.register(websocket)
        scope.get('/echo', { websocket: true }, socket => { socket.on('message', data => socket.send(String(data))) })
      }
      const register = (app: FastifyInstance) => scoped ? app.register(echo) : echo(app)
      const host = await startHost(t, 'memory', {
        fastify: { logger: { level: 'warn', stream: { write: line => { lines.push(line) } } } }, ...(order === 'before' && { before: register })
      })
      if (order === 'after') await register(host.app)
      await host.listen()
      const reader = await openWebSocket(`http://127.0.0.1:${portOf(host.app)}/echo`)
      reader.socket.send('hello')
      t.equal(await reader.next(), 'hello', 'theirs work')
      reader.socket.terminate()
      await streams(t, host)
      const refused = await tryWebSocket(urlOf(host, crypto.randomUUID()), { headers: ada })
      t.notOk(refused instanceof SocketReader)
      t.match(refused, { status: 404 })
      t.strictSame(lines, [], 'and nothing to warn of')
    })
  }
}

t.test('over TLS', async t => {
  // A shared key instead of a certificate: it does not expire.
  const key = Buffer.from('a key for this test')
  const ciphers = 'PSK'
  const maxVersion = 'TLSv1.2'
  const settings = { pskCallback: () => key, ciphers, maxVersion } as const
  const servers: Array<[name: string, create: (handler: () => void) => Server]> = [
    ['HTTP/1.1', handler => createServer(settings, handler) as unknown as Server],
    ['HTTP/2 that takes HTTP/1.1, too', handler => createSecureServer({ ...settings, allowHTTP1: true }, handler) as unknown as Server]
  ]
  for (const [name, create] of servers) {
    const host = await start(t, { fastify: { serverFactory: handler => create(handler as () => void) } })
    const { task_id } = await host.as('ada').create()
    const open = async (): Promise<TLSSocket> => {
      const socket = connectSecurely({
        port: portOf(host.app), host: '127.0.0.1', ciphers, maxVersion, pskCallback: () => ({ psk: key, identity: 'test' }), checkServerIdentity: () => undefined
      })
      await once(socket, 'secureConnect')
      return socket
    }
    const post = await open()
    post.write(['POST /own HTTP/1.1', 'Host: x', 'Connection: close, Upgrade', 'Upgrade: h2c', 'Content-Type: application/json', 'Content-Length: 7', '', '{"a":1}'].join('\r\n'))
    t.match(await read(post), /^HTTP\/1\.1 200[^]*\{"a":1\}$/, name)
    const reader = await openWebSocket(urlOf(host, task_id), { headers: ada, createConnection: await open().then(socket => () => socket) })
    t.equal((await reader.task())!.task_id, task_id, name)
    reader.socket.terminate()
  }
})
