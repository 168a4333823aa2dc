import { failureMessage } from '../../errors.ts'
import { isFinished, shownCancelled, type ChartPriority, type ChartRequest, type ChartStatus, type ChartTask } from '../../task.ts'
import { attemptOutcomes } from '../attempt-outcomes.ts'
import type { AttemptRecord, StepEntry, TakenTask, TaskDetails, TaskState } from '../task-store.ts'

/** A record as the scripts return it: id, fields, steps, the request and the place in the queue; false where there is none. */
export type RawRecord = [
  id: string, fields: string[], steps: string[], request: string, position: number | null,
  checkpoints?: string[], lost?: [worker_id: string, times: number, alone: number]
]

const date = (ms: string | false | undefined) => ms ? new Date(Number(ms)).toISOString() : null
const text = (value: string | false | undefined) => value || null

/** A list as the scripts keep it. */
export const words = (value: string | undefined) => value ? value.trim().split(' ') : []

function pairs (flat: readonly string[]): Record<string, string> {
  const fields: Record<string, string> = {}
  for (let i = 0; i < flat.length; i += 2) fields[flat[i]!] = flat[i + 1]!
  return fields
}

// An empty table of Lua becomes {} in JSON, not [].
function percents (flat: readonly string[] | object): Record<string, number> {
  const steps: Record<string, number> = Object.create(null)
  if (Array.isArray(flat)) for (let i = 0; i < flat.length; i += 2) steps[flat[i]] = Number(flat[i + 1])
  return { ...steps }
}

interface StateFields {
  version: string
  status: string
  progress: string
  step: string
  attempt: string
  started?: string | false | undefined
  completed?: string | false | undefined
  chart?: string | false | undefined
  code?: string | false | undefined
  error?: string | false | undefined
  at?: string | false | undefined
  from?: string | false | undefined
  moved?: string | false | undefined
}

const messageOf = (code: string | null, message: string | false | undefined) =>
  text(message) ?? (code && failureMessage(code))

function toState (f: StateFields, steps: readonly string[] | object): TaskState {
  const error_code = text(f.code)
  return {
    version: Number(f.version),
    status: f.status as ChartStatus,
    progress: Number(f.progress),
    current_step: f.step,
    step_progress: percents(steps),
    step_at: f.at ? Number(f.at) : null,
    step_from: Number(f.from || 0),
    progress_at: f.moved ? Number(f.moved) : null,
    queue_position: null,
    attempt: Number(f.attempt),
    started_at: date(f.started),
    completed_at: date(f.completed),
    chart_id: text(f.chart),
    error_code,
    error_message: messageOf(error_code, f.error)
  }
}

/** A stored record as the task that everybody sees. */
export function toTask ([task_id, flat, steps, raw, position]: RawRecord): ChartTask {
  const fields = pairs(flat)
  const request = JSON.parse(raw) as ChartRequest
  // By the rule, not by what is stored: a version of the package that shortens nothing may have ended it.
  return shownCancelled({
    task_id,
    message_id: request.message_id,
    ...toState(fields as unknown as StateFields, steps),
    queue_position: position,
    created_at: date(fields['created'])!,
    estimated_completion: null,
    visibility: request.visibility,
    adjustment_query: request.adjustment_query,
    max_attempts: Number(fields['max']),
    retry_of: text(fields['retry_of']),
    depends_on: words(fields['deps']),
    user_id: request.user_id,
    org_id: request.org_id
  })
}

export const toRequest = (record: RawRecord): ChartRequest => JSON.parse(record[3])

export function checkpointsOf ([,,,,, flat = []]: RawRecord): Map<string, string> {
  const checkpoints = new Map<string, string>()
  for (let i = 0; i < flat.length; i += 2) checkpoints.set(flat[i]!, flat[i + 1]!)
  return checkpoints
}

export function lostWorkersOf ([,,,,,, lost]: RawRecord): Pick<TakenTask, 'lostWorkers' | 'alone'> {
  if (!lost) return { lostWorkers: null, alone: false }
  const [worker_id, times, alone] = lost
  return { lostWorkers: { worker_id, times }, alone: alone === 1 }
}

/** When the steps of a try began, from the record's `trace`. */
export const toSteps = (trace: string | undefined): StepEntry[] =>
  (JSON.parse(trace ?? '[]') as Array<[step: string, at: number, from: number]>).map(([step, at, from]) => ({ step, at, from }))

type Verb = keyof typeof attemptOutcomes
type Try = [attempt: string, lease: string, worker: string, started: number, ended: number, verb: Verb, step: string, progress: string, code: string, message: string]

function toAttempt ([attempt, lease, worker_id, started, ended, verb, last_step, progress, code, message]: Try): AttemptRecord {
  const error_code = text(code)
  return {
    attempt: Number(attempt),
    lease: Number(lease),
    worker_id,
    started_at: date(String(started))!,
    ended_at: date(String(ended)),
    outcome: attemptOutcomes[verb],
    last_step,
    progress: Number(progress),
    error_code,
    error_message: messageOf(error_code, message)
  }
}

/** A stored record with all that an operator may want to know. */
export function toDetails (record: RawRecord): TaskDetails {
  const fields = pairs(record[1])
  const task = toTask(record)
  const attempts = (JSON.parse(fields['history'] ?? '[]') as Try[]).map(toAttempt)
  const lease = Number(fields['lease'])
  const trace = toSteps(fields['trace'])
  // The last try is in the record itself, until the task goes back to the queue.
  if (trace.length > 0 && attempts.at(-1)?.lease !== lease) {
    const failed = fields['closed'] === 'fail' || fields['closed'] === 'expire'
    attempts.push({
      attempt: task.attempt,
      lease,
      worker_id: fields['worker'] ?? '',
      started_at: new Date(trace[0]!.at).toISOString(),
      ended_at: isFinished(task) ? task.completed_at : null,
      outcome: attemptOutcomes[fields['closed'] as Verb] ?? null,
      last_step: trace.at(-1)!.step,
      progress: task.progress,
      error_code: failed ? task.error_code : null,
      error_message: failed ? task.error_message : null
    })
  }
  return {
    task,
    request: toRequest(record),
    priority: fields['priority'] as ChartPriority,
    run_at: date(fields['run_at']),
    batch_ids: words(fields['batches']),
    retried_as: text(fields['retried_as']),
    attempts,
    weight: Number(fields['weight'] ?? 1),
    ...(fields['shortened'] ? { shortened: true } : {})
  }
}

export function leaseOf (record: RawRecord): number {
  return Number(record[1][record[1].indexOf('lease') + 1])
}

/** The state that `announce` publishes. */
export function parseHint (message: string): TaskState {
  const [s, steps] = JSON.parse(message) as [Array<string | false>, string[] | object]
  const [version, status, progress, step, attempt, started, completed, chart, code, error, at, from, moved] = s
  return toState({
    version, status, progress, step, attempt, started, completed, chart, code, error, at, from, moved
  } as StateFields, steps)
}
