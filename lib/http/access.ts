import type { FastifyInstance, FastifyRequest } from 'fastify'
import { errors } from '../errors.ts'
import { checkIdentity } from '../service/intake.ts'
import type { OpenBatch } from '../service/open-answers.ts'
import type { QueueService } from '../service/queue-service.ts'
import { ChartVisibility, type ChartTask, type CreateChartRequest, type Identity } from '../task.ts'
import { isForged, type AllowedOrigins } from './origins.ts'
import { budgetOf } from './store-budget.ts'

/** What exactly an operator wants. The last four change something. */
export type Operation = 'stats' | 'list' | 'inspect' | 'workers' | 'history' | 'failures' | 'retry' | 'cancel' | 'pause' | 'resume'

/** What a caller wants to do, for the host's `authorize`: told apart by `action`. */
export type Access = {
  readonly action: 'create'
  readonly message_id: string
  readonly body: CreateChartRequest
  readonly task?: undefined
  readonly operation?: undefined
} | {
  readonly action: 'read'
  readonly message_id: string
  /** Absent where it is the message as a whole, or a chart whose task is no longer kept. */
  readonly task?: ChartTask | undefined
  readonly body?: undefined
  readonly operation?: undefined
} | {
  readonly action: 'cancel'
  readonly message_id: string
  readonly task: ChartTask
  readonly body?: undefined
  readonly operation?: undefined
} | {
  readonly action: 'monitor'
  readonly operation: Operation
  readonly message_id?: undefined
  readonly task?: undefined
  readonly body?: undefined
}

export type Identify = (request: FastifyRequest) => Identity | null | undefined | Promise<Identity | null | undefined>
export type Authorize = (identity: Identity, access: Access, request: FastifyRequest) => boolean | Promise<boolean>

/** Where the plugin leaves the host's access policy on the instance, for the dashboard. */
export const kAccessPolicy = Symbol.for('fastify-async-charts.access-policy')
export interface AccessPolicy {
  readonly identify: Identify
  readonly authorize: Authorize | undefined
}

const kIdentity = Symbol('fastify-async-charts.identity')
type IdentifiedRequest = FastifyRequest & { [kIdentity]: Identity | null }

/**
 * Asks who is calling, before the body is read and anything is judged. Not in `onRequest`: the hooks of a session plugin that
 * the host registers after this one would run later, and everybody be refused.
 */
export function identifyCallers (fastify: FastifyInstance, identify: Identify, allowedOrigins: AllowedOrigins): void {
  fastify.decorateRequest(kIdentity, null)
  fastify.addHook('preParsing', async request => {
    const identity = await identify(request)
    if (!identity) throw new errors.CHARTS_ERR_UNAUTHENTICATED()
    checkIdentity(identity)
    if (isForged(request, allowedOrigins)) throw new errors.CHARTS_ERR_CROSS_SITE()
    ;(request as IdentifiedRequest)[kIdentity] = identity
  })
}

export function callerOf (request: FastifyRequest): Identity {
  return (request as IdentifiedRequest)[kIdentity]!
}

/** Who may do what. What a caller may not see looks like what does not exist. */
export class Gate {
  readonly #service: QueueService
  readonly #authorize: Authorize | undefined

  constructor (service: QueueService, authorize: Authorize | undefined) {
    this.#service = service
    this.#authorize = authorize
  }

  /** @throws CHARTS_ERR_FORBIDDEN */
  async create (request: FastifyRequest, body: CreateChartRequest): Promise<void> {
    if (!await this.#allows(request, { action: 'create', message_id: body.message_id, body })) throw new errors.CHARTS_ERR_FORBIDDEN()
  }

  /** What concerns everybody is for those whom the host has named. @throws CHARTS_ERR_FORBIDDEN */
  async monitor (request: FastifyRequest, operation: Operation): Promise<void> {
    if (!await this.mayMonitor(request, operation)) throw new errors.CHARTS_ERR_FORBIDDEN()
  }

  async mayMonitor (request: FastifyRequest, operation: Operation): Promise<boolean> {
    return this.#authorize !== undefined && await this.#allows(request, { action: 'monitor', operation })
  }

  /** @throws CHARTS_ERR_TASK_NOT_FOUND */
  async message (request: FastifyRequest, message_id: string): Promise<void> {
    if (!await this.#allows(request, { action: 'read', message_id })) throw new errors.CHARTS_ERR_TASK_NOT_FOUND()
  }

  /** Whether the host lets the caller read one of a message's tasks; null: the task of a chart, which is no longer kept. */
  reads (request: FastifyRequest, message_id: string, task: ChartTask | null): Promise<boolean> {
    return this.#allows(request, { action: 'read', message_id, ...(task && { task }) })
  }

  /** A task of the caller's own. @throws CHARTS_ERR_TASK_NOT_FOUND */
  async own (request: FastifyRequest, task_id: string, action: 'read' | 'cancel'): Promise<ChartTask> {
    const task = await budgetOf(request).spend(() => this.#service.getTaskStatus(task_id))
    if (!task || task.user_id !== callerOf(request).user_id) throw new errors.CHARTS_ERR_TASK_NOT_FOUND()
    return this.#checked(request, task, action)
  }

  /** A task of the caller's own, or one whose finished chart the caller may see. @throws CHARTS_ERR_TASK_NOT_FOUND */
  async visible (request: FastifyRequest, task_id: string): Promise<{ task: ChartTask, own: boolean }> {
    const task = await budgetOf(request).spend(() => this.#service.getTaskStatus(task_id))
    const { user_id, org_id } = callerOf(request)
    const own = task?.user_id === user_id
    if (!task || !(own || isShared(task, org_id))) throw new errors.CHARTS_ERR_TASK_NOT_FOUND()
    return { task: await this.#checked(request, task, 'read'), own }
  }

  /** The tasks of a batch of the caller's own. @throws CHARTS_ERR_BATCH_NOT_FOUND */
  async batch (request: FastifyRequest, batch_id: string, action: 'read' | 'cancel'): Promise<OpenBatch> {
    const budget = budgetOf(request)
    const batch = await budget.spend(() => this.#service.answers.batch(batch_id))
    if (batch?.user_id !== callerOf(request).user_id) throw new errors.CHARTS_ERR_BATCH_NOT_FOUND()
    // Where the host does not want to know, they need not be read for it.
    if (!this.#authorize) return batch
    const slices = batch.tasks()[Symbol.asyncIterator]()
    for (let slice = await budget.spend(() => slices.next()); !slice.done; slice = await budget.spend(() => slices.next())) {
      for (const task of slice.value) {
        if (!await this.#allows(request, { action, message_id: task.message_id, task })) throw new errors.CHARTS_ERR_BATCH_NOT_FOUND()
      }
    }
    return batch
  }

  async #checked (request: FastifyRequest, task: ChartTask, action: 'read' | 'cancel'): Promise<ChartTask> {
    if (!await this.#allows(request, { action, message_id: task.message_id, task })) throw new errors.CHARTS_ERR_TASK_NOT_FOUND()
    return task
  }

  async #allows (request: FastifyRequest, access: Access): Promise<boolean> {
    return !this.#authorize || await this.#authorize(callerOf(request), access, request) === true
  }
}

function isShared (task: ChartTask, org_id: string | null | undefined): boolean {
  switch (task.visibility) {
    case ChartVisibility.PRIVATE: return false
    case ChartVisibility.ORGANIZATION: return org_id != null && task.org_id === org_id
    case ChartVisibility.PUBLIC: return true
  }
}
