import { errors } from '../errors.ts'
import type { EnqueueRefusal } from '../store/task-store.ts'

export interface AdmissionLimits {
  readonly waitingPerTenant: number
  readonly scheduledPerTenant: number
  readonly queueLength: number
}

type Refusal = Exclude<EnqueueRefusal, { outcome: 'chart_check_required' }>

/** A batch that a limit can never hold: a later attempt would be refused as well. */
const neverFits = (limit: number, which = '') =>
  new errors.CHARTS_ERR_INVALID_REQUEST(`a batch must not make more than ${limit} new tasks${which}: no more may wait`)

/** Marks a refusal of tasks that wait for a time or for other tasks. */
const kScheduled = Symbol('scheduled')

/** The error of a refusal. `nameOf`: what the caller calls a task. */
export function errorOf (refusal: Refusal, { waitingPerTenant, scheduledPerTenant, queueLength }: AdmissionLimits, nameOf: (task_id: string) => string): Error {
  switch (refusal.outcome) {
    case 'key_reused': return new errors.CHARTS_ERR_IDEMPOTENCY_KEY_REUSED()
    case 'tenant_full': return refusal.fresh > waitingPerTenant ? neverFits(waitingPerTenant) : new errors.CHARTS_ERR_TOO_MANY_TASKS('are waiting')
    case 'scheduled_full': {
      if (refusal.fresh > scheduledPerTenant) return neverFits(scheduledPerTenant, ' that wait for a time or for others')
      return Object.assign(new errors.CHARTS_ERR_TOO_MANY_TASKS('wait for a time or for others'), { [kScheduled]: true })
    }
    case 'queue_full': return refusal.fresh > queueLength ? neverFits(queueLength) : new errors.CHARTS_ERR_QUEUE_FULL()
    case 'too_many_batches': return new errors.CHARTS_ERR_INVALID_REQUEST(`${nameOf(refusal.task_id)} asks for a chart that 100 batches have asked for already, and that has not ended`)
    case 'dependency_unknown': return new errors.CHARTS_ERR_DEPENDENCY_UNKNOWN(nameOf(refusal.task_id))
    case 'dependency_failed': return new errors.CHARTS_ERR_DEPENDENCY_FAILED(nameOf(refusal.task_id))
  }
}

/** Whether an error refuses tasks that wait for a time or for other tasks: there is a place again only when one of those may run. */
export const isScheduledRefusal = (error: object): boolean => kScheduled in error
