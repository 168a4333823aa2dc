import type { FastifyInstance, FastifyRequest } from 'fastify'
import { errors } from '../errors.ts'
import type { MessageListing } from '../service/message-listing.ts'
import type { QueueService } from '../service/queue-service.ts'
import { ChartStatus, CreateChartRequestSchema, isFinished, type ChartTask, type CreateChartRequest } from '../task.ts'
import { compileStrict, isStorable, describeIssues, strictValidator, type ValidationIssue } from '../validator.ts'
import { Gate, callerOf, identifyCallers, type Authorize, type Identify } from './access.ts'
import { describer, idempotencyKeyOf, messageOf, pathOf, sendJson } from './answers.ts'
import { batchRoutes } from './batches.ts'
import { MAX_PARTS, isTooManifold } from './body-size.ts'
import { dropConnectionHeaders } from './connection.ts'
import { hostRoutes, type CustomizeRoute } from './host-routes.ts'
import { LargeAnswers, chartJson, listPieces } from './large-answers.ts'
import { monitoringRoutes } from './monitoring.ts'
import type { Documents } from './named-schemas.ts'
import { operatorRoutes } from './operators.ts'
import { OpenStreams } from './open-streams.ts'
import type { AllowedOrigins } from './origins.ts'
import { Patience } from './prefer.ts'
import { BatchParams, MessageParams, MessageQuery, StreamQuery, TaskParams, embedded, enterSchemas, headers, responses, withParams } from './schemas.ts'
import { batchStream, messageStream, taskStream, type StreamOptions } from './sse.ts'
import { budgetOf, budgetRequests } from './store-budget.ts'
import { etagOf, matches, namedVersion, publicTask } from './views.ts'
import { registerWebSocket, webSocketRoute } from './websocket.ts'

export interface RoutesOptions {
  readonly service: QueueService
  readonly identify: Identify
  readonly authorize: Authorize | undefined
  readonly paramsSchema: object | undefined
  readonly requestBytes: number
  /** Whether charts are read from a store of the host's, whose time is not the queue's. */
  readonly hasChartStore: boolean
  readonly customize: CustomizeRoute | undefined
  readonly stream: StreamOptions & { readonly maxPerUser: number, readonly allowedOrigins: AllowedOrigins }
}

/** Seconds after which a store that does not answer is worth another attempt, and a full queue, and a task, where nobody knows more. */
const RETRY_UNAVAILABLE = 2
const RETRY_FULL = 5
const RETRY_UNFINISHED = 1

type TaskRequest = FastifyRequest<{ Params: { task_id: string } }>

/** The routes of the contract, in a scope of their own: their validator settings are not the host's. */
export async function chartRoutes (fastify: FastifyInstance, options: RoutesOptions): Promise<void> {
  const { service } = options
  const gate = new Gate(service, options.authorize)
  const streams = new OpenStreams(options.stream.maxPerUser, (transport, open) => service.telemetry.stream(transport, open))
  const patience = new Patience(service, streams)
  const answers = new LargeAnswers({ stallTimeout: 2 * options.stream.heartbeat, isBudgeted: !options.hasChartStore })
  const describe = describer(fastify)
  const askAgainIn = (request: FastifyRequest, task: ChartTask) => budgetOf(request).estimate(() => service.askAgainIn(task), RETRY_UNFINISHED)
  const paramsSchema = options.paramsSchema && embedded(options.paramsSchema, describe.unique('ChartParams'))
  const streaming = { service, gate, streams, options: options.stream }
  const routes = hostRoutes(fastify, describe, options.customize)
  const socketRoute = webSocketRoute(streaming, describe('openChartSocket', 'Live updates over WebSocket', { params: TaskParams, response: responses.socket }))

  // Before the WebSocket plugin's own, which closes without a code.
  fastify.addHook('preClose', async () => streams.endAll())
  fastify.addHook('preClose', async () => answers.endAll())
  if (routes.wants(socketRoute) && !fastify.hasRequestDecorator('ws')) {
    await registerWebSocket(fastify)
  }

  fastify.setValidatorCompiler(({ schema, httpPart }) => {
    // Described for the reader: what is understood of a header, the routes say.
    if (httpPart === 'headers') return () => true
    if (httpPart === 'body') return strictValidator(schema as object, options.paramsSchema)
    return compileStrict(schema as object, httpPart === 'querystring' ? { coerceTypes: true, useDefaults: true } : {})
  })
  fastify.setSerializerCompiler(() => serialize)
  fastify.setSchemaErrorFormatter((issues, subject) => {
    const message = describeIssues(issues as ValidationIssue[], subject)
    return isStorable(issues as ValidationIssue[]) ? new Error(message) : new errors.CHARTS_ERR_INVALID_REQUEST(message)
  })
  parseBodies(fastify)
  identifyCallers(fastify, options.identify, options.stream.allowedOrigins)
  budgetRequests(fastify)
  fastify.addHook('onSend', async (_request, reply) => {
    dropConnectionHeaders(reply)
    if (!reply.hasHeader('cache-control')) reply.header('cache-control', 'private, no-cache')
  })
  fastify.setErrorHandler(async (error, request, reply) => {
    service.telemetry.refused(error)
    if (error instanceof errors.CHARTS_ERR_STORE_UNAVAILABLE) reply.header('retry-after', RETRY_UNAVAILABLE)
    if (error instanceof errors.CHARTS_ERR_TOO_MANY_TASKS || error instanceof errors.CHARTS_ERR_QUEUE_FULL) {
      reply.header('retry-after', await budgetOf(request).estimate(() => service.placeIn(error), RETRY_FULL))
    }
    throw error
  })

  enterDocument(fastify)
  operatorRoutes(routes, { service, gate, describe })
  monitoringRoutes(routes, { service, gate, describe })

  routes.post<{ Body: CreateChartRequest }>('/charts/async', {
    bodyLimit: options.requestBytes || Number.MAX_SAFE_INTEGER,
    schema: describe('createChart', 'Generate a chart in the background', {
      headers: headers('Prefer', 'Idempotency-Key'),
      body: withParams(CreateChartRequestSchema, paramsSchema),
      response: responses.create
    })
  }, async (request, reply) => {
    const idempotencyKey = idempotencyKeyOf(request)
    await gate.create(request, request.body)
    const enqueued = await budgetOf(request).spend(() => service.enqueueChartTask(request.body, callerOf(request), { idempotencyKey, trace: service.telemetry.callerTrace(request.headers) }))
    const { outcome } = enqueued
    const { task } = await patience.wait(request, reply, enqueued.task)
    const finished = isFinished(task)
    if (outcome === 'replayed') reply.header('idempotent-replayed', 'true')
    if (!finished) reply.header('retry-after', await askAgainIn(request, task))
    if (routes.has('getChartStatus')) reply.header('location', `${pathOf(request)}/${task.task_id}/status`)
    return reply
      .code(finished ? 200 : 202)
      .type('application/json; charset=utf-8')
      .send(JSON.stringify({ ...publicTask(task), message: messageOf(task, outcome) }))
  })

  batchRoutes(routes, { service, gate, describe, answers, paramsSchema, requestBytes: options.requestBytes })

  routes.get('/charts/async/:task_id/status', {
    schema: describe('getChartStatus', 'How a chart is doing', { headers: headers('Prefer', 'If-None-Match'), params: TaskParams, response: responses.status })
  }, async (request: TaskRequest, reply) => {
    const found = await gate.own(request, request.params.task_id, 'read')
    const ifNoneMatch = request.headers['if-none-match']
    // A caller that has this state already waits for another; one that has none, for the end.
    const known = ifNoneMatch === undefined ? null : namedVersion(ifNoneMatch, publicTask(found))
    const waits = ifNoneMatch === undefined || known !== null
    const { task, waited } = waits ? await patience.wait(request, reply, found, { change: known !== null }) : { task: found, waited: false }
    const shown = publicTask(task)
    if (!isFinished(task)) reply.header('retry-after', await askAgainIn(request, task))
    // Who has waited for a change of the task is not told that others have moved, and keeps the validator of what it has.
    const same = waited && ifNoneMatch !== undefined ? namedVersion(ifNoneMatch, shown) : null
    const etag = same ?? etagOf(shown)
    reply.header('etag', etag)
    if (same !== null || (ifNoneMatch !== undefined && matches(ifNoneMatch, etag))) return reply.code(304).send()
    return sendJson(reply, shown)
  })

  routes.get('/charts/async/:task_id/result', {
    schema: describe('getChartResult', 'The finished chart', { headers: headers('Prefer'), params: TaskParams, response: responses.result })
  }, async (request: TaskRequest, reply) => {
    const { task: found, own } = await gate.visible(request, request.params.task_id)
    const { task } = own ? await patience.wait(request, reply, found) : { task: found }
    const read = () => service.answers.chart(task)
    const chart = task.status === ChartStatus.COMPLETED ? await (options.hasChartStore ? read() : budgetOf(request).spend(read)) : null
    if (chart) return reply.type('application/json; charset=utf-8').send(chartJson(chart))
    if (!own) throw new errors.CHARTS_ERR_TASK_NOT_FOUND()
    switch (task.status) {
      case ChartStatus.COMPLETED: throw new errors.CHARTS_ERR_RESULT_EXPIRED()
      case ChartStatus.FAILED: throw new errors.CHARTS_ERR_TASK_FAILED(task.error_message!)
      case ChartStatus.CANCELLED: throw new errors.CHARTS_ERR_TASK_CANCELLED()
      default: {
        reply.header('retry-after', await askAgainIn(request, task))
        throw new errors.CHARTS_ERR_TASK_NOT_FINISHED()
      }
    }
  })

  routes.delete('/charts/async/:task_id', {
    schema: describe('cancelChart', 'Cancel a chart', { params: TaskParams, response: responses.cancel })
  }, async (request: TaskRequest, reply) => {
    await gate.own(request, request.params.task_id, 'cancel')
    const task = await budgetOf(request).spend(() => service.cancelTask(request.params.task_id))
    if (!task) throw new errors.CHARTS_ERR_TASK_NOT_FOUND()
    if (task.status !== ChartStatus.CANCELLED) throw new errors.CHARTS_ERR_TASK_FINISHED()
    return sendJson(reply, publicTask(task))
  })

  routes.get<{ Params: { message_id: string }, Querystring: { limit: number, content: boolean } }>('/charts/by-message/:message_id', {
    schema: describe('getMessageCharts', "A message's charts and running tasks", { params: MessageParams, querystring: MessageQuery, response: responses.message })
  }, async (request, reply) => {
    const message_id = request.params.message_id.toLowerCase()
    await gate.message(request, message_id)
    const caller = callerOf(request)
    const budget = budgetOf(request)
    const mayRead = (task: ChartTask | null) => budget.exempt(() => gate.reads(request, message_id, task))
    return answers.send(caller.user_id, reply, async function * () {
      const listing = await service.answers.message(message_id, caller, { ...request.query, mayRead })
      // Where a stream of the message goes on without a gap.
      reply.header('stream-cursor', listing.cursor)
      yield * messagePieces(service, listing)
    })
  })

  routes.get('/charts/stream/:task_id', {
    exposeHeadRoute: false,
    schema: describe('streamChart', 'Live updates as server-sent events', { params: TaskParams, querystring: StreamQuery, response: responses.stream })
  }, taskStream(streaming))

  routes.get('/charts/stream/by-message/:message_id', {
    exposeHeadRoute: false,
    schema: describe('streamMessageCharts', "Live updates of all of a message's charts", { params: MessageParams, querystring: StreamQuery, response: responses.stream })
  }, messageStream(streaming))

  routes.get('/charts/stream/batch/:batch_id', {
    exposeHeadRoute: false,
    schema: describe('streamChartBatch', 'Live updates of all charts of a batch', { params: BatchParams, querystring: StreamQuery, response: responses.stream })
  }, batchStream(streaming))

  routes.route(socketRoute)
}

/**
 * Puts the schemas that the routes refer to into the host's OpenAPI document. Of all that @fastify/swagger asks while it builds one,
 * only `swaggerTransform` sees it. As that of a visible route, it would go before the host's own `transform`; so it is that of a
 * route that is hidden, does not exist for callers, and is there whatever the host leaves out. It must be the first.
 */
function enterDocument (fastify: FastifyInstance): void {
  const swaggerTransform = (document: Documents) => {
    enterSchemas(document)
    return { schema: { hide: true } }
  }
  fastify.head('/charts/async', { config: { swagger: { exposeHeadRoute: true }, swaggerTransform } as object }, (_request, reply) => reply.callNotFound())
}

/** The answer to a message, in the order in which its listing is read. */
async function * messagePieces (service: QueueService, listing: MessageListing): AsyncGenerator<string, void, void> {
  let hasActive = false
  yield '{"active_tasks":['
  for await (const piece of listPieces(estimated(service, listing.active()), taskJson)) {
    hasActive = true
    yield piece
  }
  yield `],"has_active_tasks":${hasActive},"failed_tasks":[`
  yield * listPieces(listing.failed(), taskJson)
  yield '],"charts":['
  yield * listPieces(single(listing.charts()), chartJson)
  yield `],"content_complete":${listing.contentComplete}}`
}

const taskJson = (task: ChartTask) => JSON.stringify(publicTask(task))

async function * estimated (service: QueueService, slices: AsyncIterable<ChartTask[]>) {
  for await (const tasks of slices) yield await service.answers.estimated(tasks)
}

async function * single<T> (items: AsyncIterable<T>) {
  for await (const item of items) yield [item]
}

/** The host's parsers are for its own routes: one for every type, or one that keeps the bytes, would hand over what is no object. */
export function parseBodies (fastify: FastifyInstance): void {
  const parse = fastify.getDefaultJsonParser('error', 'error')
  fastify.removeAllContentTypeParsers()
  fastify.addContentTypeParser<string>('application/json', { parseAs: 'string' }, (request, body, done) => {
    // Many clients always send the header, also where there is nothing to send.
    if (body === '') done(null, undefined)
    else if (isTooManifold(body)) done(new errors.CHARTS_ERR_INVALID_REQUEST(`body must not have more than ${MAX_PARTS} objects, lists and members`))
    else parse(request, body, done)
  })
  // What fetch says of a string: it is judged, so that its sender is told what a body must be.
  fastify.addContentTypeParser('text/plain', { parseAs: 'string' }, (_request, body, done) => done(null, body))
}

/** The response schemas are for the reader only: a host whose error handler answers in another shape is not held to them. */
function serialize (body: unknown): string {
  if (!(body instanceof Error)) return JSON.stringify(body)
  // What Fastify hands over where nobody has handled it: these four cannot be enumerated.
  const { statusCode, code, error, message } = body as Error & { statusCode?: number, code?: string, error?: string }
  return JSON.stringify({ statusCode, code, error, message })
}
