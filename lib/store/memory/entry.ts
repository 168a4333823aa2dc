import { failures, type FailureCode } from '../../errors.ts'
import type { ChartTask } from '../../task.ts'
import type { Closing, TakenTask, TaskDraft } from '../task-store.ts'

/** A task and what only the store knows of it. */
export interface Entry {
  readonly draft: TaskDraft
  task: ChartTask
  lease: number
  /** The verb that closed the current lease; null while it is open. */
  closed: Closing['verb'] | 'expire' | 'cancel' | null
  /** The take that gave the current lease. */
  take_id: string | null
  /** When it was created and, once finished, ended: later is greater, also within one millisecond. */
  order: number
  readonly deps: readonly string[]
  /** Of `deps`, those that have not completed yet. */
  left: number
  readonly checkpoints: Map<string, string>
  expires: number
  detailsExpire: number
}

/** What is handed out is what is kept: nobody may change it from outside. */
export function frozen (task: ChartTask): ChartTask {
  Object.freeze(task.step_progress)
  return Object.freeze(task)
}

/** Each try gets a request of its own: what it does to it must not reach the next one. */
export const toTaken = ({ task, draft, lease, checkpoints, deps }: Entry): TakenTask =>
  ({ task, request: JSON.parse(draft.request), lease, checkpoints: new Map(lease > 1 ? checkpoints : []), depends_on: deps })

export function failureFields (code: string, message: string | null): Partial<ChartTask> {
  return { error_code: code, error_message: message ?? failures[code as FailureCode] ?? failures.CHARTS_ERR_GENERATION_FAILED }
}

/** ms until the next try. */
export function backoff ({ type, delay, max, jitter }: TaskDraft['retry']['backoff'], attempt: number): number {
  const wait = Math.min(type === 'exponential' ? delay * 2 ** (attempt - 1) : delay, max)
  return Math.floor(wait * (1 - jitter * Math.random()))
}
