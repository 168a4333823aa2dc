import { failureMessage } from '../../errors.ts'
import { shownCancelled, type ChartRequest, type StoredTask } from '../../task.ts'
import type { ClaimedTask, TaskState } from '../task-store.ts'
import { expandRequest } from './compact-request.ts'
import { parse, parseState, parseTerms, readable, startOfRequest, traceOf, UnreadableError, type Parsed, type State } from './record-format.ts'
import { fromWord } from './words.ts'

/** A task as the scripts return it: its record, its state where that is not in the record, its place in the queue, and its request if apart. */
export type RawTask = [record: string, state: string | null, position: number | null, request?: string]
/** One that was claimed: checkpoints as name, JSON, name, JSON …, and the workers that were lost with it. */
export type RawClaimedTask = [
  record: string, state: string, checkpoints?: string[] | null, lost?: [worker_id: string, times: number, alone: number] | null, request?: string
]

/** Times that a reply has many times over: to print one takes longer than to read the words of a state. */
const dates = new Map<number, string>()
const MAX_DATES = 1_000

export function date (ms: number | null | undefined): string | null {
  if (ms == null) return null
  let text = dates.get(ms)
  if (text === undefined) {
    if (dates.size === MAX_DATES) dates.clear()
    text = new Date(ms).toISOString()
    dates.set(ms, text)
  }
  return text
}

function percents (flat: ReadonlyArray<string | number>): Record<string, number> {
  const steps: Record<string, number> = Object.create(null)
  for (let i = 0; i < flat.length; i += 2) steps[flat[i]!] = flat[i + 1] as number
  return { ...steps }
}

export const messageOf = (code: string | undefined, message: string | undefined) => message || (code ? failureMessage(code) : null)

const toState = (state: State): TaskState => ({
  version: state.version,
  status: state.status,
  progress: state.progress,
  current_step: state.step,
  step_progress: state.extras.steps ? percents(state.extras.steps) : {},
  step_at: state.step_at,
  step_from: state.step_from,
  progress_at: state.progress_at,
  queue_position: null,
  attempt: state.attempt,
  started_at: date(state.started),
  completed_at: date(state.completed),
  chart_id: state.chart,
  error_code: state.extras.code ?? null,
  error_message: messageOf(state.extras.code, state.extras.error)
})

export function toRequest ({ terms, request: stored }: Parsed): ChartRequest {
  const request = JSON.parse(expandRequest(stored, terms)) as ChartRequest
  if (typeof request.task_id !== 'string' || typeof request.message_id !== 'string' || typeof request.user_id !== 'string') throw new UnreadableError('no request')
  return request
}

export function taskOf ({ terms, state }: Parsed, request: ChartRequest, position: number | null): StoredTask {
  return shownCancelled({
    task_id: request.task_id,
    message_id: request.message_id,
    ...toState(state),
    queue_position: position,
    created_at: date(terms.created)!,
    estimated_completion: null,
    visibility: request.visibility,
    adjustment_query: request.adjustment_query,
    max_attempts: terms.max,
    retry_of: terms.extras.retry_of ?? null,
    depends_on: [...terms.extras.deps ?? []],
    user_id: request.user_id,
    org_id: request.org_id
  })
}

/** A stored task as everybody sees it; null where it cannot be read. */
export const toTask = (found: RawTask): StoredTask | null => readable(() => readTask(found))

/** A task that was read before, in a later state. */
export const withState = (task: StoredTask, text: string): StoredTask => ({ ...task, ...toState(parseState(text)) })

function readTask ([record, text, position, apart]: RawTask): StoredTask {
  const parsed = parse(record, text, apart)
  return taskOf(parsed, toRequest(parsed), position)
}

/** The request of a task, byte for byte; null where its record cannot be read. */
export const requestOf = ([record,,, apart]: RawTask): string | null => readable(() => {
  const start = startOfRequest(record)
  return expandRequest(apart ?? record.slice(start), parseTerms(record.slice(record.indexOf('\n') + 1, start - 1)))
})

/** A claimed task; null where its request cannot be read. */
export const toClaimedTask = (claimed: RawClaimedTask): ClaimedTask | null => readable(() => readClaimedTask(claimed))

function readClaimedTask ([record, text, flat, lost, apart]: RawClaimedTask): ClaimedTask {
  const parsed = parse(record, text, apart)
  const request = toRequest(parsed)
  const checkpoints = new Map<string, string>()
  for (const [i, name] of (flat ?? []).entries()) if (i % 2 === 0) checkpoints.set(name, flat![i + 1]!)
  return {
    task: taskOf(parsed, request, null),
    request,
    lease: parsed.state.lease,
    priority: parsed.terms.priority,
    run_at: parsed.terms.extras.run_at ?? null,
    trace: traceOf(parsed.terms),
    checkpoints,
    lostWorkers: lost ? { worker_id: fromWord(lost[0]), times: lost[1] } : null,
    alone: lost ? lost[2] === 1 : false
  }
}

/** The state that a hint carries; null for what is none: anybody with access to Redis can publish, and a version with another format does. */
export function parseHint (message: string): TaskState | null {
  if (!/^\d+ [A-Z]+ \d+ /.test(message)) return null
  try {
    return toState(parseState(message))
  } catch {
    return null
  }
}
