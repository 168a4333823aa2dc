import type { Server } from 'node:http'
import type { WebSocket } from '@fastify/websocket'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { errors, isStoreUnavailable } from '../../errors.ts'
import { isFinished, type ChartTask } from '../../task.ts'
import { callerOf } from '../access.ts'
import { isAllowedOrigin } from '../origins.ts'
import type { RouteContext } from '../route.ts'
import { webSocketFrame } from './frames.ts'
import { dispatchUpgrades } from './upgrades.ts'
import { WebSocketWriter, closeSocket, type CloseReason } from './websocket-writer.ts'

/** Maximum bytes of a message from a client. The protocol has none; this bounds what is read before the socket is closed. */
const MAX_MESSAGE_BYTES = 4_096

const FINISHED: CloseReason = [1000, 'the task has finished']
const UNEXPECTED_MESSAGE: CloseReason = [1008, 'nothing is expected from the client']
const MESSAGE_TOO_LARGE: CloseReason = [1009, 'message too large']
const RECONNECT: CloseReason = [1012, 'come back']
const TOO_MANY_STREAMS: CloseReason = [1013, 'too many streams, come back']
const STORE_UNAVAILABLE: CloseReason = [1013, 'not reachable, come back']
const TASK_VANISHED: CloseReason = [4404, 'the task is no longer kept']

type SocketRequest = FastifyRequest<{ Params: { task_id: string } }>
/** The task that the pre-handler has read, for the WebSocket handler; absent if the store was unavailable. */
const kTask = Symbol('fastify-async-charts.task')
type AdmittedRequest = SocketRequest & { [kTask]?: ChartTask }

/** Enables WebSockets in a scope whose WebSocket route has the full path `path`. */
export async function registerWebSocket (fastify: FastifyInstance, path: string): Promise<void> {
  const { default: websocket } = await import('@fastify/websocket')
  const server = dispatchUpgrades(fastify, path) as Server
  await fastify.register(websocket, {
    options: { maxPayload: MAX_MESSAGE_BYTES, server },
    // Logged as information: an invalid frame is the client's error, and a close code has told it so.
    errorHandler: (error, socket, request) => {
      request.log.info({ err: error }, 'WebSocket terminated: the client sent an invalid frame or has gone')
      socket.terminate()
    }
  })
}

/**
 * Checks access before the upgrade, so that a refusal has a status code. If the store is unavailable, the upgrade goes on and the close
 * code says so: a browser shows no status code to its page.
 */
export async function admitSocket ({ queue, access, allowedOrigins }: RouteContext, request: SocketRequest): Promise<void> {
  if (!isAllowedOrigin(request, allowedOrigins)) throw new errors.CHARTS_ERR_ORIGIN_FORBIDDEN()
  try {
    (request as AdmittedRequest)[kTask] = await access.ownTask(request, request.params.task_id, 'read')
  } catch (error) {
    if (!isStoreUnavailable(error)) throw error
    queue.telemetry.refused(error)
  }
}

/** Sends the states of the task as they come, the finished one last. */
export async function handleSocket ({ queue, streams, streamTimings }: RouteContext, socket: WebSocket, request: SocketRequest): Promise<void> {
  const task = (request as AdmittedRequest)[kTask]
  if (!task) return closeSocket(socket, STORE_UNAVAILABLE)
  const stream = streams.open(callerOf(request).user_id, 'websocket')
  if (!stream) return closeSocket(socket, TOO_MANY_STREAMS)
  let reason = RECONNECT
  // In the same turn of the event loop as the upgrade: messages are dropped while nobody listens.
  socket.on('message', (data: Buffer) => {
    if (stream.signal.aborted) return
    reason = data.length > MAX_MESSAGE_BYTES ? MESSAGE_TOO_LARGE : UNEXPECTED_MESSAGE
    stream.end()
  })
  socket.on('close', () => stream.end())
  socket.on('error', () => stream.end())
  stream.endAfter(streamTimings.maxDuration)
  const writer = new WebSocketWriter(socket, request.raw.socket, streamTimings.heartbeat, stream.signal)
  try {
    let hasFinished = false
    await queue.watches.follow(task.task_id, { signal: stream.signal }, state => {
      hasFinished = isFinished(state)
      return writer.write(webSocketFrame(state))
    })
    if (!stream.signal.aborted) reason = hasFinished ? FINISHED : TASK_VANISHED
  } catch (error) {
    if (!isStoreUnavailable(error)) request.log.error({ err: error }, 'stream failed unexpectedly, the client will reconnect')
    reason = STORE_UNAVAILABLE
  } finally {
    stream.close()
    writer.close(reason)
  }
}
