import type { Server } from 'node:http'
import type { Socket } from 'node:net'
import type { WebSocket, WebsocketHandler } from '@fastify/websocket'
import type { FastifyInstance, FastifyRequest, FastifySchema, RouteOptions, preHandlerAsyncHookHandler } from 'fastify'
import { errors, isStoreUnavailable } from '../errors.ts'
import type { QueueService } from '../service/queue-service.ts'
import { isFinished, type ChartTask } from '../task.ts'
import { callerOf, type Gate } from './access.ts'
import { mayCarry } from './connection.ts'
import { isAllowedOrigin, type AllowedOrigins } from './origins.ts'
import type { OpenStreams } from './open-streams.ts'
import type { StreamOptions } from './sse.ts'
import { StallDetector } from './stall-detector.ts'
import { leadUpgrades } from './upgrades.ts'
import { webSocketFrame } from './views.ts'
import { plainConnection, toTextMessage } from './wire.ts'

/** Bytes of a message of a client; none is expected. */
const MAX_PAYLOAD = 4_096

/** Why a socket is closed. */
const Close = {
  FINISHED: [1000, 'the task has finished'],
  UNEXPECTED: [1008, 'nothing is expected from the client'],
  TOO_LARGE: [1009, 'message too large'],
  COME_BACK: [1012, 'come back'],
  TOO_MANY: [1013, 'too many streams, come back'],
  UNREACHABLE: [1013, 'not reachable, come back'],
  VANISHED: [4404, 'the task is no longer kept']
} as const

/** ms that a client gets to answer a close. */
const LAST_BYTES = 250

interface Dependencies {
  readonly service: QueueService
  readonly gate: Gate
  readonly streams: OpenStreams
  readonly options: StreamOptions & { readonly allowedOrigins: AllowedOrigins }
}

type SocketRequest = FastifyRequest<{ Params: { task_id: string } }>
const kTask = Symbol('fastify-async-charts.task')
type AdmittedRequest = SocketRequest & { [kTask]?: ChartTask | null }

/** The path of the route, under the prefix. */
const SOCKET_ROUTE = '/charts/ws/:task_id'

/** Makes the scope's routes take WebSockets. */
export async function registerWebSocket (fastify: FastifyInstance): Promise<void> {
  const { default: websocket } = await import('@fastify/websocket')
  const server = leadUpgrades(fastify, `${fastify.prefix}${SOCKET_ROUTE}`) as Server
  await fastify.register(websocket, {
    options: { maxPayload: MAX_PAYLOAD, server },
    // What a client may send wrong, however often, is no error of the server's. It has been told by a close code.
    errorHandler: (error, socket, request) => {
      request.log.info({ err: error }, 'the WebSocket was ended')
      socket.terminate()
    }
  })
}

/** The route: a request that is no upgrade is told so. */
export function webSocketRoute (dependencies: Dependencies, schema: FastifySchema): RouteOptions {
  return {
    method: 'GET',
    url: SOCKET_ROUTE,
    exposeHeadRoute: false,
    schema,
    preHandler: admit(dependencies) as preHandlerAsyncHookHandler,
    handler: async (_request, reply) => {
      if (mayCarry(reply.raw, 'upgrade')) reply.header('upgrade', 'websocket')
      throw new errors.CHARTS_ERR_UPGRADE_REQUIRED()
    },
    wsHandler: webSocketHandler(dependencies) as WebsocketHandler
  }
}

/** Decided before the upgrade, with a status code. What passes, the socket says itself: a browser cannot see a status. */
function admit ({ service, gate, options }: Dependencies) {
  return async (request: SocketRequest): Promise<void> => {
    if (!isAllowedOrigin(request, options.allowedOrigins)) throw new errors.CHARTS_ERR_ORIGIN_FORBIDDEN()
    try {
      (request as AdmittedRequest)[kTask] = await gate.own(request, request.params.task_id, 'read')
    } catch (error) {
      if (!isStoreUnavailable(error)) throw error
      service.telemetry.refused(error)
    }
  }
}

/** Every state of the task as it comes, the finished one last. */
function webSocketHandler ({ service, streams, options }: Dependencies) {
  return async (socket: WebSocket, request: SocketRequest): Promise<void> => {
    const stream = new AbortController()
    let reason: readonly [number, string] = Close.COME_BACK
    const end = (why: readonly [number, string]) => {
      if (stream.signal.aborted) return
      reason = why
      stream.abort()
    }
    // Listeners first: what arrives before them is lost.
    socket.on('message', (data: Buffer) => end(data.length > MAX_PAYLOAD ? Close.TOO_LARGE : Close.UNEXPECTED))
    socket.on('close', () => stream.abort())
    socket.on('error', () => stream.abort())
    const task = (request as AdmittedRequest)[kTask]
    if (!task) return close(socket, Close.UNREACHABLE)
    const release = streams.open(callerOf(request).user_id, 'websocket', () => end(Close.COME_BACK))
    if (!release) return close(socket, Close.TOO_MANY)
    const heartbeat = beat(socket, request.raw.socket, options.heartbeat)
    const send = sender(socket, plainConnection(socket, request.raw.socket), stream.signal)
    const expiry = setTimeout(() => end(Close.COME_BACK), options.maxDuration)
    try {
      let last: ChartTask | undefined
      for await (const state of service.watchTask(task.task_id, { signal: stream.signal })) {
        last = state
        const sent = send(webSocketFrame(state))
        if (sent) await sent
      }
      if (!stream.signal.aborted) reason = last && isFinished(last) ? Close.FINISHED : Close.VANISHED
    } catch (error) {
      if (!isStoreUnavailable(error)) request.log.error({ err: error }, 'the stream broke')
      reason = Close.UNREACHABLE
    } finally {
      clearInterval(heartbeat)
      clearTimeout(expiry)
      release()
      close(socket, reason)
    }
  }
}

/**
 * Sends frames. A promise resolves when the frame has left for the network, so that a slow reader gets the newest state next, not all of
 * them; undefined where it has left at once, as it mostly has.
 */
function sender (socket: WebSocket, connection: Socket | null, signal: AbortSignal): (frame: Buffer) => Promise<void> | undefined {
  let taken: () => void = () => {}
  const onTaken = () => taken()
  signal.addEventListener('abort', onTaken)
  return frame => {
    // Behind a close there must be no message.
    if (connection && socket.readyState === socket.OPEN) connection.write(toTextMessage(frame), onTaken)
    else socket.send(frame, { binary: false }, onTaken)
    if (connection?.writableLength === 0 || signal.aborted) return
    return new Promise(resolve => { taken = resolve })
  }
}

/** Pings; cuts a client that misses a pong, and one that takes nothing for two heartbeats, whatever it sends. */
function beat (socket: WebSocket, connection: Socket | undefined, heartbeat: number): NodeJS.Timeout {
  const stall = new StallDetector()
  let answered = true
  socket.on('pong', () => { answered = true })
  return setInterval(() => {
    const isPending = socket.bufferedAmount > 0
    // An injected socket has no connection, and takes all at once.
    const taken = connection ? connection.bytesWritten - connection.writableLength : 0
    if (stall.isStalled(isPending, taken)) return socket.terminate()
    if (isPending) {
      // A ping would wait behind the rest, and its pong come too late from a client that is only slow.
      answered = true
      return
    }
    if (!answered) return socket.terminate()
    answered = false
    socket.ping()
  }, heartbeat)
}

function close (socket: WebSocket, [code, reason]: readonly [number, string]): void {
  socket.close(code, reason)
  // A client that does not answer must not hold up a shutdown.
  const cut = setTimeout(() => socket.terminate(), LAST_BYTES)
  socket.on('close', () => clearTimeout(cut))
}
