import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { PassThrough } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { freePort } from './ports.ts'

export interface Proxy {
  /** Where clients connect to, in place of the target. */
  readonly url: string
  readonly port: number
  /** Ends all connections and refuses new ones; what was held back is lost. */
  cut (): Promise<void>
  /** Accepts connections, passes nothing on in either direction. */
  stall (): void
  /** Requests go through, their replies do not come back. */
  stallReplies (): void
  /** Replies come so many ms later. */
  delay (ms: number): void
  /** The connections that there are go silent for good, as if the other end had lost its power; new ones work. */
  abandon (): void
  /** Accepts and passes on again, what was held back first. */
  restore (): Promise<void>
  stop (): Promise<void>
}

interface Connection { readonly client: Socket, readonly upstream: Socket, readonly late: PassThrough, delayed?: boolean, abandoned?: boolean }

/** The network between a client and Redis, to be taken away and given back. */
export async function startProxy (target: string): Promise<Proxy> {
  const url = new URL(target)
  const upstreamPort = Number(url.port || 6379)
  const upstreamHost = url.hostname
  const port = await freePort()
  url.hostname = '127.0.0.1'
  url.port = `${port}`

  const connections = new Set<Connection>()
  let passing = { requests: true, replies: true }
  let latency = 0

  const server = createServer({ noDelay: true }, client => {
    const connection: Connection = { client, upstream: connect({ port: upstreamPort, host: upstreamHost, noDelay: true }), late: new PassThrough() }
    connections.add(connection)
    for (const socket of [connection.client, connection.upstream]) {
      // A broken connection is what this is for; the close that follows does the rest.
      socket.on('error', () => {})
      socket.on('close', () => { drop(connection) })
    }
    // One behind the other, also where the delay becomes shorter.
    let last = Promise.resolve()
    connection.late.on('data', (chunk: Buffer) => {
      const due = delay(latency)
      last = last.then(() => due).then(() => { client.write(chunk) })
    })
    direct(connection)
  })

  function direct (connection: Connection) {
    const { client, upstream, late, abandoned } = connection
    if (latency > 0) connection.delayed = true
    client.unpipe(upstream)
    upstream.unpipe()
    if (abandoned) return
    if (passing.requests) client.pipe(upstream)
    if (passing.replies) upstream.pipe(connection.delayed ? late : client)
  }

  function drop (connection: Connection) {
    connections.delete(connection)
    connection.client.destroy()
    connection.upstream.destroy()
  }

  function pass (requests: boolean, replies: boolean) {
    passing = { requests, replies }
    for (const connection of connections) direct(connection)
  }

  async function listen () {
    if (!server.listening) await once(server.listen(port, '127.0.0.1'), 'listening')
  }

  async function cut () {
    for (const connection of connections) drop(connection)
    if (server.listening) await once(server.close(), 'close')
  }

  await listen()
  return {
    url: url.href,
    port,
    cut,
    stall () { pass(false, false) },
    stallReplies () { pass(true, false) },
    delay (ms) {
      latency = ms
      pass(true, true)
    },
    abandon () {
      for (const connection of connections) direct(Object.assign(connection, { abandoned: true }))
    },
    async restore () {
      pass(true, true)
      await listen()
    },
    stop: cut
  }
}
