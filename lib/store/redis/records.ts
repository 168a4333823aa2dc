import { failures, type FailureCode } from '../../errors.ts'
import type { ChartRequest, ChartStatus, ChartTask } from '../../task.ts'
import type { TaskState } from '../task-store.ts'

/** A record as the scripts return it: id, fields, steps and the request; false where there is none. */
export type RawRecord = [id: string, fields: string[], steps: string[], request: string, checkpoints?: string[]]

const date = (ms: string | false | undefined) => ms ? new Date(Number(ms)).toISOString() : null
const text = (value: string | false | undefined) => value || null

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
}

function toState (f: StateFields, steps: readonly string[] | object): TaskState {
  const error_code = text(f.code)
  return {
    version: Number(f.version),
    status: f.status as ChartStatus,
    progress: Number(f.progress),
    current_step: f.step,
    step_progress: percents(steps),
    attempt: Number(f.attempt),
    started_at: date(f.started),
    completed_at: date(f.completed),
    chart_id: text(f.chart),
    error_code,
    error_message: text(f.error) ?? (error_code && (failures[error_code as FailureCode] ?? failures.CHARTS_ERR_GENERATION_FAILED))
  }
}

/** A stored record as the task that everybody sees. */
export function toTask ([task_id, flat, steps, raw]: RawRecord): ChartTask {
  const fields = pairs(flat)
  const request = JSON.parse(raw) as ChartRequest
  return {
    task_id,
    message_id: request.message_id,
    ...toState(fields as unknown as StateFields, steps),
    created_at: date(fields['created'])!,
    estimated_completion: null,
    visibility: request.visibility,
    adjustment_query: request.adjustment_query,
    max_attempts: Number(fields['max']),
    user_id: request.user_id,
    org_id: request.org_id
  }
}

export const toRequest = (record: RawRecord): ChartRequest => JSON.parse(record[3])

export function checkpointsOf ([,,,, flat = []]: RawRecord): Map<string, string> {
  const checkpoints = new Map<string, string>()
  for (let i = 0; i < flat.length; i += 2) checkpoints.set(flat[i]!, flat[i + 1]!)
  return checkpoints
}

export function dependenciesOf (record: RawRecord): string[] {
  const deps = pairs(record[1])['deps']
  return deps ? deps.split(' ') : []
}

export function leaseOf (record: RawRecord): number {
  return Number(record[1][record[1].indexOf('lease') + 1])
}

/** The state that `announce` publishes. */
export function parseHint (message: string): TaskState {
  const [s, steps] = JSON.parse(message) as [Array<string | false>, string[] | object]
  const [version, status, progress, step, attempt, started, completed, chart, code, error] = s
  return toState({
    version, status, progress, step, attempt, started, completed, chart, code, error
  } as StateFields, steps)
}
