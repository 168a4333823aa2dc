import type { FastifyReply, FastifyRequest } from 'fastify'
import { errors } from '../../errors.ts'
import type { OpenBatch } from '../../service/open-answers.ts'
import { BatchRequestSchema, ChartStatus, isFinished, type BatchedChartRequest } from '../../task.ts'
import { callerOf } from '../access.ts'
import { listPieces } from '../large-responses.ts'
import { publicTask } from '../projections.ts'
import { idempotencyKeyOf, outcomeMessage, pathOf } from '../replies.ts'
import type { Route, RouteContext } from '../route.ts'
import { withParams } from '../schemas/params-schema.ts'
import { BatchParams, headers } from '../schemas/requests.ts'
import { body, refused, withHeaders } from '../schemas/responses.ts'
import { budgetOf } from '../store-budget.ts'

type CreateBatchRequest = FastifyRequest<{ Body: { tasks: BatchedChartRequest[] } }>
type BatchRequest = FastifyRequest<{ Params: { batch_id: string } }>

const { tasks: tasksSchema } = BatchRequestSchema.properties

/** The routes of batches. */
export const batchRoutes: readonly Route[] = [
  {
    name: 'createChartBatch',
    method: 'POST',
    url: '/charts/async/batch',
    summary: 'Generate many charts in the background: all are accepted, or none',
    schema: {
      headers: headers('Idempotency-Key'),
      response: {
        202: withHeaders(body('CreatedBatch', 'Accepted, in the order of the request'), 'Location', 'Idempotent-Replayed'),
        ...refused(400, 401, 403, 409, 413, 415, 422, 429, 503)
      }
    },
    body: ({ paramsSchema, requestBytes }) => ({
      schema: { ...BatchRequestSchema, properties: { tasks: { ...tasksSchema, items: withParams(tasksSchema.items, paramsSchema) } } },
      limit: requestBytes > 0 ? requestBytes * tasksSchema.maxItems! : Number.MAX_SAFE_INTEGER
    }),
    handler: createChartBatch
  },
  {
    name: 'getChartBatch',
    method: 'GET',
    url: '/charts/async/batch/:batch_id',
    summary: 'Get the status of a batch',
    schema: {
      params: BatchParams,
      response: { 200: body('Batch'), ...refused(400, 401, 404, 503) }
    },
    handler: getChartBatch
  },
  {
    name: 'cancelChartBatch',
    method: 'DELETE',
    url: '/charts/async/batch/:batch_id',
    summary: 'Cancel the unfinished tasks of a batch',
    schema: {
      params: BatchParams,
      response: { 200: body('Batch'), ...refused(400, 401, 404, 413, 415, 503) }
    },
    handler: cancelChartBatch
  }
]

async function createChartBatch ({ service, queue, access, largeResponses, hasRoute }: RouteContext, request: CreateBatchRequest, reply: FastifyReply): Promise<FastifyReply> {
  const idempotencyKey = idempotencyKeyOf(request)
  const requests = request.body.tasks
  for (const body of requests) await access.checkCreate(request, body)
  const { batch_id, outcome, tasks } = await budgetOf(request).spend(() => service.enqueueChartTasks(requests, callerOf(request), { idempotencyKey, trace: queue.telemetry.callerTrace(request.headers) }))
  if (outcome === 'replayed') reply.header('idempotent-replayed', 'true')
  reply.code(202)
  if (hasRoute('getChartBatch')) reply.header('location', `${pathOf(request)}/${batch_id}`)
  // Without waiting for the user's other responses: the caller must learn what was accepted.
  return largeResponses.send(null, reply, async function * () {
    yield `{"batch_id":${JSON.stringify(batch_id)},"tasks":[`
    yield * listPieces([tasks], ({ task, outcome }) => JSON.stringify({ ...publicTask(task), message: outcomeMessage(task, outcome) }))
    yield ']}'
  })
}

async function getChartBatch (context: RouteContext, request: BatchRequest, reply: FastifyReply): Promise<FastifyReply> {
  return sendBatch(context, request, reply, await context.access.ownBatch(request, request.params.batch_id, 'read'))
}

async function cancelChartBatch (context: RouteContext, request: BatchRequest, reply: FastifyReply): Promise<FastifyReply> {
  const { queue, access } = context
  const { batch_id } = request.params
  await access.ownBatch(request, batch_id, 'cancel')
  const batch = await budgetOf(request).spend(() => queue.answers.cancelledBatch(batch_id))
  if (!batch) throw new errors.CHARTS_ERR_BATCH_NOT_FOUND()
  return sendBatch(context, request, reply, batch)
}

function sendBatch ({ largeResponses }: RouteContext, request: BatchRequest, reply: FastifyReply, batch: OpenBatch): Promise<FastifyReply> {
  return largeResponses.send(callerOf(request).user_id, reply, () => batchPieces(request.params.batch_id.toLowerCase(), batch))
}

/** The JSON of a batch: first its tasks as they are read, then the figures that are computed from them. */
async function * batchPieces (batch_id: string, batch: OpenBatch): AsyncGenerator<string, void, void> {
  const counts = Object.fromEntries(Object.values(ChartStatus).map(status => [status, 0]))
  let total = 0
  let progress = 0
  yield `{"batch_id":${JSON.stringify(batch_id)},"tasks":[`
  yield * listPieces(batch.tasks(), task => {
    counts[task.status]!++
    total++
    progress += isFinished(task) ? 100 : task.progress
    return JSON.stringify(publicTask(task))
  })
  yield `],"total":${total},"counts":${JSON.stringify(counts)},"progress":${Math.floor(progress / Math.max(1, total))}}`
}
