import type { FastifyReply, FastifyRequest } from 'fastify'
import { errors } from '../../errors.ts'
import { ChartStatus, CreateChartRequestSchema, isFinished, type ChartTask, type CreateChartRequest } from '../../task.ts'
import { callerOf } from '../access.ts'
import { etagOf, etagOfVersion, matchesEtag } from '../etag.ts'
import { chartJson } from '../large-responses.ts'
import { publicTask } from '../projections.ts'
import { idempotencyKeyOf, outcomeMessage, pathOf, sendJson, sendJsonText } from '../replies.ts'
import type { Route, RouteContext } from '../route.ts'
import { withParams } from '../schemas/params-schema.ts'
import { TaskParams, headers } from '../schemas/requests.ts'
import { body, empty, refused, withHeaders } from '../schemas/responses.ts'
import { budgetOf } from '../store-budget.ts'

/** Seconds after which to ask again for an unfinished task without an estimate. */
const DEFAULT_RETRY_SECONDS = 1

type CreateRequest = FastifyRequest<{ Body: CreateChartRequest }>
type TaskRequest = FastifyRequest<{ Params: { task_id: string } }>

/** The routes of one task. */
export const taskRoutes: readonly Route[] = [
  {
    name: 'createChart',
    method: 'POST',
    url: '/charts/async',
    summary: 'Generate a chart in the background',
    schema: {
      headers: headers('Prefer', 'Idempotency-Key'),
      response: {
        200: withHeaders(body('AnsweredChartTask', 'The chart exists already, or the task of this Idempotency-Key has ended'), 'Location', 'Preference-Applied', 'Idempotent-Replayed'),
        202: withHeaders(body('AnsweredChartTask', 'Queued, or in progress already'), 'Location', 'Retry-After', 'Preference-Applied', 'Idempotent-Replayed'),
        ...refused(400, 401, 403, 409, 413, 415, 422, 429, 503)
      }
    },
    body: ({ paramsSchema, requestBytes }) => ({
      schema: withParams(CreateChartRequestSchema, paramsSchema),
      limit: requestBytes || Number.MAX_SAFE_INTEGER
    }),
    handler: createChart
  },
  {
    name: 'getChartStatus',
    method: 'GET',
    url: '/charts/async/:task_id/status',
    summary: 'Get the status of a chart',
    schema: {
      headers: headers('Prefer', 'If-None-Match'),
      params: TaskParams,
      response: {
        200: withHeaders(body('ChartTask'), 'ETag', 'Retry-After', 'Preference-Applied'),
        304: withHeaders(empty('Not changed'), 'ETag', 'Retry-After', 'Preference-Applied'),
        ...refused(400, 401, 404, 503)
      }
    },
    handler: getChartStatus
  },
  {
    name: 'getChartResult',
    method: 'GET',
    url: '/charts/async/:task_id/result',
    summary: 'Get the finished chart',
    schema: {
      headers: headers('Prefer'),
      params: TaskParams,
      response: {
        200: withHeaders(body('Chart'), 'Preference-Applied'),
        ...refused(400, 401, 404, 410, 503),
        409: withHeaders(body('Error', 'Not finished, failed or cancelled'), 'Retry-After', 'Preference-Applied')
      }
    },
    handler: getChartResult
  },
  {
    name: 'cancelChart',
    method: 'DELETE',
    url: '/charts/async/:task_id',
    summary: 'Cancel a chart',
    schema: {
      params: TaskParams,
      response: { 200: body('ChartTask', 'The cancelled task'), ...refused(400, 401, 404, 409, 413, 415, 503) }
    },
    handler: cancelChart
  }
]

async function createChart (context: RouteContext, request: CreateRequest, reply: FastifyReply): Promise<FastifyReply> {
  const { service, queue, access, preferWait, hasRoute } = context
  const idempotencyKey = idempotencyKeyOf(request)
  await access.checkCreate(request, request.body)
  const enqueued = await budgetOf(request).spend(() => service.enqueueChartTask(request.body, callerOf(request), { idempotencyKey, trace: queue.telemetry.callerTrace(request.headers) }))
  const { outcome } = enqueued
  const { task } = await preferWait.wait(request, reply, enqueued.task)
  if (outcome === 'replayed') reply.header('idempotent-replayed', 'true')
  if (!isFinished(task)) reply.header('retry-after', await retryAfter(context, request, task))
  if (hasRoute('getChartStatus')) reply.header('location', `${pathOf(request)}/${task.task_id}/status`)
  reply.code(isFinished(task) ? 200 : 202)
  return sendJson(reply, { ...publicTask(task), message: outcomeMessage(task, outcome) })
}

async function getChartStatus (context: RouteContext, request: TaskRequest, reply: FastifyReply): Promise<FastifyReply> {
  const { access, preferWait } = context
  const found = await access.ownTask(request, request.params.task_id, 'read')
  const ifNoneMatch = request.headers['if-none-match']
  const hasThisVersion = ifNoneMatch !== undefined && etagOfVersion(ifNoneMatch, publicTask(found)) !== null
  // A client without a version may wait for the end, one that has this version for a newer one. One that has another gets this one now.
  const mayWait = ifNoneMatch === undefined || hasThisVersion
  const { task, hasWaited } = mayWait ? await preferWait.wait(request, reply, found, hasThisVersion ? 'newer' : 'finished') : { task: found, hasWaited: false }
  const shown = publicTask(task)
  if (!isFinished(task)) reply.header('retry-after', await retryAfter(context, request, task))
  // A client that has waited in vain keeps its ETag: it waited for a newer version, not for another queue position.
  const kept = hasWaited && ifNoneMatch !== undefined ? etagOfVersion(ifNoneMatch, shown) : null
  const etag = kept ?? etagOf(shown)
  reply.header('etag', etag)
  return ifNoneMatch !== undefined && matchesEtag(ifNoneMatch, etag) ? reply.code(304).send() : sendJson(reply, shown)
}

async function getChartResult (context: RouteContext, request: TaskRequest, reply: FastifyReply): Promise<FastifyReply> {
  const { queue, access, preferWait, hasChartStore } = context
  const { task: found, isOwn } = await access.visibleTask(request, request.params.task_id)
  const { task } = isOwn ? await preferWait.wait(request, reply, found) : { task: found }
  const read = () => queue.answers.chart(task)
  const chart = task.status === ChartStatus.COMPLETED ? await (hasChartStore ? read() : budgetOf(request).spend(read)) : null
  if (chart) return sendJsonText(reply, chartJson(chart))
  if (!isOwn) throw new errors.CHARTS_ERR_TASK_NOT_FOUND()
  switch (task.status) {
    case ChartStatus.COMPLETED: throw new errors.CHARTS_ERR_RESULT_EXPIRED()
    case ChartStatus.FAILED: throw new errors.CHARTS_ERR_TASK_FAILED(task.error_message!)
    case ChartStatus.CANCELLED: throw new errors.CHARTS_ERR_TASK_CANCELLED()
    default: {
      reply.header('retry-after', await retryAfter(context, request, task))
      throw new errors.CHARTS_ERR_TASK_NOT_FINISHED()
    }
  }
}

async function cancelChart ({ service, access }: RouteContext, request: TaskRequest, reply: FastifyReply): Promise<FastifyReply> {
  const { task_id } = request.params
  await access.ownTask(request, task_id, 'cancel')
  const task = await budgetOf(request).spend(() => service.cancelTask(task_id))
  if (!task) throw new errors.CHARTS_ERR_TASK_NOT_FOUND()
  if (task.status !== ChartStatus.CANCELLED) throw new errors.CHARTS_ERR_TASK_FINISHED()
  return sendJson(reply, publicTask(task))
}

/** `Retry-After` of an unfinished task in seconds, from its estimate. */
function retryAfter ({ queue }: RouteContext, request: FastifyRequest, task: ChartTask): Promise<number> {
  return budgetOf(request).estimate(() => queue.estimates.retryAfter(task), DEFAULT_RETRY_SECONDS)
}
