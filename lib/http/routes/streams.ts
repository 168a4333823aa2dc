import type { FastifyReply, FastifyRequest } from 'fastify'
import { errors } from '../../errors.ts'
import { END, type GroupState } from '../../service/group-feed.ts'
import { isFinished } from '../../task.ts'
import { callerOf } from '../access.ts'
import { mayCarry } from '../connection.ts'
import type { Route, RouteContext } from '../route.ts'
import { BatchParams, MessageParams, StreamQuery, TaskParams } from '../schemas/requests.ts'
import { body, eventStream, refused, withHeaders } from '../schemas/responses.ts'
import { budgetOf } from '../store-budget.ts'
import { groupFrame, sseFrame } from '../streams/frames.ts'
import { framesOf, sseHandler, type SendFrames } from '../streams/sse.ts'
import { admitSocket, handleSocket } from '../streams/websocket.ts'

type StreamRequest<Params> = FastifyRequest<{ Params: Params, Querystring: { last_event_id?: string | string[] } }>

/** The path of the WebSocket route. */
export const SOCKET_URL = '/charts/ws/:task_id'

/** The routes that send every state as it comes: server-sent events, and a WebSocket. */
export const streamRoutes: readonly Route[] = [
  {
    name: 'streamChart',
    method: 'GET',
    url: '/charts/stream/:task_id',
    kind: 'sse',
    summary: 'Live updates as server-sent events',
    schema: { params: TaskParams, querystring: StreamQuery, response: eventStream() },
    handler: sseHandler(admitToTask)
  },
  {
    name: 'streamMessageCharts',
    method: 'GET',
    url: '/charts/stream/by-message/:message_id',
    kind: 'sse',
    summary: "Live updates of all of a message's charts",
    schema: { params: MessageParams, querystring: StreamQuery, response: eventStream() },
    handler: sseHandler(admitToMessage)
  },
  {
    name: 'streamChartBatch',
    method: 'GET',
    url: '/charts/stream/batch/:batch_id',
    kind: 'sse',
    summary: 'Live updates of all charts of a batch',
    schema: { params: BatchParams, querystring: StreamQuery, response: eventStream() },
    handler: sseHandler(admitToBatch)
  },
  {
    name: 'openChartSocket',
    method: 'GET',
    url: SOCKET_URL,
    kind: 'ws',
    summary: 'Live updates over WebSocket',
    schema: {
      params: TaskParams,
      response: {
        426: withHeaders(body('Error', 'The request is no WebSocket handshake. After one, each message of the server is a ChartTask'), 'Upgrade'),
        ...refused(400, 401, 403, 404)
      }
    },
    preHandler: admitSocket,
    handler: refuseWithoutUpgrade,
    wsHandler: handleSocket
  }
]

/** One task: the id of its events is its version. */
async function admitToTask ({ queue, access }: RouteContext, request: StreamRequest<{ task_id: string }>): Promise<SendFrames | null> {
  const { task_id } = request.params
  const task = await access.ownTask(request, task_id, 'read')
  const id = lastEventIdOf(request)
  const after = id !== undefined && /^\d{1,15}$/.test(id) ? Number(id) : undefined
  if (isFinished(task) && after === task.version) return null
  return (signal, write) => queue.watches.follow(task_id, { after, signal }, state => write(sseFrame(state)))
}

/** All of the caller's tasks of a message, including those that are created while the stream is open. */
async function admitToMessage ({ service, access }: RouteContext, request: StreamRequest<{ message_id: string }>) {
  const message_id = request.params.message_id.toLowerCase()
  await access.checkMessage(request, message_id)
  // Checked now, while the stream can still be refused. Later it could only break.
  if (!(await budgetOf(request).spend(() => service.checkHealth())).store) throw new errors.CHARTS_ERR_STORE_UNAVAILABLE()
  const after = lastEventIdOf(request)
  const decisions = new Map<string, Promise<boolean>>()
  // Once per task, when it first appears: like the stream of a single task, which is authorized when it is opened.
  const isReadable = ({ task }: GroupState) => {
    const decision = decisions.get(task.task_id) ?? access.mayRead(request, task.message_id, task)
    decisions.set(task.task_id, decision)
    return decision
  }
  return framesOf(signal => filter(service.watchMessage(message_id, callerOf(request), { after, signal }), isReadable), groupFrame)
}

/** All tasks of a batch, until the last of them has ended. */
async function admitToBatch ({ service, access }: RouteContext, request: StreamRequest<{ batch_id: string }>) {
  const { batch_id } = request.params
  const { finished } = await access.ownBatch(request, batch_id, 'read')
  const after = lastEventIdOf(request)
  if (after === END) return null
  // A reader that missed the last frame does not have its cursor, and would reconnect for ever.
  const isOver = async () => isEmpty(service.watchBatch(batch_id, { after, signal: new AbortController().signal }))
  if (after !== undefined && finished && await budgetOf(request).spend(isOver)) return null
  return framesOf(signal => service.watchBatch(batch_id, { after, signal }), groupFrame)
}

function refuseWithoutUpgrade (_context: RouteContext, _request: FastifyRequest, reply: FastifyReply): never {
  if (mayCarry(reply.raw, 'upgrade')) reply.header('upgrade', 'websocket')
  throw new errors.CHARTS_ERR_UPGRADE_REQUIRED()
}

/** The cursor of the reader: the header, or on its first connection the query. Undefined without either. */
function lastEventIdOf ({ headers, query }: StreamRequest<unknown>): string | undefined {
  const id = headers['last-event-id'] ?? query.last_event_id
  return typeof id === 'string' && id !== '' ? id : undefined
}

async function isEmpty (states: AsyncIterable<unknown>): Promise<boolean> {
  const iterator = states[Symbol.asyncIterator]()
  const { done } = await iterator.next()
  await iterator.return?.()
  return done === true
}

async function * filter<T> (states: AsyncIterable<T>, passes: (state: T) => Promise<boolean>): AsyncGenerator<T, void, void> {
  for await (const state of states) if (await passes(state)) yield state
}
