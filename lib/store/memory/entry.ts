import { failureMessage } from '../../errors.ts'
import { isFinished, isLongQuery, type ChartRequest, type StoredTask } from '../../task.ts'
import { attemptOutcomes } from '../attempt-outcomes.ts'
import { MAX_KEPT_BYTES } from '../rules.ts'
import type { AttemptRecord, LostWorkers, StepEntry, ClaimedTask, TaskDetails, TaskDraft } from '../task-store.ts'

/** A task and what only the store knows of it. */
export interface Entry {
  draft: TaskDraft
  /** Whether its request was shortened, because nobody will make a chart of it. */
  shortened: boolean
  task: StoredTask
  lease: number
  /** The verb that settled the current attempt; null while it runs. */
  settled: keyof typeof attemptOutcomes | null
  /** The claim that gave the current lease. */
  claim_id: string | null
  worker_id: string
  /** The steps of the current or last attempt, and when they began. */
  trace: readonly StepEntry[]
  /** The latest task that repeats it. */
  retried_as: string | null
  /** Attempts after which the task went back to the queue. */
  attempts: readonly AttemptRecord[]
  /** When it was created and, once finished, ended: later is greater, also within one millisecond. */
  order: number
  readonly deps: readonly string[]
  /** Of `deps`, those that have not completed yet. */
  left: number
  readonly checkpoints: Map<string, string>
  /** Idempotency keys that it was asked for with. */
  keys: number
  /** Batches that it was asked for with. */
  readonly batch_ids: string[]
  expires: number
  detailsExpire: number
}

/** Whether a PENDING task waits for its time or for other tasks. */
export const isScheduled = ({ task: { current_step } }: Entry): boolean =>
  current_step === 'scheduled' || current_step === 'waiting_for_dependencies'

/** The stored task is also the returned one: callers must not change it. */
export function frozen (task: StoredTask): StoredTask {
  Object.freeze(task.step_progress)
  return Object.freeze(task)
}

/** Each attempt gets a copy of the request: a generator may change it. */
export const toClaimedTask = (entry: Entry): ClaimedTask => {
  const { task, draft, lease, checkpoints } = entry
  return {
    task,
    request: JSON.parse(draft.request),
    lease,
    priority: draft.priority,
    run_at: draft.run_at,
    trace: draft.trace,
    checkpoints: new Map(lease > 1 ? checkpoints : []),
    lostWorkers: lostWorkers(entry),
    alone: mustRunAlone(entry, task.attempt)
  }
}

/** An attempt that ended with an error clears the task of suspicion; a released one says nothing. */
function lostWorkers ({ attempts }: Entry): LostWorkers | null {
  const telling = attempts.filter(({ outcome }) => outcome !== 'released')
  const lost = telling.slice(telling.findLastIndex(({ outcome }) => outcome !== 'expired') + 1)
  return lost.length > 0 ? { worker_id: lost.at(-1)!.worker_id, times: lost.length } : null
}

/**
 * Whether no other attempt may run in the worker: a task that ends its process must not end other attempts for ever. One loss is mostly the
 * fault of the machine. A task is suspected after two, or after one if this is its last attempt.
 */
export function mustRunAlone (entry: Entry, attempt: number): boolean {
  const { times } = lostWorkers(entry) ?? { times: 0 }
  return times > 1 || (times === 1 && attempt >= entry.task.max_attempts)
}

/** Whether its worker holds the attempt back until others have ended. */
export const isHeld = ({ trace }: Entry): boolean => trace.length === 1 && trace[0]!.step === 'queued'

/** Bytes of what was asked for and of what its steps have returned. */
export function bytesOf ({ draft, checkpoints }: Entry): number {
  let bytes = Buffer.byteLength(draft.request)
  for (const text of checkpoints.values()) bytes += Buffer.byteLength(text)
  return bytes
}

/** What is kept of a request of which nobody will make a chart: of a long one neither `params` nor an `adjustment_query` that is long. */
export function shorten (request: string): string {
  if (Buffer.byteLength(request) <= MAX_KEPT_BYTES) return request
  const { params, ...kept } = JSON.parse(request) as ChartRequest
  return JSON.stringify(isLongQuery(kept.adjustment_query) ? { ...kept, adjustment_query: null } : kept)
}

/** The keys and batches of a task that has to be ended, as a number of tasks: on Redis, ending it takes as much longer. */
export const weightOf = ({ keys, batch_ids }: Entry): number => Math.floor((41 * keys + 4 * 37 * batch_ids.length) / 4_000)

export function failureFields (code: string, message: string | null): { error_code: string, error_message: string } {
  return { error_code: code, error_message: message ?? failureMessage(code) }
}

/** ms until the next attempt. */
export function backoff ({ type, delay, max, jitter }: TaskDraft['retry']['backoff'], attempt: number): number {
  const wait = Math.min(type === 'exponential' ? delay * 2 ** (attempt - 1) : delay, max)
  return Math.floor(wait * (1 - jitter * Math.random()))
}

/** The record of the current or last attempt. */
export function attemptOf ({ task, lease, worker_id, trace, settled }: Entry, end: Partial<AttemptRecord>): AttemptRecord {
  return {
    attempt: task.attempt,
    lease,
    worker_id,
    started_at: new Date(trace[0]!.at).toISOString(),
    ended_at: null,
    outcome: settled && attemptOutcomes[settled],
    last_step: trace.at(-1)!.step,
    progress: task.progress,
    error_code: null,
    error_message: null,
    ...end
  }
}

/** All that is known of a task. */
export function toDetails (entry: Entry, task: StoredTask): TaskDetails<StoredTask> {
  const { draft, lease, attempts, settled } = entry
  const { error_code, error_message } = task
  const failed = settled === 'fail' || settled === 'expire' ? { error_code, error_message } : {}
  const last = lease > 0 && attempts.at(-1)?.lease !== lease
    ? [attemptOf(entry, { ended_at: isFinished(task) ? task.completed_at : null, ...failed })]
    : []
  return {
    task,
    request: JSON.parse(draft.request),
    priority: draft.priority,
    run_at: draft.run_at === null ? null : new Date(draft.run_at).toISOString(),
    batch_ids: [...entry.batch_ids],
    retried_as: entry.retried_as,
    attempts: [...attempts, ...last],
    weight: draft.weight,
    ...(draft.trace ? { trace: draft.trace } : {}),
    ...(entry.shortened ? { shortened: true } : {})
  }
}
