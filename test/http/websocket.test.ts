import t, { type Test } from 'tap'
import { once } from 'node:events'
import websocket from '@fastify/websocket'
import { queueOf } from '../../lib/chart-queue-service.ts'
import { errors } from '../../lib/index.ts'
import { startHost, storeKinds, type Host } from '../helpers/app.ts'
import { SocketReader, netSocketOf, openWebSocket, tryWebSocket, type Refusal } from '../helpers/streams.ts'

const ada = { 'x-user': 'ada@acme' }

async function refusal (url: string, headers: Record<string, string>): Promise<Refusal> {
  const answer = await tryWebSocket(url, { headers })
  if (answer instanceof SocketReader) throw new Error('was let in')
  return answer
}

async function follow (t: Test, host: Host, base: string): Promise<void> {
  const { message, ...created } = await host.as('ada@acme').create()
  const { task_id } = created
  const reader = await openWebSocket(`${base}/ws/${task_id}`, { headers: ada })
  t.strictSame(await reader.task(), created, 'the task itself, at once')
  await host.take(task_id)
  t.match(await reader.task(), { version: 2, status: 'PROCESSING' })
  await host.progress(task_id, { step: 'rendering', step_progress: 50, progress: 60 })
  t.match(await reader.task(), { version: 3, current_step: 'rendering', step_progress: { rendering: 50 }, progress: 60 })
  await host.finish(task_id, { content: 1 })
  const finished = (await host.as('ada@acme').get(`/async/${task_id}/status`)).json()
  t.strictSame(await reader.rest(), [finished], 'the finished task last')
  t.match(await reader.closed, { code: 1000 })
}

for (const kind of storeKinds) {
  t.test(`WebSocket on ${kind}`, async t => {
    const host = await startHost(t, kind)
    const base = await host.listen()
    const asAda = host.as('ada@acme')

    t.test('the task as it comes, then 1000', t => follow(t, host, base))

    t.test('frames are text', async t => {
      const { task_id } = await asAda.create()
      const reader = await openWebSocket(`${base}/ws/${task_id}`, { headers: ada })
      await reader.task()
      const message = once(reader.socket, 'message')
      await host.take(task_id)
      t.equal((await message)[1], false, 'not binary: JSON.parse(event.data) works')
      reader.socket.terminate()
    })

    t.test('a finished task is one message', async t => {
      const task = await asAda.finished({ content: 1 })
      const reader = await openWebSocket(`${base}/ws/${task.task_id}`, { headers: ada })
      t.strictSame(await reader.rest(), [task])
      t.match(await reader.closed, { code: 1000 })
    })

    t.test('a cancel is the last message', async t => {
      const { task_id } = await asAda.create()
      const reader = await openWebSocket(`${base}/ws/${task_id.toUpperCase()}`, { headers: ada })
      await reader.task()
      await asAda.delete(`/async/${task_id}`)
      t.equal((await reader.rest()).at(-1)!.status, 'CANCELLED')
      t.match(await reader.closed, { code: 1000 })
    })

    t.test('a permanent refusal has a status code, before the upgrade', async t => {
      const { task_id } = await asAda.create({ visibility: 'PUBLIC' })
      const foreign = { ...ada, origin: 'https://evil.example' }
      const refused: Array<[string, Record<string, string>, number, string]> = [
        [task_id, {}, 401, 'CHARTS_ERR_UNAUTHENTICATED'],
        ['x', {}, 401, 'CHARTS_ERR_UNAUTHENTICATED'],
        ['x', ada, 400, 'FST_ERR_VALIDATION'],
        [crypto.randomUUID(), ada, 404, 'CHARTS_ERR_TASK_NOT_FOUND'],
        [task_id, { 'x-user': 'bob@acme' }, 404, 'CHARTS_ERR_TASK_NOT_FOUND'],
        [task_id, foreign, 403, 'CHARTS_ERR_ORIGIN_FORBIDDEN'],
        [crypto.randomUUID(), foreign, 403, 'CHARTS_ERR_ORIGIN_FORBIDDEN']
      ]
      for (const [id, headers, status, code] of refused) {
        const answer = await refusal(`${base}/ws/${id}`, headers)
        t.equal(answer.status, status, code)
        const body = JSON.parse(answer.body)
        t.strictSame(body, { statusCode: status, code, error: body.error, message: body.message })
      }
    })

    t.test('a plain GET is told to upgrade', async t => {
      const { task_id } = await asAda.create()
      const response = await fetch(`${base}/ws/${task_id}`, { headers: ada })
      t.equal(response.status, 426)
      t.match(await response.json(), { statusCode: 426, code: 'CHARTS_ERR_UPGRADE_REQUIRED', error: 'Upgrade Required', message: String })
      t.equal(response.headers.get('upgrade'), 'websocket', 'and to what')
    })

    t.test('a message of the client: 1008, too large a one: 1009', async t => {
      const { task_id } = await asAda.create()
      for (const [message, code] of [['hello', 1008], [Buffer.alloc(10), 1008], ['', 1008], ['x'.repeat(4_096), 1008], ['x'.repeat(4_097), 1009]] as const) {
        const reader = await openWebSocket(`${base}/ws/${task_id}`, { headers: ada })
        await reader.task()
        reader.socket.send(message)
        t.match(await reader.closed, { code }, `${message.length} bytes`)
      }
    })
  })

  t.test(`a host with its own @fastify/websocket, on ${kind}`, async t => {
    const host = await startHost(t, kind, { before: app => app.register(websocket) })
    await host.app.register(async scope => {
      scope.get('/echo', { websocket: true }, socket => { socket.on('message', data => socket.send(String(data))) })
    })
    const base = await host.listen()
    await t.test('ours work', t => follow(t, host, base))
    await t.test('theirs work', async t => {
      const reader = await openWebSocket(`${new URL(base).origin}/echo`)
      reader.socket.send('x'.repeat(10_000))
      t.equal((await reader.next())!.length, 10_000, 'without our limits')
      reader.socket.terminate()
    })
    await t.test('too large a message is 1009 here, too', async t => {
      const { task_id } = await host.as('ada@acme').create()
      const reader = await openWebSocket(`${base}/ws/${task_id}`, { headers: ada })
      await reader.task()
      reader.socket.send('x'.repeat(4_097))
      t.match(await reader.closed, { code: 1009 })
      const second = await openWebSocket(`${base}/ws/${task_id}`, { headers: ada })
      await second.task()
      for (const message of ['hello', 'x'.repeat(4_097)]) second.socket.send(message)
      t.match(await second.closed, { code: 1008 }, 'the first message decides')
    })
  })
}

t.test('Origin', async t => {
  const cases: Array<[allowed: 'same-origin' | '*' | string[], passes: string[], refused: string[]]> = [
    ['same-origin', ['same'], ['https://evil.example', 'null', 'http://127.0.0.1', 'http://127.0.0.1:1', '', 'nonsense']],
    ['*', ['same', 'https://evil.example', 'null'], []],
    [['https://app.example', 'https://app.example:8443'], ['https://app.example', 'https://app.example:8443'],
      ['same', 'https://app.example.evil.example', 'http://app.example', 'https://APP.example.com', 'null']],
    [[], [], ['same', 'https://evil.example']]
  ]
  for (const [allowedOrigins, passes, refused] of cases) {
    await t.test(String(allowedOrigins) || 'an empty list', async t => {
      const host = await startHost(t, 'memory', { stream: { allowedOrigins } })
      const base = await host.listen()
      const { task_id } = await host.as('ada@acme').create()
      const url = `${base}/ws/${task_id}`
      const origin = (name: string) => name === 'same' ? new URL(base).origin : name
      for (const name of passes) (await openWebSocket(url, { headers: { ...ada, origin: origin(name) } })).socket.terminate()
      for (const name of refused) t.equal((await refusal(url, { ...ada, origin: origin(name) })).status, 403, name)
      const none = await openWebSocket(url, { headers: ada })
      t.ok(await none.task(), 'none at all is no browser')
      none.socket.terminate()
    })
  }
})

t.test('behind a proxy, the origin is that of the host that the proxy was asked for', async t => {
  const host = await startHost(t, 'memory', { fastify: { trustProxy: true } })
  const base = await host.listen()
  const { task_id } = await host.as('ada@acme').create()
  const url = `${base}/ws/${task_id}`
  const forwarded = { ...ada, 'x-forwarded-host': 'app.example' }
  ;(await openWebSocket(url, { headers: { ...forwarded, origin: 'https://app.example' } })).socket.terminate()
  t.equal((await refusal(url, { ...forwarded, origin: new URL(base).origin })).status, 403)
})

t.test('an invalid frame of a client is not logged as an error', async t => {
  const levels: number[] = []
  const logger = { level: 'info', stream: { write: (line: string) => { levels.push(JSON.parse(line).level) } } }
  const host = await startHost(t, 'memory', { fastify: { logger } })
  const base = await host.listen()
  const { task_id } = await host.as('ada').create()
  for (const send of [(socket: SocketReader) => socket.socket.send('x'.repeat(10_000)), (socket: SocketReader) => netSocketOf(socket).write(Buffer.from([0xff, 0xff]))]) {
    const reader = await openWebSocket(`${base}/ws/${task_id}`, { headers: ada })
    await reader.task()
    send(reader)
    t.match((await reader.closed).code, /^10(09|02|06)$/)
  }
  await host.app.close()
  t.ok(levels.length > 0, 'the log was written')
  t.strictSame(levels.filter(level => level >= 40), [])
})

t.test('a host is the same with its default port and in another case', async t => {
  const host = await startHost(t, 'memory')
  const base = await host.listen()
  const { task_id } = await host.as('ada').create()
  const cases: Array<[origin: string, host: string, passes: boolean]> = [
    ['https://app.example', 'app.example:443', true],
    ['http://app.example', 'app.example:80', true],
    ['https://app.example', 'APP.Example', true],
    ['https://app.example:8443', 'App.example:8443', true],
    ['https://app.example', 'app.example:80', false],
    ['https://app.example', 'app.example:8443', false],
    ['https://app.example', 'other.example:443', false],
    ['https://app.example', 'not a host', false],
    ['https://app.example', '[', false]
  ]
  for (const [origin, name, passes] of cases) {
    const answer = await tryWebSocket(`${base}/ws/${task_id}`, { headers: { ...ada, origin, host: name } })
    if (answer instanceof SocketReader) answer.socket.terminate()
    t.equal(answer instanceof SocketReader, passes, `${origin} at ${name}`)
  }
})

t.test('a ping every heartbeat; a client that misses a pong is disconnected', async t => {
  const host = await startHost(t, 'memory', { stream: { heartbeat: 60, maxPerUser: 2 } })
  const base = await host.listen()
  const { task_id } = await host.as('ada@acme').create()
  const alive = await openWebSocket(`${base}/ws/${task_id}`, { headers: ada })
  const mute = await openWebSocket(`${base}/ws/${task_id}`, { headers: ada, autoPong: false })
  for (let pings = 0; pings < 4; pings++) await once(alive.socket, 'ping')
  t.match(await mute.closed, { code: 1006 }, 'cut, not closed')
  await host.take(task_id)
  await alive.task()
  t.equal((await alive.task())!.version, 2, 'who answers stays')
  alive.socket.terminate()
})

t.test('an error while a task is watched closes the WebSocket, and only one that is not of the store is logged', async t => {
  const errorsLogged: string[] = []
  const logger = { level: 'error', stream: { write: (line: string) => { errorsLogged.push(JSON.parse(line).err.message) } } }
  const host = await startHost(t, 'memory', { fastify: { logger } })
  const base = await host.listen()
  const { task_id } = await host.as('ada@acme').create()
  for (const error of [new errors.CHARTS_ERR_STORE_UNAVAILABLE(), new Error('broken')]) {
    queueOf(host.service).watches.follow = async () => { throw error }
    const reader = await openWebSocket(`${base}/ws/${task_id}`, { headers: ada })
    t.match(await reader.closed, { code: 1013 })
  }
  t.strictSame(errorsLogged, ['broken'])
})
