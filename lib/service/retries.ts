import { randomUUID } from 'node:crypto'
import { errors } from '../errors.ts'
import type { EnqueuedTask, TaskDetails, TaskReader } from '../store/task-store.ts'
import { ChartStatus, type StoredTask, type TraceContext } from '../task.ts'
import type { QueueTelemetry } from '../telemetry/queue-telemetry.ts'
import type { Admission } from './admission.ts'
import type { Estimates } from './estimates.ts'

export interface RetriesOptions {
  readonly store: Pick<TaskReader, 'inspect'>
  readonly admission: Admission
  readonly estimates: Estimates
  readonly telemetry: QueueTelemetry
}

/** Asks for the charts of failed tasks again. */
export class Retries {
  readonly #options: RetriesOptions

  constructor (options: RetriesOptions) {
    this.#options = options
  }

  /** As `ChartQueueService.retryTask`. Null: the task is unknown, or no longer kept. */
  async retryFailed (task_id: string): Promise<EnqueuedTask | null> {
    const { store, estimates, telemetry } = this.#options
    const details = await store.inspect(task_id)
    if (!details) return null
    if (details.task.status !== ChartStatus.FAILED) throw new errors.CHARTS_ERR_TASK_NOT_FAILED()
    if (details.shortened) throw new errors.CHARTS_ERR_REQUEST_NOT_KEPT()
    const { task, outcome } = await telemetry.send(1, null, trace => this.#enqueueAgain(details, trace))
    return { task: await estimates.of(task), outcome }
  }

  async #enqueueAgain ({ task, request, priority, weight }: TaskDetails<StoredTask>, trace: TraceContext | null): Promise<EnqueuedTask> {
    const { admission } = this.#options
    const { user_id, org_id, message_id, visibility, adjustment_query, params, force_create } = request
    const depends_on = await Promise.all(task.depends_on.map(task_id => this.#latestOf(task_id)))
    const repeated = { message_id, visibility, adjustment_query, priority, ...(params === undefined ? {} : { params }) }
    const draft = {
      ...admission.draft(repeated, { user_id, org_id, weight }, { task_id: randomUUID(), depends_on, where: 'request', trace }),
      retry_of: task.task_id
    }
    const result = await admission.admit(draft)
    // A request with force_create was made although an older chart existed: that chart is no answer to its retry.
    const isOlder = result.outcome === 'chart_exists' && result.task.completed_at! < task.completed_at!
    return force_create && isOlder ? admission.admit({ ...draft, chart_check: { chart_id: result.task.chart_id!, kept: false } }) : result
  }

  /** The task, or the latest one in the chain of its retries. */
  async #latestOf (task_id: string): Promise<string> {
    for (let latest = task_id; ;) {
      const retried_as = (await this.#options.store.inspect(latest))?.retried_as
      if (!retried_as) return latest
      latest = retried_as
    }
  }
}
