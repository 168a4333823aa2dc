import type { FastifyReply, FastifyRequest } from 'fastify'
import type { OpenBatch } from '../service/open-answers.ts'
import type { QueueService } from '../service/queue-service.ts'
import { errors } from '../errors.ts'
import { BatchRequestSchema, ChartStatus, isFinished, type BatchedChartRequest } from '../task.ts'
import { callerOf, type Gate } from './access.ts'
import { idempotencyKeyOf, messageOf, pathOf, type Describe } from './answers.ts'
import type { HostRoutes } from './host-routes.ts'
import { listPieces, type LargeAnswers } from './large-answers.ts'
import { BatchParams, headers, responses, withParams } from './schemas.ts'
import { budgetOf } from './store-budget.ts'
import { publicTask } from './views.ts'

export interface BatchRoutesOptions {
  readonly service: QueueService
  readonly gate: Gate
  readonly describe: Describe
  readonly answers: LargeAnswers
  readonly paramsSchema: object | undefined
  /** Bytes of one request, 0 = off. */
  readonly requestBytes: number
}

type BatchRequest = FastifyRequest<{ Params: { batch_id: string } }>

/** A batch as it is answered: its tasks first, as they are read, then what follows from them. */
async function * summaryPieces (batch_id: string, batch: OpenBatch): AsyncGenerator<string, void, void> {
  const counts = Object.fromEntries(Object.values(ChartStatus).map(status => [status, 0]))
  let total = 0
  let done = 0
  yield `{"batch_id":${JSON.stringify(batch_id)},"tasks":[`
  yield * listPieces(batch.tasks(), task => {
    counts[task.status]!++
    total++
    done += isFinished(task) ? 100 : task.progress
    return JSON.stringify(publicTask(task))
  })
  yield `],"total":${total},"counts":${JSON.stringify(counts)},"progress":${Math.floor(done / Math.max(1, total))}}`
}

/** The routes for many charts at once. */
export function batchRoutes (routes: HostRoutes, { service, gate, describe, answers, paramsSchema, requestBytes }: BatchRoutesOptions): void {
  const { tasks } = BatchRequestSchema.properties
  const sendBatch = (request: BatchRequest, reply: FastifyReply, batch: OpenBatch) =>
    answers.send(callerOf(request).user_id, reply, () => summaryPieces(request.params.batch_id.toLowerCase(), batch))

  routes.post<{ Body: { tasks: BatchedChartRequest[] } }>('/charts/async/batch', {
    bodyLimit: requestBytes > 0 ? requestBytes * tasks.maxItems! : Number.MAX_SAFE_INTEGER,
    schema: describe('createChartBatch', 'Generate many charts in the background: all are accepted, or none', {
      headers: headers('Idempotency-Key'),
      body: { ...BatchRequestSchema, properties: { tasks: { ...tasks, items: withParams(tasks.items, paramsSchema) } } },
      response: responses.createBatch
    })
  }, async (request, reply) => {
    const idempotencyKey = idempotencyKeyOf(request)
    for (const body of request.body.tasks) await gate.create(request, body)
    const { batch_id, outcome, tasks } = await budgetOf(request).spend(() => service.enqueueChartTasks(request.body.tasks, callerOf(request), { idempotencyKey, trace: service.telemetry.callerTrace(request.headers) }))
    if (outcome === 'replayed') reply.header('idempotent-replayed', 'true')
    reply.code(202)
    if (routes.has('getChartBatch')) reply.header('location', `${pathOf(request)}/${batch_id}`)
    // What has been accepted must be told: it waits for nothing.
    return answers.send(null, reply, async function * () {
      yield `{"batch_id":${JSON.stringify(batch_id)},"tasks":[`
      yield * listPieces([tasks], ({ task, outcome }) => JSON.stringify({ ...publicTask(task), message: messageOf(task, outcome) }))
      yield ']}'
    })
  })

  routes.get('/charts/async/batch/:batch_id', {
    schema: describe('getChartBatch', 'How the charts of a batch are doing', { params: BatchParams, response: responses.batch })
  }, async (request: BatchRequest, reply) => sendBatch(request, reply, await gate.batch(request, request.params.batch_id, 'read')))

  routes.delete('/charts/async/batch/:batch_id', {
    schema: describe('cancelChartBatch', 'Cancel what has not finished of a batch', { params: BatchParams, response: responses.cancelBatch })
  }, async (request: BatchRequest, reply) => {
    const { batch_id } = request.params
    await gate.batch(request, batch_id, 'cancel')
    const batch = await budgetOf(request).spend(() => service.answers.cancelledBatch(batch_id))
    if (!batch) throw new errors.CHARTS_ERR_BATCH_NOT_FOUND()
    return sendBatch(request, reply, batch)
  })
}
