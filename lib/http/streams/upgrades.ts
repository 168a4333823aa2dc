import { EventEmitter } from 'node:events'
import type { IncomingMessage, Server } from 'node:http'
import type { Duplex } from 'node:stream'
import type { FastifyInstance } from 'fastify'
import { decideUpgrades, responseOn } from './node-http.ts'

/** The WebSocket routes of each server that has our listener, as patterns of their paths. */
const routesOfServers = new WeakMap<object, RegExp[]>()

const isHandshake = ({ method, headers }: IncomingMessage) => method === 'GET' && headers.upgrade?.toLowerCase() === 'websocket'

/** Matches the URLs that a route may match. A parameter matches any segment: its constraints are checked by Fastify's router. */
function patternOf (route: string): RegExp {
  const segments = route.split('/').map(segment => /[:*]/.test(segment) ? '[^/?#]+' : segment.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
  return new RegExp(`^${segments.join('/')}/?(?:[?#;]|$)`, 'i')
}

/**
 * Dispatches WebSocket handshakes for `route` (a full path, which may have parameters) to Fastify's router. Returns the emitter that
 * `@fastify/websocket` must be given as its server.
 *
 * It does not get the real server, because a listener for `upgrade` there receives every request with an `Upgrade` header, and Node does
 * nothing more about any of them. That would break the host's own WebSockets, and clients that offer another protocol (`h2c`) but are
 * content with HTTP/1.1. So the server gets one listener of ours. It ignores what is not ours if others listen, too; if none do, it
 * handles the rest as Node does without listeners: as plain requests.
 */
export function dispatchUpgrades (fastify: FastifyInstance, route: string): EventEmitter {
  const router = new EventEmitter()
  const { server } = fastify
  const known = routesOfServers.get(server)
  if (known) {
    // One listener serves all registrations: the router is that of the whole host, and must not get a request twice.
    known.push(patternOf(route))
    return router
  }
  const routes = [patternOf(route)]
  routesOfServers.set(server, routes)

  const isOnlyListener = () => server.listenerCount('upgrade') === 1
  // The host may rewrite a URL before it is routed. If nobody else listens, Fastify's router alone decides.
  const isOurs = (request: IncomingMessage) => isHandshake(request) && (isOnlyListener() || routes.some(route => route.test(request.url!)))
  const onUpgrade = (request: IncomingMessage, connection: Duplex, head: Buffer) => {
    // Not at once: a @fastify/websocket of the host dispatches all handshakes to the same router, and then there is nothing left to do.
    if (isOurs(request)) process.nextTick(dispatch, router, request, connection, head)
    else if (isOnlyListener()) replay(server, request, connection, head)
  }
  /* c8 ignore next -- only later versions of Node call it */
  const restore = decideUpgrades(server, (request, original) => isOurs(request) || (!isOnlyListener() && original()))
  server.on('upgrade', onUpgrade)
  fastify.addHook('preClose', done => {
    server.off('upgrade', onUpgrade)
    restore()
    done()
  })
  return router
}

function dispatch (router: EventEmitter, request: IncomingMessage, connection: Duplex, head: Buffer): void {
  const current = responseOn(connection)
  if (current?.req === request) return
  // Pipelined behind a request that has not been answered: the client could not tell the two responses apart.
  if (current) {
    connection.destroy()
    return
  }
  router.emit('upgrade', request, connection, head)
  // If the handshake is refused with a response, no HTTP parser is left that would read another request or close the connection.
  responseOn(connection)?.once('finish', () => connection.destroy())
}

/** Returns the connection to the server as if it were new, with the same request but for its `Upgrade` header. */
function replay (server: Server, request: IncomingMessage, connection: Duplex, head: Buffer): void {
  // From Node 26 on, the event has another stream than the connection if the request has a body: then it cannot be returned.
  if (responseOn(connection) || connection !== request.socket) {
    connection.destroy()
    return
  }
  const { method, url, httpVersion, rawHeaders } = request
  const lines = [`${method} ${url} HTTP/${httpVersion}`]
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if (rawHeaders[i]!.toLowerCase() !== 'upgrade') lines.push(`${rawHeaders[i]}: ${rawHeaders[i + 1]}`)
  }
  connection.unshift(Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), head]))
  server.emit('encrypted' in connection ? 'secureConnection' : 'connection', connection)
}
