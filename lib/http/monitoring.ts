import type { FastifyRequest, FastifySchema } from 'fastify'
import type { BulkFilter } from '../service/bulk.ts'
import { HISTORY_MINUTES } from '../service/monitoring.ts'
import type { QueueService } from '../service/queue-service.ts'
import type { Gate } from './access.ts'
import { sendJson, type Describe } from './answers.ts'
import type { HostRoutes } from './host-routes.ts'
import { BulkBody, TAGS, minutesQuery, responses } from './schemas.ts'
import { budgetOf } from './store-budget.ts'

interface MonitoringRoutesOptions {
  readonly service: QueueService
  readonly gate: Gate
  readonly describe: Describe
}

type RangeRequest = FastifyRequest<{ Querystring: { minutes: number } }>
interface Bulk { readonly filter: BulkFilter, readonly limit?: number, readonly cursor?: string | null }

/** Who works the queue, what has become of its tasks, and what is done to many of them: for those whom `authorize` allows to `monitor`. */
export function monitoringRoutes (routes: HostRoutes, { service, gate, describe: describeRoute }: MonitoringRoutesOptions): void {
  const describe = (operationId: string, summary: string, schema: FastifySchema) => describeRoute(operationId, summary, schema, TAGS.operator)

  routes.get('/charts/admin/workers', {
    schema: describe('listChartWorkers', 'The workers, and what each of them runs', { response: responses.workers })
  }, async (request, reply) => {
    await gate.monitor(request, 'workers')
    return sendJson(reply, await budgetOf(request).spend(() => service.getWorkers()))
  })

  routes.get('/charts/admin/history', {
    schema: describe('getChartQueueHistory', 'What has become of charts, minute by minute', { querystring: minutesQuery(HISTORY_MINUTES.usual), response: responses.history })
  }, async (request: RangeRequest, reply) => {
    await gate.monitor(request, 'history')
    return sendJson(reply, await budgetOf(request).spend(() => service.getQueueHistory(request.query)))
  })

  routes.get('/charts/admin/failures', {
    schema: describe('getChartFailures', 'The latest failures by their error codes', { querystring: minutesQuery(HISTORY_MINUTES.max), response: responses.failures })
  }, async (request: RangeRequest, reply) => {
    await gate.monitor(request, 'failures')
    return sendJson(reply, await budgetOf(request).spend(() => service.getFailures(request.query)))
  })

  for (const operation of ['retry', 'cancel'] as const) {
    const summary = operation === 'retry' ? 'Generate all failed charts that fit again' : 'Cancel all charts that fit'
    routes.post<{ Body: Bulk }>(`/charts/admin/tasks/${operation}`, {
      schema: describe(`${operation}ChartTasks`, summary, { body: BulkBody, response: responses.bulk })
    }, async (request, reply) => {
      await gate.monitor(request, operation)
      const { filter, ...options } = request.body
      return sendJson(reply, await budgetOf(request).spend(() => operation === 'retry' ? service.retryTasks(filter, options) : service.cancelTasks(filter, options)))
    })
  }
}
