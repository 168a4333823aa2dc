import type { FastifyReply, FastifyRequest } from 'fastify'
import { HISTORY_MINUTES } from '../../service/monitoring.ts'
import { sendJson } from '../replies.ts'
import type { Route, RouteContext } from '../route.ts'
import { minutesQuery } from '../schemas/requests.ts'
import { body, refused } from '../schemas/responses.ts'
import { budgetOf } from '../store-budget.ts'

type RangeRequest = FastifyRequest<{ Querystring: { minutes: number } }>

/** The routes that show operators what the queue, its workers and its tasks do. */
export const monitoringRoutes: readonly Route[] = [
  {
    name: 'getChartQueueStats',
    method: 'GET',
    url: '/charts/async/stats',
    summary: 'Get the number of tasks in the queue',
    tag: 'charts-admin',
    schema: { response: { 200: body('QueueStats'), ...refused(401, 403, 503) } },
    async handler ({ service, access }: RouteContext, request: FastifyRequest, reply: FastifyReply) {
      await access.checkMonitor(request, 'stats')
      return sendJson(reply, await budgetOf(request).spend(() => service.getQueueStats()))
    }
  },
  {
    name: 'listChartWorkers',
    method: 'GET',
    url: '/charts/admin/workers',
    summary: 'List the workers, and what each of them runs',
    tag: 'charts-admin',
    schema: { response: { 200: body('ChartWorkers'), ...refused(401, 403, 503) } },
    async handler ({ service, access }: RouteContext, request: FastifyRequest, reply: FastifyReply) {
      await access.checkMonitor(request, 'workers')
      return sendJson(reply, await budgetOf(request).spend(() => service.getWorkers()))
    }
  },
  {
    name: 'getChartQueueHistory',
    method: 'GET',
    url: '/charts/admin/history',
    summary: 'Get how many tasks were created, started and finished, minute by minute',
    tag: 'charts-admin',
    schema: {
      querystring: minutesQuery(HISTORY_MINUTES.usual),
      response: { 200: body('ChartQueueHistory'), ...refused(400, 401, 403, 503) }
    },
    async handler ({ service, access }: RouteContext, request: RangeRequest, reply: FastifyReply) {
      await access.checkMonitor(request, 'history')
      return sendJson(reply, await budgetOf(request).spend(() => service.getQueueHistory(request.query)))
    }
  },
  {
    name: 'getChartFailures',
    method: 'GET',
    url: '/charts/admin/failures',
    summary: 'Get the latest failures by error code',
    tag: 'charts-admin',
    schema: {
      querystring: minutesQuery(HISTORY_MINUTES.max),
      response: { 200: body('ChartFailures'), ...refused(400, 401, 403, 503) }
    },
    async handler ({ service, access }: RouteContext, request: RangeRequest, reply: FastifyReply) {
      await access.checkMonitor(request, 'failures')
      return sendJson(reply, await budgetOf(request).spend(() => service.getFailures(request.query)))
    }
  }
]
