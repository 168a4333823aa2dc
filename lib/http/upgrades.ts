import { EventEmitter } from 'node:events'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import type { FastifyInstance } from 'fastify'

/** Node since 22.21 and 24.9 asks the server whether a request is an upgrade; before, all are while anybody listens. */
type AskedServer = Server & { shouldUpgradeCallback?: (request: IncomingMessage) => boolean }
/** The response that a connection is busy with. */
type BusySocket = Duplex & { _httpMessage?: ServerResponse | null }

/** The WebSocket routes of each server that is led, as patterns of their paths. */
const led = new WeakMap<object, RegExp[]>()

const isHandshake = ({ method, headers }: IncomingMessage) => method === 'GET' && headers.upgrade?.toLowerCase() === 'websocket'

/** A parameter may be anything: what it may not be, Fastify's router knows. */
function patternOf (route: string): RegExp {
  const segments = route.split('/').map(segment => /[:*]/.test(segment) ? '[^/?#]+' : segment.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
  return new RegExp(`^${segments.join('/')}/?(?:[?#;]|$)`, 'i')
}

/**
 * Leads WebSockets for `route` (a full path, which may have parameters) to Fastify's router: what is returned is what
 * `@fastify/websocket` is given as its server.
 *
 * It is not given the real one, because who listens for `upgrade` there gets every request of the process that has such a
 * header, and Node does nothing more about any of them: those for the host's own WebSockets, and those of clients that would
 * like another protocol (`h2c`) and are content with this one. So there is one listener of ours, which leaves to the others
 * what is not ours; and where there are no others, it treats the rest as Node does when nobody listens: as plain requests.
 */
export function leadUpgrades (fastify: FastifyInstance, route: string): EventEmitter {
  const router = new EventEmitter()
  const server = fastify.server as AskedServer
  const others = led.get(server)
  if (others) {
    // One is enough: the router is that of the whole host, and would be asked twice.
    others.push(patternOf(route))
    return router
  }
  const routes = [patternOf(route)]
  led.set(server, routes)

  const isAlone = () => server.listenerCount('upgrade') === 1
  // A path may be rewritten before it is routed. Where nobody else wants the request, only the router decides.
  const isOurs = (request: IncomingMessage) => isHandshake(request) && (isAlone() || routes.some(route => route.test(request.url!)))
  const onUpgrade = (request: IncomingMessage, socket: BusySocket, head: Buffer) => {
    // Later, because another @fastify/websocket leads everything to the same router: where it has, there is nothing left to do.
    if (isOurs(request)) process.nextTick(lead, router, request, socket, head)
    else if (isAlone()) replay(server, request, socket, head)
  }
  const { shouldUpgradeCallback } = server
  if (shouldUpgradeCallback) {
    server.shouldUpgradeCallback = request => isOurs(request) || (!isAlone() && shouldUpgradeCallback.call(server, request))
  }
  server.on('upgrade', onUpgrade)
  fastify.addHook('preClose', done => {
    server.off('upgrade', onUpgrade)
    if (shouldUpgradeCallback) server.shouldUpgradeCallback = shouldUpgradeCallback
    done()
  })
  return router
}

function lead (router: EventEmitter, request: IncomingMessage, socket: BusySocket, head: Buffer): void {
  if (socket._httpMessage?.req === request) return
  // Sent behind a request that has not been answered yet, where the answers could not be told apart.
  if (socket._httpMessage) {
    socket.destroy()
    return
  }
  router.emit('upgrade', request, socket, head)
  // Answered like a plain request, it has no HTTP parser any more that would end it, or read another request.
  const response = socket._httpMessage as ServerResponse | null | undefined
  response?.once('finish', () => socket.destroy())
}

/** Hands the connection back to the server as if it were new, with the request as it was but for its `upgrade`. */
function replay (server: Server, request: IncomingMessage, socket: BusySocket, head: Buffer): void {
  // Where Node has kept the connection back because the request has a body (26 and later), it cannot be handed back.
  if (socket._httpMessage || socket !== request.socket) {
    socket.destroy()
    return
  }
  const { method, url, httpVersion, rawHeaders } = request
  const lines = [`${method} ${url} HTTP/${httpVersion}`]
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if (rawHeaders[i]!.toLowerCase() !== 'upgrade') lines.push(`${rawHeaders[i]}: ${rawHeaders[i + 1]}`)
  }
  socket.unshift(Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), head]))
  server.emit('encrypted' in socket ? 'secureConnection' : 'connection', socket)
}
