import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { ChartQueueService } from '../chart-queue-service.ts'
import { errors } from '../errors.ts'
import { checkIdentity } from '../service/identity.ts'
import type { OpenAnswers, OpenBatch } from '../service/open-answers.ts'
import { ChartVisibility, type ChartTask, type CreateChartRequest, type Identity } from '../task.ts'
import { isForged, type AllowedOrigins } from './origins.ts'
import { budgetOf } from './store-budget.ts'

/** What an operator wants to do. The last four operations change something. */
export type Operation = 'stats' | 'list' | 'inspect' | 'workers' | 'history' | 'failures' | 'retry' | 'cancel' | 'pause' | 'resume'

/** What a caller wants to do, as the host's `authorize` gets it. `action` tells the cases apart. */
export type Access = {
  readonly action: 'create'
  readonly message_id: string
  readonly body: CreateChartRequest
  readonly task?: undefined
  readonly operation?: undefined
} | {
  readonly action: 'read'
  readonly message_id: string
  /** Absent for a message as a whole, and for a chart whose task is no longer kept. */
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

/** Returns who sent a request. Null or undefined: nobody known, the response is 401. An error goes to the host's error handler. */
export type Identify = (request: FastifyRequest) => Identity | null | undefined | Promise<Identity | null | undefined>
/** Returns whether a caller may do something. Called after the ownership check, so it can only restrict access further. */
export type Authorize = (identity: Identity, access: Access, request: FastifyRequest) => boolean | Promise<boolean>

/** The property of the instance in which the plugin leaves the host's hooks for the dashboard. */
export const kAccessHooks = Symbol.for('fastify-async-charts.access-hooks')
export interface AccessHooks {
  readonly identify: Identify
  readonly authorize: Authorize | undefined
}

const kIdentity = Symbol('fastify-async-charts.identity')
type IdentifiedRequest = FastifyRequest & { [kIdentity]: Identity | null }

/**
 * Identifies the caller of each request of the scope, before the body is read and validated. Uses `preParsing` rather than
 * `onRequest`: the `onRequest` hook of a session plugin that the host registers later would run after ours, and every caller would be
 * refused.
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

/** The caller of a request whose scope has `identifyCallers`. */
export function callerOf (request: FastifyRequest): Identity {
  return (request as IdentifiedRequest)[kIdentity]!
}

/** Decides who may do what. A task that a caller may not see is reported like one that does not exist. */
export class AccessPolicy {
  readonly #service: ChartQueueService
  readonly #answers: OpenAnswers
  readonly #authorize: Authorize | undefined

  constructor (service: ChartQueueService, answers: OpenAnswers, authorize: Authorize | undefined) {
    this.#service = service
    this.#answers = answers
    this.#authorize = authorize
  }

  /** @throws CHARTS_ERR_FORBIDDEN */
  async checkCreate (request: FastifyRequest, body: CreateChartRequest): Promise<void> {
    if (!await this.#allows(request, { action: 'create', message_id: body.message_id, body })) throw new errors.CHARTS_ERR_FORBIDDEN()
  }

  /** @throws CHARTS_ERR_FORBIDDEN */
  checkMonitor (request: FastifyRequest, operation: Operation): Promise<void> {
    return checkMonitor(this.#authorize, request, operation)
  }

  /** @throws CHARTS_ERR_TASK_NOT_FOUND */
  async checkMessage (request: FastifyRequest, message_id: string): Promise<void> {
    if (!await this.#allows(request, { action: 'read', message_id })) throw new errors.CHARTS_ERR_TASK_NOT_FOUND()
  }

  /** Whether `authorize` lets the caller read a task of a message. `task`: null for a chart whose task is no longer kept. */
  mayRead (request: FastifyRequest, message_id: string, task: ChartTask | null): Promise<boolean> {
    return this.#allows(request, { action: 'read', message_id, ...(task && { task }) })
  }

  /** Reads a task that belongs to the caller. @throws CHARTS_ERR_TASK_NOT_FOUND */
  async ownTask (request: FastifyRequest, task_id: string, action: 'read' | 'cancel'): Promise<ChartTask> {
    const task = await budgetOf(request).spend(() => this.#service.getTaskStatus(task_id))
    if (!task || task.user_id !== callerOf(request).user_id) throw new errors.CHARTS_ERR_TASK_NOT_FOUND()
    return this.#authorized(request, task, action)
  }

  /** Reads a task that belongs to the caller, or whose finished chart the caller may see. @throws CHARTS_ERR_TASK_NOT_FOUND */
  async visibleTask (request: FastifyRequest, task_id: string): Promise<{ task: ChartTask, isOwn: boolean }> {
    const task = await budgetOf(request).spend(() => this.#service.getTaskStatus(task_id))
    const { user_id, org_id } = callerOf(request)
    const isOwn = task?.user_id === user_id
    if (!task || !(isOwn || isShared(task, org_id))) throw new errors.CHARTS_ERR_TASK_NOT_FOUND()
    return { task: await this.#authorized(request, task, 'read'), isOwn }
  }

  /** Reads a batch that belongs to the caller. @throws CHARTS_ERR_BATCH_NOT_FOUND */
  async ownBatch (request: FastifyRequest, batch_id: string, action: 'read' | 'cancel'): Promise<OpenBatch> {
    const budget = budgetOf(request)
    const batch = await budget.spend(() => this.#answers.batch(batch_id))
    if (batch?.user_id !== callerOf(request).user_id) throw new errors.CHARTS_ERR_BATCH_NOT_FOUND()
    // Without `authorize`, the tasks need not be read to check access.
    if (!this.#authorize) return batch
    const slices = batch.tasks()[Symbol.asyncIterator]()
    for (let slice = await budget.spend(() => slices.next()); !slice.done; slice = await budget.spend(() => slices.next())) {
      for (const task of slice.value) {
        if (!await this.#allows(request, { action, message_id: task.message_id, task })) throw new errors.CHARTS_ERR_BATCH_NOT_FOUND()
      }
    }
    return batch
  }

  async #authorized (request: FastifyRequest, task: ChartTask, action: 'read' | 'cancel'): Promise<ChartTask> {
    if (!await this.#allows(request, { action, message_id: task.message_id, task })) throw new errors.CHARTS_ERR_TASK_NOT_FOUND()
    return task
  }

  async #allows (request: FastifyRequest, access: Access): Promise<boolean> {
    return !this.#authorize || await this.#authorize(callerOf(request), access, request) === true
  }
}

/** False without an `authorize` hook: operations concern the tasks of all users, so the host must allow them explicitly. */
export async function mayMonitor (authorize: Authorize | undefined, request: FastifyRequest, operation: Operation): Promise<boolean> {
  return authorize !== undefined && await authorize(callerOf(request), { action: 'monitor', operation }, request) === true
}

/** @throws CHARTS_ERR_FORBIDDEN */
export async function checkMonitor (authorize: Authorize | undefined, request: FastifyRequest, operation: Operation): Promise<void> {
  if (!await mayMonitor(authorize, request, operation)) throw new errors.CHARTS_ERR_FORBIDDEN()
}

/** Whether the visibility of a task shows its finished chart to callers who do not own it. */
function isShared (task: ChartTask, org_id: string | null | undefined): boolean {
  switch (task.visibility) {
    case ChartVisibility.PRIVATE: return false
    case ChartVisibility.ORGANIZATION: return org_id != null && task.org_id === org_id
    case ChartVisibility.PUBLIC: return true
  }
}
