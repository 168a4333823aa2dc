import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { QueueService } from '../service/queue-service.ts'
import { errors } from '../errors.ts'
import { BatchRequestSchema, ChartStatus, isFinished, type BatchedChartRequest, type ChartTask } from '../task.ts'
import { callerOf, type Gate } from './access.ts'
import { idempotencyKeyOf, messageOf, pathOf, sendJson, type Describe } from './answers.ts'
import { BatchParams, headers, responses, withParams } from './schemas.ts'
import { publicTask } from './views.ts'

export interface BatchRoutesOptions {
  readonly service: QueueService
  readonly gate: Gate
  readonly describe: Describe
  readonly paramsSchema: object | undefined
  /** Bytes of one request, 0 = off. */
  readonly requestBytes: number
}

type BatchRequest = FastifyRequest<{ Params: { batch_id: string } }>

function summary (batch_id: string, tasks: readonly ChartTask[]) {
  const counts = Object.fromEntries(Object.values(ChartStatus).map(status => [status, tasks.filter(task => task.status === status).length]))
  const done = tasks.map(task => isFinished(task) ? 100 : task.progress)
  return {
    batch_id,
    total: tasks.length,
    counts,
    progress: Math.floor(done.reduce((sum, progress) => sum + progress, 0) / tasks.length),
    tasks: tasks.map(publicTask)
  }
}

/** The routes for many charts at once. */
export function batchRoutes (fastify: FastifyInstance, { service, gate, describe, paramsSchema, requestBytes }: BatchRoutesOptions): void {
  const { tasks } = BatchRequestSchema.properties
  const sendBatch = (reply: FastifyReply, batch_id: string, tasks: readonly ChartTask[]) => sendJson(reply, summary(batch_id, tasks))

  fastify.post<{ Body: { tasks: BatchedChartRequest[] } }>('/charts/async/batch', {
    bodyLimit: requestBytes > 0 ? requestBytes * tasks.maxItems! : Number.MAX_SAFE_INTEGER,
    schema: describe('createChartBatch', 'Generate many charts in the background: all are accepted, or none', {
      headers: headers('Idempotency-Key'),
      body: { ...BatchRequestSchema, properties: { tasks: { ...tasks, items: withParams(tasks.items, paramsSchema) } } },
      response: responses.createBatch
    })
  }, async (request, reply) => {
    const idempotencyKey = idempotencyKeyOf(request)
    for (const body of request.body.tasks) await gate.create(request, body)
    const { batch_id, outcome, tasks } = await service.enqueueChartTasks(request.body.tasks, callerOf(request), { idempotencyKey })
    if (outcome === 'replayed') reply.header('idempotent-replayed', 'true')
    reply.code(202).header('location', `${pathOf(request)}/${batch_id}`)
    return sendJson(reply, {
      batch_id,
      tasks: tasks.map(({ task, outcome }) => ({ ...publicTask(task), message: messageOf(task, outcome) }))
    })
  })

  fastify.get('/charts/async/batch/:batch_id', {
    schema: describe('getChartBatch', 'How the charts of a batch are doing', { params: BatchParams, response: responses.batch })
  }, async (request: BatchRequest, reply) => sendBatch(reply, request.params.batch_id.toLowerCase(), await gate.batch(request, request.params.batch_id, 'read')))

  fastify.delete('/charts/async/batch/:batch_id', {
    schema: describe('cancelChartBatch', 'Cancel what has not finished of a batch', { params: BatchParams, response: responses.cancelBatch })
  }, async (request: BatchRequest, reply) => {
    const { batch_id } = request.params
    await gate.batch(request, batch_id, 'cancel')
    const tasks = await service.cancelBatch(batch_id)
    if (!tasks) throw new errors.CHARTS_ERR_BATCH_NOT_FOUND()
    return sendBatch(reply, batch_id.toLowerCase(), tasks)
  })
}
