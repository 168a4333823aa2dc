import type { FastifyReply, FastifyRequest } from 'fastify'
import { errors } from '../../errors.ts'
import type { BulkFilter } from '../../service/bulk.ts'
import type { ListTasksOptions } from '../../service/task-list.ts'
import { ChartStatus } from '../../task.ts'
import { operatorTask } from '../projections.ts'
import { outcomeMessage, sendJson } from '../replies.ts'
import type { Route, RouteContext } from '../route.ts'
import { BulkBody, ListQuery, TaskParams } from '../schemas/requests.ts'
import { body, refused } from '../schemas/responses.ts'
import { budgetOf } from '../store-budget.ts'

type ListRequest = FastifyRequest<{ Querystring: ListTasksOptions }>
type TaskRequest = FastifyRequest<{ Params: { task_id: string } }>
type BulkRequest = FastifyRequest<{ Body: { filter: BulkFilter, limit?: number, cursor?: string | null } }>

/** The routes with which operators handle the tasks of all users. */
export const adminRoutes: readonly Route[] = [
  {
    name: 'pauseChartQueue',
    method: 'POST',
    url: '/charts/admin/pause',
    summary: 'Pause the queue: no more tasks are started, running ones continue',
    tag: 'charts-admin',
    schema: { response: { 200: body('QueueStats'), ...refused(400, 401, 403, 413, 415, 503) } },
    async handler (context: RouteContext, request: FastifyRequest, reply: FastifyReply) {
      return setPaused(context, request, reply, 'pause')
    }
  },
  {
    name: 'resumeChartQueue',
    method: 'POST',
    url: '/charts/admin/resume',
    summary: 'Resume a paused queue',
    tag: 'charts-admin',
    schema: { response: { 200: body('QueueStats'), ...refused(400, 401, 403, 413, 415, 503) } },
    async handler (context: RouteContext, request: FastifyRequest, reply: FastifyReply) {
      return setPaused(context, request, reply, 'resume')
    }
  },
  {
    name: 'listChartTasks',
    method: 'GET',
    url: '/charts/admin/tasks',
    summary: 'List the tasks of all users',
    tag: 'charts-admin',
    schema: {
      querystring: ListQuery,
      response: { 200: body('OperatorChartTaskPage'), ...refused(400, 401, 403, 503) }
    },
    handler: listChartTasks
  },
  {
    name: 'inspectChartTask',
    method: 'GET',
    url: '/charts/admin/tasks/:task_id',
    summary: 'Get everything that is known about a task',
    tag: 'charts-admin',
    schema: {
      params: TaskParams,
      response: { 200: body('ChartTaskDetails'), ...refused(400, 401, 403, 404, 503) }
    },
    handler: inspectChartTask
  },
  {
    name: 'retryChartTask',
    method: 'POST',
    url: '/charts/admin/tasks/:task_id/retry',
    summary: 'Retry a failed task',
    tag: 'charts-admin',
    schema: {
      params: TaskParams,
      response: {
        200: body('AnsweredOperatorChartTask', 'The chart exists already'),
        202: body('AnsweredOperatorChartTask', 'Queued, or in progress already'),
        ...refused(400, 401, 403, 404, 409, 413, 415, 429, 503)
      }
    },
    handler: retryChartTask
  },
  {
    name: 'cancelChartTask',
    method: 'DELETE',
    url: '/charts/admin/tasks/:task_id',
    summary: 'Cancel a task of any user',
    tag: 'charts-admin',
    schema: {
      params: TaskParams,
      response: { 200: body('OperatorChartTask', 'The cancelled task'), ...refused(400, 401, 403, 404, 409, 413, 415, 503) }
    },
    handler: cancelChartTask
  },
  {
    name: 'retryChartTasks',
    method: 'POST',
    url: '/charts/admin/tasks/retry',
    summary: 'Retry all failed tasks that match a filter',
    tag: 'charts-admin',
    schema: {
      body: BulkBody,
      response: { 200: body('ChartBulkResult'), ...refused(400, 401, 403, 413, 415, 503) }
    },
    async handler ({ service, access }: RouteContext, request: BulkRequest, reply: FastifyReply) {
      await access.checkMonitor(request, 'retry')
      const { filter, ...options } = request.body
      return sendJson(reply, await budgetOf(request).spend(() => service.retryTasks(filter, options)))
    }
  },
  {
    name: 'cancelChartTasks',
    method: 'POST',
    url: '/charts/admin/tasks/cancel',
    summary: 'Cancel all tasks that match a filter',
    tag: 'charts-admin',
    schema: {
      body: BulkBody,
      response: { 200: body('ChartBulkResult'), ...refused(400, 401, 403, 413, 415, 503) }
    },
    async handler ({ service, access }: RouteContext, request: BulkRequest, reply: FastifyReply) {
      await access.checkMonitor(request, 'cancel')
      const { filter, ...options } = request.body
      return sendJson(reply, await budgetOf(request).spend(() => service.cancelTasks(filter, options)))
    }
  }
]

async function setPaused ({ service, access }: RouteContext, request: FastifyRequest, reply: FastifyReply, operation: 'pause' | 'resume'): Promise<FastifyReply> {
  await access.checkMonitor(request, operation)
  await budgetOf(request).spend(() => operation === 'pause' ? service.pauseQueue() : service.resumeQueue())
  return sendJson(reply, await budgetOf(request).spend(() => service.getQueueStats()))
}

async function listChartTasks ({ service, access }: RouteContext, request: ListRequest, reply: FastifyReply): Promise<FastifyReply> {
  await access.checkMonitor(request, 'list')
  const { tasks, cursor } = await budgetOf(request).spend(() => service.listTasks(request.query))
  return sendJson(reply, { tasks: tasks.map(operatorTask), cursor })
}

async function inspectChartTask ({ service, access }: RouteContext, request: TaskRequest, reply: FastifyReply): Promise<FastifyReply> {
  await access.checkMonitor(request, 'inspect')
  const details = await budgetOf(request).spend(() => service.getTaskDetails(request.params.task_id))
  if (!details) throw new errors.CHARTS_ERR_TASK_NOT_FOUND()
  const { task, ...others } = details
  return sendJson(reply, { task: operatorTask(task), depends_on: task.depends_on, ...others })
}

async function retryChartTask ({ service, access }: RouteContext, request: TaskRequest, reply: FastifyReply): Promise<FastifyReply> {
  await access.checkMonitor(request, 'retry')
  const retried = await budgetOf(request).spend(() => service.retryTask(request.params.task_id))
  if (!retried) throw new errors.CHARTS_ERR_TASK_NOT_FOUND()
  const { task, outcome } = retried
  reply.code(outcome === 'chart_exists' ? 200 : 202)
  return sendJson(reply, { ...operatorTask(task), message: outcomeMessage(task, outcome) })
}

async function cancelChartTask ({ service, access }: RouteContext, request: TaskRequest, reply: FastifyReply): Promise<FastifyReply> {
  await access.checkMonitor(request, 'cancel')
  const task = await budgetOf(request).spend(() => service.cancelTask(request.params.task_id))
  if (!task) throw new errors.CHARTS_ERR_TASK_NOT_FOUND()
  if (task.status !== ChartStatus.CANCELLED) throw new errors.CHARTS_ERR_TASK_FINISHED()
  return sendJson(reply, operatorTask(task))
}
