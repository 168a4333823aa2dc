import type { FastifyRequest, FastifySchema } from 'fastify'
import { errors } from '../errors.ts'
import type { QueueService } from '../service/queue-service.ts'
import type { ListTasksOptions } from '../service/task-list.ts'
import { ChartStatus } from '../task.ts'
import type { Gate } from './access.ts'
import { messageOf, sendJson, type Describe } from './answers.ts'
import type { HostRoutes } from './host-routes.ts'
import { ListQuery, TAGS, TaskParams, responses } from './schemas.ts'
import { budgetOf } from './store-budget.ts'
import { operatorTask } from './views.ts'

type TaskRequest = FastifyRequest<{ Params: { task_id: string } }>

interface OperatorRoutesOptions {
  readonly service: QueueService
  readonly gate: Gate
  readonly describe: Describe
}

/** The routes of those who run the queue: whom `authorize` allows to `monitor`, and nobody else. */
export function operatorRoutes (routes: HostRoutes, { service, gate, describe: describeRoute }: OperatorRoutesOptions): void {
  const tasks = '/charts/admin/tasks'
  const describe = (operationId: string, summary: string, schema: FastifySchema) => describeRoute(operationId, summary, schema, TAGS.operator)

  routes.get('/charts/async/stats', {
    schema: describe('getChartQueueStats', 'How busy the queue is', { response: responses.stats })
  }, async (request, reply) => {
    await gate.monitor(request, 'stats')
    return sendJson(reply, await budgetOf(request).spend(() => service.getQueueStats()))
  })

  for (const operation of ['pause', 'resume'] as const) {
    const summary = operation === 'pause' ? 'Hand out no more charts; what runs goes on' : 'Hand out charts again'
    routes.post(`/charts/admin/${operation}`, {
      schema: describe(`${operation}ChartQueue`, summary, { response: responses.pause })
    }, async (request, reply) => {
      await gate.monitor(request, operation)
      await budgetOf(request).spend(() => operation === 'pause' ? service.pauseQueue() : service.resumeQueue())
      return sendJson(reply, await budgetOf(request).spend(() => service.getQueueStats()))
    })
  }

  routes.get<{ Querystring: ListTasksOptions }>(tasks, {
    schema: describe('listChartTasks', 'The charts of everybody', { querystring: ListQuery, response: responses.list })
  }, async (request, reply) => {
    await gate.monitor(request, 'list')
    const page = await budgetOf(request).spend(() => service.listTasks(request.query))
    return sendJson(reply, { tasks: page.tasks.map(operatorTask), cursor: page.cursor })
  })

  routes.get(`${tasks}/:task_id`, {
    schema: describe('inspectChartTask', 'All that is known of a chart', { params: TaskParams, response: responses.inspect })
  }, async (request: TaskRequest, reply) => {
    await gate.monitor(request, 'inspect')
    const details = await budgetOf(request).spend(() => service.getTaskDetails(request.params.task_id))
    if (!details) throw new errors.CHARTS_ERR_TASK_NOT_FOUND()
    const { task, ...shown } = details
    return sendJson(reply, { task: operatorTask(task), depends_on: task.depends_on, ...shown })
  })

  routes.post(`${tasks}/:task_id/retry`, {
    schema: describe('retryChartTask', 'Generate a chart that has failed again', { params: TaskParams, response: responses.retry })
  }, async (request: TaskRequest, reply) => {
    await gate.monitor(request, 'retry')
    const result = await budgetOf(request).spend(() => service.retryTask(request.params.task_id))
    if (!result) throw new errors.CHARTS_ERR_TASK_NOT_FOUND()
    const { task, outcome } = result
    reply.code(outcome === 'chart_exists' ? 200 : 202)
    return sendJson(reply, { ...operatorTask(task), message: messageOf(task, outcome) })
  })

  routes.delete(`${tasks}/:task_id`, {
    schema: describe('cancelChartTask', 'Cancel the chart of anybody', { params: TaskParams, response: responses.cancelAny })
  }, async (request: TaskRequest, reply) => {
    await gate.monitor(request, 'cancel')
    const task = await budgetOf(request).spend(() => service.cancelTask(request.params.task_id))
    if (!task) throw new errors.CHARTS_ERR_TASK_NOT_FOUND()
    if (task.status !== ChartStatus.CANCELLED) throw new errors.CHARTS_ERR_TASK_FINISHED()
    return sendJson(reply, operatorTask(task))
  })
}
