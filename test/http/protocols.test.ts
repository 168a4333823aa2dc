import t, { type Test } from 'tap'
import { once, type EventEmitter } from 'node:events'
import { connect } from 'node:http2'
import { connect as connectTls } from 'node:tls'
import { queueOf } from '../../lib/chart-queue-service.ts'
import { errors } from '../../lib/errors.ts'
import { startHost, type Host, type HostOptions } from '../helpers/app.ts'
import { protocols, serverOptions, startClient, type Answer, type Asked, type Protocol } from '../helpers/protocols.ts'
import { openWebSocket } from '../helpers/streams.ts'

const ada = { 'x-user': 'ada' }
const json = { 'content-type': 'application/json' }
const message_id = 'b4fb1bd1-0f68-4e51-9d3c-3cba7b1e0b8e'
const unknown = '00000000-0000-4000-8000-000000000000'

const routes: Array<[method: string, path: string]> = [
  ['POST', '/async'],
  ['POST', '/async/batch'],
  ['GET', '/async/batch/:id'],
  ['DELETE', '/async/batch/:id'],
  ['GET', '/async/stats'],
  ['GET', '/async/:id/status'],
  ['GET', '/async/:id/result'],
  ['DELETE', '/async/:id'],
  ['GET', '/by-message/:id'],
  ['GET', '/stream/:id'],
  ['GET', '/stream/by-message/:id'],
  ['GET', '/stream/batch/:id'],
  ['GET', '/ws/:id'],
  ['POST', '/admin/pause'],
  ['POST', '/admin/resume'],
  ['GET', '/admin/tasks'],
  ['GET', '/admin/tasks/:id'],
  ['POST', '/admin/tasks/:id/retry'],
  ['DELETE', '/admin/tasks/:id'],
  ['POST', '/admin/tasks/retry'],
  ['POST', '/admin/tasks/cancel'],
  ['GET', '/admin/workers'],
  ['GET', '/admin/history'],
  ['GET', '/admin/failures']
]

/** Who asks, in what way, and what the host does about it. */
const asks: Record<string, (asked: Asked, ids: Record<string, string>) => Asked> = {
  nobody: asked => ({ ...asked, headers: {} }),
  'an id that is none': asked => ({ ...asked, path: asked.path.replace(':id', 'x') }),
  'an id that nobody knows': asked => ({ ...asked, path: asked.path.replace(':id', unknown) }),
  "somebody else's": (asked, { finished }) => ({ ...asked, path: asked.path.replace(':id', finished!), headers: { 'x-user': 'bob' } }),
  'a finished task': (asked, { finished }) => ({ ...asked, path: asked.path.replace(':id', finished!) }),
  'a failed task': (asked, { failed }) => ({ ...asked, path: asked.path.replace(':id', failed!) }),
  'seen to its end': (asked, { finished, seen }) => ({ ...asked, path: asked.path.replace(':id', finished!), headers: { ...asked.headers, 'last-event-id': seen! } }),
  'a query that is none': asked => ({ ...asked, path: `${asked.path.replace(':id', unknown)}?limit=x&cursor=` }),
  'a path that is none': asked => ({ ...asked, path: asked.path.replace(':id', '%ZZ') }),
  'a path of great length': asked => ({ ...asked, path: asked.path.replace(':id', 'x'.repeat(500)) }),
  'no object': asked => ({ ...asked, path: asked.path.replace(':id', unknown), headers: { ...asked.headers, ...json }, ...(asked.method === 'GET' ? {} : { payload: '[]' }) }),
  'no JSON': asked => ({ ...asked, path: asked.path.replace(':id', unknown), headers: { ...asked.headers, ...json }, ...(asked.method === 'GET' ? {} : { payload: '{' }) }),
  'too many bytes': asked => ({ ...asked, path: asked.path.replace(':id', unknown), headers: { ...asked.headers, ...json }, ...(asked.method === 'GET' ? {} : { payload: `"${'x'.repeat(2_000)}"` }) }),
  'an unknown type': asked => ({ ...asked, path: asked.path.replace(':id', unknown), headers: { ...asked.headers, 'content-type': 'image/png' }, ...(asked.method === 'GET' ? {} : { payload: 'x' }) }),
  'a good body': asked => ({ ...asked, path: asked.path.replace(':id', unknown), headers: { ...asked.headers, ...json }, ...(asked.method === 'GET' ? {} : { payload: asked.path.endsWith('batch') ? `{"tasks":[{"message_id":"${message_id}"}]}` : `{"message_id":"${message_id}"}` }) }),
  'a wait': (asked, { finished }) => ({ ...asked, path: asked.path.replace(':id', finished!), headers: { ...asked.headers, prefer: 'wait=1, respond-async', 'idempotency-key': 'once', 'if-none-match': '*' } }),
  HEAD: asked => ({ ...asked, method: 'HEAD', path: asked.path.replace(':id', unknown) }),
  OPTIONS: asked => ({ ...asked, method: 'OPTIONS', path: asked.path.replace(':id', unknown) }),
  'another origin': asked => ({ ...asked, path: asked.path.replace(':id', unknown), headers: { ...asked.headers, origin: 'https://evil.example' } })
}

const unreachable = async () => { throw new errors.CHARTS_ERR_STORE_UNAVAILABLE() }
const broken = async () => { throw new Error('broken') }

/** Hosts that make trouble of their own. */
const hosts: Record<string, { options?: HostOptions, spoil?: (host: Host) => void }> = {
  'as it comes': {},
  'with headers of its connection on streams': {
    options: { before: app => app.addHook('onRequest', async (request, reply) => { if (request.url.includes('/stream/')) reply.headers({ 'keep-alive': 'timeout=5', vary: 'Origin' }) }) }
  },
  'whose store is away': {
    spoil ({ service }) {
      for (const name of ['getTaskStatus', 'getBatch', 'enqueueChartTask', 'enqueueChartTasks', 'cancelTask', 'getMessageCharts', 'getQueueStats', 'pauseQueue', 'resumeQueue', 'listTasks', 'getTaskDetails', 'retryTask', 'retryTasks', 'cancelTasks', 'getWorkers', 'getQueueHistory', 'getFailures'] as const) Object.assign(service, { [name]: unreachable })
      service.checkHealth = async () => ({ ...await Object.getPrototypeOf(service).checkHealth.call(service), store: false })
    }
  },
  'whose identify throws': { options: { identify: broken } },
  'whose authorize throws': { options: { authorize: broken } },
  'whose streams break': {
    spoil ({ service }) {
      async function * breaks (): AsyncGenerator<never> { throw new Error('broken') }
      Object.assign(service, { watchTask: breaks, watchMessage: breaks, watchBatch: breaks })
      queueOf(service).watches.follow = async () => { throw new Error('broken') }
    }
  },
  'with an error handler of its own': {
    options: { before: app => app.setErrorHandler((error: Error & { statusCode?: number }, _request, reply) => reply.code(error.statusCode ?? 500).send({ mine: error.message })) }
  }
}

/** Nothing that a request does may end the process. */
function watchProcess (t: Test): unknown[] {
  const uncaught: unknown[] = []
  const note = (error: unknown) => { uncaught.push(error) }
  process.on('uncaughtException', note)
  process.on('unhandledRejection', note)
  t.teardown(() => {
    process.off('uncaughtException', note)
    process.off('unhandledRejection', note)
  })
  return uncaught
}

const start = async (t: Test, protocol: Protocol, { fastify, ...options }: HostOptions = {}) =>
  startHost(t, 'memory', { authorize: () => true, stream: { heartbeat: 50, maxDuration: 100 }, limits: { requestBytes: 1_000 }, ...options, fastify: { ...fastify, ...await serverOptions(protocol) } })

async function idsOf (host: Host): Promise<Record<string, string>> {
  const own = host.service
  const { task } = await own.enqueueChartTask({ message_id }, { user_id: 'ada' })
  await host.finish(task.task_id, { content: 1 })
  const { task: failing } = await own.enqueueChartTask({ message_id: unknown }, { user_id: 'ada' })
  await host.finish(failing.task_id, { error: Object.assign(new Error('no'), { name: 'ChartGenerationError' }) })
  return { finished: task.task_id, failed: failing.task_id, seen: String((await own.getTaskStatus(task.task_id))!.version) }
}

/** What must be the same by every protocol. */
function essence ({ status, headers, body }: Answer) {
  const type = headers['content-type'] ?? null
  return { status, type, cache: headers['cache-control'] ?? null, refused: status >= 400 && String(type).includes('json') && body !== '' ? JSON.parse(body) : null }
}

for (const [name, { options = {}, spoil }] of Object.entries(hosts)) {
  t.test(`every route answers alike by every protocol, of a host ${name}`, async t => {
    const uncaught = watchProcess(t)
    const ways = name === 'as it comes' ? Object.keys(asks) : ['a finished task', 'an id that nobody knows', 'a good body', 'a wait']
    const model = new Map<string, object>()
    for (const protocol of protocols) {
      const host = await start(t, protocol, options)
      const ids = await idsOf(host)
      spoil?.(host)
      const client = await startClient(host.app, protocol)
      const differing: unknown[] = []
      await Promise.all(ways.flatMap(way => routes.map(async ([method, path]) => {
        const asked = asks[way]!({ method, path: `${host.path}${path}`, headers: ada }, ids)
        const answer = essence(await client.ask(asked))
        const expected = model.get(`${way} ${method} ${path}`)
        if (protocol === protocols[0]) model.set(`${way} ${method} ${path}`, answer)
        else if (JSON.stringify(answer) !== JSON.stringify(expected)) differing.push({ way, method, path, answer, expected })
      })))
      t.strictSame(differing, [], protocol)
      client.close()
      await host.app.close()
    }
    t.equal(model.size, ways.length * routes.length)
    t.strictSame(uncaught, [])
  })
}

t.test('clients that disconnect at once, by every protocol', async t => {
  const uncaught = watchProcess(t)
  for (const protocol of protocols) {
    const host = await start(t, protocol, { stream: { heartbeat: 50 } })
    const { task_id } = await host.as('ada').create()
    const client = await startClient(host.app, protocol)
    for (const [method, path] of routes) {
      if (method === 'DELETE') continue
      await client.leave({ method, path: `${host.path}${path.replace(':id', task_id)}`, headers: { ...ada, ...json, prefer: 'wait=1' }, ...(method === 'POST' ? { payload: `{"message_id":"${message_id}"}` } : {}) })
    }
    const { status } = await client.ask({ method: 'GET', path: `${host.path}/async/${task_id}/status`, headers: ada })
    t.equal(status, 200, protocol)
    client.close()
    await host.app.close()
  }
  t.strictSame(uncaught, [])
})

t.test('a WebSocket route that is asked by HTTP/2 answers 426 without headers of a connection', async t => {
  for (const protocol of ['h2c', 'h2'] as const) {
    const host = await start(t, protocol)
    const { task_id } = await host.as('ada').create()
    const client = await startClient(host.app, protocol)
    const { status, headers, body } = await client.ask({ method: 'GET', path: `${host.path}/ws/${task_id}`, headers: ada })
    t.equal(status, 426)
    t.match(JSON.parse(body), { code: 'CHARTS_ERR_UPGRADE_REQUIRED' })
    t.notOk('upgrade' in headers || 'connection' in headers)
    client.close()
  }
})

t.test('a WebSocket beside HTTP/2, and a plain request that asks for another protocol', async t => {
  const host = await start(t, 'h2', { stream: {} })
  const { task_id } = await host.as('ada').create()
  const client = await startClient(host.app, 'h1 beside h2')
  const { port } = host.app.server.address() as { port: number }
  const reader = await openWebSocket(`https://127.0.0.1:${port}${host.path}/ws/${task_id}`, { headers: ada, rejectUnauthorized: false })
  t.match(await reader.task(), { task_id })
  reader.socket.terminate()

  const socket = connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false, ALPNProtocols: ['http/1.1'] })
  socket.write(`GET ${host.path}/async/${task_id}/status HTTP/1.1\r\nHost: localhost\r\nx-user: ada\r\nConnection: Upgrade, close\r\nUpgrade: h2c\r\n\r\n`)
  const [answer] = await once(socket.setEncoding('utf8'), 'data')
  t.match(answer, /^HTTP\/1\.1 200 /, 'is content with this one')
  socket.destroy()
  client.close()
})

for (const protocol of ['h2c', 'h2'] as const) {
  t.test(`a stream by ${protocol}: every state, and a close that it does not hold up`, async t => {
    const uncaught = watchProcess(t)
    const host = await start(t, protocol, { stream: { heartbeat: 50 } })
    await host.app.listen({ port: 0, host: '127.0.0.1' })
    const { port } = host.app.server.address() as { port: number }
    const session = connect(`${protocol === 'h2c' ? 'http' : 'https'}://127.0.0.1:${port}`, { rejectUnauthorized: false })
    const { task_id } = await host.as('ada').create()
    const open = () => session.request({ ...ada, ':path': `${host.path}/stream/${task_id}` }).setEncoding('utf8')
    const [one, other] = [open(), open()]
    let seen = ''
    one.on('data', text => { seen += text })
    await Promise.all([once(one, 'data'), once(other, 'data')])
    await host.progress(task_id, { step: 'rendering' })
    while (!seen.includes('rendering') || !seen.includes(': heartbeat')) await once(one, 'data')
    const watch = host.service.watchTask.bind(host.service)
    const watched = new Promise<void>(resolve => {
      host.service.watchTask = (...args) => {
        resolve()
        return watch(...args)
      }
    })
    const ended = Promise.all([once(one.resume(), 'end'), once(other.resume(), 'end'), once(session, 'close')])
    const waiting = session.request({ ...ada, ':path': `${host.path}/async/${task_id}/status`, prefer: 'wait=30' })
    const answered = once(waiting.resume(), 'response')
    await watched
    await host.app.close()
    await ended
    t.match(seen, /retry: \d+\n$/, 'tells when to come back')
    t.match((await answered)[0], { ':status': 200 })
    t.strictSame(uncaught, [])
  })

  t.test(`a reader by ${protocol} that takes nothing is cut`, async t => {
    const host = await start(t, protocol, { stream: { heartbeat: 50, maxPerUser: 1 }, limits: {} })
    await host.app.listen({ port: 0, host: '127.0.0.1' })
    const { port } = host.app.server.address() as { port: number }
    const session = connect(`${protocol === 'h2c' ? 'http' : 'https'}://127.0.0.1:${port}`, { rejectUnauthorized: false })
    const { task_id } = await host.as('ada').create({ adjustment_query: 'x'.repeat(60_000) })
    const opened = once(host.app.server, 'stream')
    const stuck = session.request({ ...ada, ':path': `${host.path}/stream/${task_id}` })
    stuck.on('error', () => {})
    const gone = once((await opened)[0] as EventEmitter, 'close')
    // Nothing is read: what is more than the window waits in the server.
    for (let updates = 0; updates < 20; updates++) await host.progress(task_id, { step: `step ${updates}` })
    await gone
    const next = session.request({ ...ada, ':path': `${host.path}/stream/${task_id}` }).setEncoding('utf8')
    let text = ''
    for await (const chunk of next) if ((text += chunk).includes('\n\n')) break
    t.match(text, /^retry: 2000\nid: /, 'and its place is free')
    next.close()
    session.destroy()
  })
}
