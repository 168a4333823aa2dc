import type { FastifyInstance, FastifyRequest } from 'fastify'
import { errors } from '../errors.ts'
import { checkIdentity } from '../service/intake.ts'
import type { QueueService } from '../service/queue-service.ts'
import { ChartVisibility, type ChartTask, type CreateChartRequest, type Identity } from '../task.ts'

/** What a caller wants to do, for the host's `authorize`. */
export interface Access {
  readonly action: 'create' | 'read' | 'cancel' | 'monitor'
  /** What exactly an operator wants: with `monitor` alone. The last four change something. */
  readonly operation?: 'stats' | 'list' | 'inspect' | 'retry' | 'cancel' | 'pause' | 'resume'
  readonly message_id?: string
  readonly task?: ChartTask
  readonly body?: CreateChartRequest
}

export type Identify = (request: FastifyRequest) => Identity | null | undefined | Promise<Identity | null | undefined>
export type Authorize = (identity: Identity, access: Access, request: FastifyRequest) => boolean | Promise<boolean>

const kIdentity = Symbol('fastify-async-charts.identity')
type IdentifiedRequest = FastifyRequest & { [kIdentity]: Identity | null }

/** Asks who is calling, before anything of the request is judged. */
export function identifyCallers (fastify: FastifyInstance, identify: Identify): void {
  fastify.decorateRequest(kIdentity, null)
  fastify.addHook('onRequest', async request => {
    const identity = await identify(request)
    if (!identity) throw new errors.CHARTS_ERR_UNAUTHENTICATED()
    checkIdentity(identity)
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
  async monitor (request: FastifyRequest, operation: NonNullable<Access['operation']>): Promise<void> {
    if (!this.#authorize || !await this.#allows(request, { action: 'monitor', operation })) throw new errors.CHARTS_ERR_FORBIDDEN()
  }

  /** @throws CHARTS_ERR_TASK_NOT_FOUND */
  async message (request: FastifyRequest, message_id: string): Promise<void> {
    if (!await this.#allows(request, { action: 'read', message_id })) throw new errors.CHARTS_ERR_TASK_NOT_FOUND()
  }

  /** A task of the caller's own. @throws CHARTS_ERR_TASK_NOT_FOUND */
  async own (request: FastifyRequest, task_id: string, action: 'read' | 'cancel'): Promise<ChartTask> {
    const task = await this.#service.getTaskStatus(task_id)
    if (!task || task.user_id !== callerOf(request).user_id) throw new errors.CHARTS_ERR_TASK_NOT_FOUND()
    return this.#checked(request, task, action)
  }

  /** A task of the caller's own, or one whose finished chart the caller may see. @throws CHARTS_ERR_TASK_NOT_FOUND */
  async visible (request: FastifyRequest, task_id: string): Promise<{ task: ChartTask, own: boolean }> {
    const task = await this.#service.getTaskStatus(task_id)
    const { user_id, org_id } = callerOf(request)
    const own = task?.user_id === user_id
    if (!task || !(own || isShared(task, org_id))) throw new errors.CHARTS_ERR_TASK_NOT_FOUND()
    return { task: await this.#checked(request, task, 'read'), own }
  }

  /** The tasks of a batch of the caller's own. @throws CHARTS_ERR_BATCH_NOT_FOUND */
  async batch (request: FastifyRequest, batch_id: string, action: 'read' | 'cancel'): Promise<readonly ChartTask[]> {
    const batch = await this.#service.getBatch(batch_id)
    if (batch?.user_id !== callerOf(request).user_id) throw new errors.CHARTS_ERR_BATCH_NOT_FOUND()
    for (const task of batch.tasks) {
      if (!await this.#allows(request, { action, message_id: task.message_id, task })) throw new errors.CHARTS_ERR_BATCH_NOT_FOUND()
    }
    return batch.tasks
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
