import t, { type Test } from 'tap'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setImmediate, setTimeout as delay } from 'node:timers/promises'
import { startHost, type Host } from '../helpers/app.ts'
import { netSocketOf, openSse, openWebSocket } from '../helpers/streams.ts'

const ada = { 'x-user': 'ada' }
/** Bytes of what makes every frame large: buffers on the way fill up soon. */
const LARGE = 60_000
const FRAME = LARGE + 1_000

interface Slow {
  readonly host: Host
  readonly base: string
  readonly task_id: string
  /** The server's side of the reader's connection. */
  readonly server: Socket
  readonly close: () => void
  /** Goes on until the reader's connection takes no more. */
  fill (): Promise<void>
  update (): Promise<void>
  /** The reader takes what has come, and no more. */
  read (): void
  /** The reader says that it is there. */
  pong (): void
}

/** Updates the task until its reader's connection takes no more, or is cut; how often that was. */
async function fillConnection (host: Host, task_id: string, server: Socket): Promise<number> {
  let updates = 0
  for (let stuck = 0; stuck < 20 && !server.destroyed; stuck = server.writableLength > 0 ? stuck + 1 : 0) {
    await host.progress(task_id, { step: `step ${++updates % 2}` })
    await setImmediate()
  }
  return updates
}

/** One reader that reads nothing of what it is sent. */
async function startSlow (t: Test, kind: 'sse' | 'ws', heartbeat: number): Promise<Slow> {
  const host = await startHost(t, 'memory', { stream: { heartbeat } })
  const base = await host.listen()
  const { task_id } = await host.as('ada').create({ adjustment_query: 'x'.repeat(LARGE) })
  const connected = once(host.app.server, 'connection')
  let close
  let read
  let pong = () => {}
  if (kind === 'sse') {
    const { hostname, port, pathname } = new URL(`${base}/stream/${task_id}`)
    const socket = connect(Number(port), hostname).pause().on('error', () => {})
    socket.write(`GET ${pathname} HTTP/1.1\r\nHost: ${hostname}\r\nx-user: ada\r\n\r\n`)
    close = () => socket.destroy()
    read = () => { socket.read() }
  } else {
    const reader = await openWebSocket(`${base}/ws/${task_id}`, { headers: ada })
    await reader.task()
    reader.socket.pause()
    close = () => reader.socket.terminate()
    const socket = netSocketOf(reader)
    read = () => {
      socket.read()
      // The library would send one only when it has read so far: this test is about the bytes.
      reader.socket.pong()
    }
    pong = () => reader.socket.pong()
  }
  t.teardown(close)
  const [server] = await connected as [Socket]
  let updates = 0
  const update = async () => {
    await host.progress(task_id, { step: `step ${++updates % 2}` })
    await setImmediate()
  }
  return {
    host,
    base,
    task_id,
    server,
    close,
    update,
    read,
    pong,
    async fill () {
      await fillConnection(host, task_id, server)
    }
  }
}

for (const kind of ['sse', 'ws'] as const) {
  t.test(`a reader that never reads, by ${kind}, is cut, and holds one frame until then`, async t => {
    let heartbeat = 150
    let slow: Slow
    let most = 0
    // A busy machine may cut the reader before its connection is full.
    do {
      slow = await startSlow(t, kind, heartbeat)
      const { server, fill, update } = slow
      await fill()
      while (!server.destroyed) {
        await update()
        most = Math.max(most, server.writableLength)
      }
      heartbeat *= 2
    } while (most === 0)
    const { host, base, task_id } = slow
    t.ok(most <= 2 * FRAME, 'a pending frame, not a growing buffer', { most })

    const other = await openSse(`${base}/stream/${task_id}`, ada)
    t.equal((await other.task())!.task_id, task_id, 'others are served')
    await host.finish(task_id, { content: 1 })
    for (let task = await other.task(); task; task = await other.task()) if (task.status === 'COMPLETED') t.pass('to the end')
  })

  t.test(`a reader that never reads, by ${kind}, does not hold up app.close()`, async t => {
    const { host, fill } = await startSlow(t, kind, 60_000)
    await fill()
    const begin = performance.now()
    await host.app.close()
    const took = performance.now() - begin
    t.ok(took < 2_000, 'ends at once', { took })
  })
}

t.test('a WebSocket that takes nothing, but sends pongs, is cut', { timeout: 20_000 }, async t => {
  const { host, server, fill, pong } = await startSlow(t, 'ws', 500)
  const ponging = setInterval(pong, 50)
  t.teardown(() => clearInterval(ponging))
  const closed = once(server, 'close')
  await fill()
  t.notOk(server.destroyed, 'as long as it takes some')
  await closed
  t.ok(server.destroyed)
  await host.app.close()
})

for (const kind of ['sse', 'ws'] as const) {
  t.test(`a reader that takes a little in each heartbeat, by ${kind}, is not cut`, async t => {
    // Longer than a busy machine lets nobody read.
    const heartbeat = 400
    const { server, fill, update, read, host, task_id } = await startSlow(t, kind, heartbeat)
    await fill()
    const begin = performance.now()
    let full = 0
    // So that it is behind all the time, for much longer than one that takes nothing may be.
    while (performance.now() - begin < 10 * heartbeat) {
      read()
      await update()
      if (server.writableLength > 0) full++
    }
    t.notOk(server.destroyed)
    t.ok(full > 0, 'was behind')
    await host.finish(task_id, { content: 1 })
  })
}

t.test('a reader that falls behind skips states, but never the last', async t => {
  const host = await startHost(t, 'memory', { stream: { heartbeat: 60_000 } })
  const base = await host.listen()
  const { task_id } = await host.as('ada').create({ adjustment_query: 'x'.repeat(LARGE) })
  const connected = once(host.app.server, 'connection')
  const stream = await openSse(`${base}/stream/${task_id}`, ada)
  const [server] = await connected as [Socket]
  stream.response.pause()
  const updates = await fillConnection(host, task_id, server)
  await host.finish(task_id, { content: 1 })
  const versions = []
  let last
  for (let task = await stream.task(); task; task = await stream.task()) {
    versions.push(task.version)
    last = task
  }
  t.equal(last!.status, 'COMPLETED')
  t.strictSame(versions, [...new Set(versions)].sort((a, b) => a - b), 'strictly increasing')
  t.ok(versions.length < updates, 'without all that came in between', { seen: versions.length, updates })
})

t.test('the finished state waits for a reader that pauses, however small it is', async t => {
  const host = await startHost(t, 'memory')
  const base = await host.listen()
  const { task_id } = await host.as('ada').create()
  const connected = once(host.app.server, 'connection')
  const stream = await openSse(`${base}/stream/${task_id}`, ada)
  const [server] = await connected as [Socket]
  stream.response.pause()
  await fillConnection(host, task_id, server)
  await host.finish(task_id, { content: 1 })
  // Longer than the last bytes of a shutdown get: nothing happens meanwhile, so there is nothing to wait for.
  await delay(600)
  let last
  for (let task = await stream.task(); task; task = await stream.task()) last = task
  t.equal(last!.status, 'COMPLETED')
})

t.test('app.close() does not wait for a reader that pauses before the end', async t => {
  const host = await startHost(t, 'memory')
  const base = await host.listen()
  const { task_id } = await host.as('ada').create()
  const connected = once(host.app.server, 'connection')
  const stream = await openSse(`${base}/stream/${task_id}`, ada)
  const [server] = await connected as [Socket]
  stream.response.pause().on('error', () => {})
  await fillConnection(host, task_id, server)
  await host.finish(task_id, { content: 1 })
  await setImmediate()
  const begin = performance.now()
  await host.app.close()
  const took = performance.now() - begin
  t.ok(took < 2_000, 'ends at once', { took })
})

t.test('a reader that has gone before its stream began leaves nothing behind', { timeout: 20_000 }, async t => {
  let gone: Promise<unknown> = Promise.resolve()
  const host = await startHost(t, 'memory', {
    stream: { maxPerUser: 1 },
    authorize: async () => {
      await gone
      return true
    }
  })
  const base = await host.listen()
  const { task_id } = await host.as('ada').create()
  const upgrade = 'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n'
  for (const [kind, path, headers] of [['stream', `stream/${task_id}`, ''], ['ws', `ws/${task_id}`, upgrade], ['wait', `async/${task_id}/status`, 'Prefer: wait=30\r\n']] as const) {
    const connected = once(host.app.server, 'connection')
    const { hostname, port, pathname } = new URL(`${base}/${path}`)
    const client = connect(Number(port), hostname)
    const [server] = await connected as [Socket]
    // Of a socket that waits for its upgrade nobody is told that it has closed.
    gone = once(kind === 'ws' ? client : server, 'close')
    client.write(`GET ${pathname} HTTP/1.1\r\nHost: ${hostname}\r\nx-user: ada\r\n${headers}\r\n`, () => client.destroy())
    await gone
    for (let free = false; !free;) {
      const next = await openSse(`${base}/stream/${task_id}`, ada)
      free = await next.task() !== null
      next.destroy()
    }
    t.pass(`the place is free: ${kind}`)
  }
})
