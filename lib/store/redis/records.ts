import { failureMessage } from '../../errors.ts'
import { ChartStatus, isFinished, shownCancelled, type ChartPriority, type ChartRequest, type StoredTask, type TraceContext } from '../../task.ts'
import { attemptOutcomes } from '../attempt-outcomes.ts'
import type { AttemptRecord, StepEntry, ClaimedTask, TaskDetails, TaskDraft, TaskState } from '../task-store.ts'
import { expandRequest } from './compact-request.ts'

/** A task as the scripts return it: its record, its state where that is not in the record, its place in the queue, and its request if apart. */
export type RawTask = [record: string, state: string | null, position: number | null, request?: string]
/** One that was claimed: checkpoints as name, JSON, name, JSON …, and the workers that were lost with it. */
export type RawClaimedTask = [
  record: string, state: string, checkpoints?: string[] | null, lost?: [worker_id: string, times: number, alone: number] | null, request?: string
]

type Verb = keyof typeof attemptOutcomes

/** The terms of a task, which never change. Times in ms. */
interface Terms {
  readonly created: number
  readonly step: string
  readonly step_at: number
  readonly message_id: string
  readonly priority: ChartPriority
  readonly max: number
  readonly tenant: string
  readonly user_id: string
  readonly extras: {
    readonly run_at?: number
    readonly weight?: number
    readonly retry_of?: string
    readonly deps?: readonly string[]
    readonly batch?: string
    readonly traceparent?: string
    readonly tracestate?: string
  }
}

/** What changes of a task, as it is stored and published. Times in ms. */
interface State {
  readonly version: number
  readonly status: ChartStatus
  readonly progress: number
  readonly step: string
  readonly step_at: number
  readonly step_from: number
  readonly progress_at: number | null
  readonly attempt: number
  readonly lease: number
  readonly started: number | null
  readonly completed: number | null
  readonly chart: string | null
  readonly worker: string
  readonly settled_by: Verb | null
  /** step,at,from;step,at,from … */
  readonly trace: string
  readonly extras: {
    readonly code?: string
    readonly error?: string
    /** step, percent, step, percent … */
    readonly steps?: ReadonlyArray<string | number>
    readonly batches?: readonly string[]
    readonly retried_as?: string
    readonly shortened?: true
  }
}

/** A record and the parts that are stored elsewhere. */
interface Parsed { readonly terms: Terms, readonly request: string, readonly state: State }

/** Times that a reply has many times over: to print one takes longer than to read the words of a state. */
const dates = new Map<number, string>()
const MAX_DATES = 1_000

function date (ms: number | null | undefined): string | null {
  if (ms == null) return null
  let text = dates.get(ms)
  if (text === undefined) {
    if (dates.size === MAX_DATES) dates.clear()
    text = new Date(ms).toISOString()
    dates.set(ms, text)
  }
  return text
}
const numberOf = (text: string | undefined) => text ? Number(text) : null

/** Free text as the scripts keep it among words: without spaces, and what separates words and steps. */
export const toWord = (text: string): string =>
  // oxlint-disable-next-line no-control-regex -- as `to_word` of records.lua
  text.replace(/[\x00-\x20\x7f%,;]/g, char => `%${char.charCodeAt(0).toString(16).padStart(2, '0').toUpperCase()}`)
export const fromWord = (word: string): string => word.includes('%') ? word.replace(/%([0-9A-F]{2})/g, (_, hex) => String.fromCharCode(parseInt(hex, 16))) : word

/** The text is no record of this format. A read then treats the task as unknown. */
class UnreadableError extends Error {}

/** The words of a line, and what is behind the last of them as JSON. */
function split (line: string, count: number): { words: string[], extras: object } {
  const words = line.split(' ')
  if (words.length < count) throw new UnreadableError('words are missing')
  return { words, extras: words.length > count ? JSON.parse(words.slice(count).join(' ')) : {} }
}

/** null where `read` throws: what is stored can be no record, because somebody else has written there, or a part was lost. */
function readable<T> (read: () => T): T | null {
  try {
    return read()
  } catch {
    return null
  }
}

function parseTerms (line: string): Terms {
  const { words: [, created, step, step_at, , message_id, priority, max, , , , , tenant, user_id], extras } = split(line, 15)
  return {
    created: Number(created),
    step: step!,
    step_at: Number(step_at || created),
    message_id: message_id!,
    priority: priority as ChartPriority,
    max: Number(max),
    tenant: tenant === '=' ? `user:${fromWord(user_id!)}` : fromWord(tenant!),
    user_id: fromWord(user_id!),
    extras
  }
}

function parseState (line: string): State {
  const { words: [version, status, progress, step, step_at, step_from, progress_at, attempt, lease, started, completed, chart, worker, , settled_by, trace], extras } = split(line, 16)
  return {
    version: Number(version),
    status: status as ChartStatus,
    progress: Number(progress),
    step: fromWord(step!),
    step_at: Number(step_at),
    step_from: Number(step_from),
    progress_at: numberOf(progress_at),
    attempt: Number(attempt),
    lease: Number(lease),
    started: numberOf(started),
    completed: numberOf(completed),
    chart: chart || null,
    worker: fromWord(worker!),
    settled_by: (settled_by || null) as Verb | null,
    trace: trace!,
    extras
  }
}

const firstState = ({ step, step_at, extras: { batch } }: Terms): State => ({
  version: 1,
  status: ChartStatus.PENDING,
  progress: 0,
  step,
  step_at,
  step_from: 0,
  progress_at: null,
  attempt: 0,
  lease: 0,
  started: null,
  completed: null,
  chart: null,
  worker: '',
  settled_by: null,
  trace: '',
  extras: batch === undefined ? {} : { batches: [batch] }
})

const traceOf = ({ extras: { traceparent, tracestate } }: Terms): TraceContext | null =>
  traceparent === undefined ? null : { traceparent, ...(tracestate === undefined ? {} : { tracestate }) }

const startOfRequest = (record: string) => record.indexOf('\n', record.indexOf('\n') + 1) + 1

function parse (record: string, text: string | null, apart: string | undefined): Parsed {
  const first = record.indexOf('\n')
  const request = startOfRequest(record)
  const terms = parseTerms(record.slice(first + 1, request - 1))
  const line = text ?? record.slice(0, first)
  return { terms, request: apart ?? record.slice(request), state: line === '' ? firstState(terms) : parseState(line) }
}

function percents (flat: ReadonlyArray<string | number>): Record<string, number> {
  const steps: Record<string, number> = Object.create(null)
  for (let i = 0; i < flat.length; i += 2) steps[flat[i]!] = flat[i + 1] as number
  return { ...steps }
}

const messageOf = (code: string | undefined, message: string | undefined) => message || (code ? failureMessage(code) : null)

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

function toRequest ({ terms, request: stored }: Parsed): ChartRequest {
  const request = JSON.parse(expandRequest(stored, terms)) as ChartRequest
  if (typeof request.task_id !== 'string' || typeof request.message_id !== 'string' || typeof request.user_id !== 'string') throw new UnreadableError('no request')
  return request
}

function taskOf ({ terms, state }: Parsed, request: ChartRequest, position: number | null): StoredTask {
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

export const toSteps = (trace: string): StepEntry[] => trace === ''
  ? []
  : trace.split(';').map(entry => {
    const [step, at, from] = entry.split(',')
    return { step: fromWord(step!), at: Number(at), from: Number(from) }
  })

type Attempt = [attempt: number, lease: number, worker: string, started: number, ended: number, verb: Verb, step: string, progress: number, code: string, message: string]

function toAttempt ([attempt, lease, worker_id, started, ended, verb, last_step, progress, code, message]: Attempt): AttemptRecord {
  return {
    attempt,
    lease,
    worker_id: fromWord(worker_id),
    started_at: date(started)!,
    ended_at: date(ended),
    outcome: attemptOutcomes[verb],
    last_step: fromWord(last_step),
    progress,
    error_code: code || null,
    error_message: messageOf(code, message)
  }
}

/** A stored task with all that an operator may want to know; null where it cannot be read. `history`: its earlier attempts. */
export const toDetails = (found: RawTask, history: readonly string[]): TaskDetails<StoredTask> | null => readable(() => readDetails(found, history))

function readDetails ([record, text, position, apart]: RawTask, history: readonly string[]): TaskDetails<StoredTask> {
  const parsed = parse(record, text, apart)
  const { terms, state } = parsed
  const request = toRequest(parsed)
  const task = taskOf(parsed, request, position)
  const attempts = history.map(entry => readable(() => toAttempt(JSON.parse(entry)))).filter(attempt => attempt !== null)
  // The last attempt is in the state itself, until the task goes back to the queue.
  const trace = toSteps(state.trace)
  if (trace.length > 0 && attempts.at(-1)?.lease !== state.lease) {
    const failed = state.settled_by === 'fail' || state.settled_by === 'expire'
    attempts.push({
      attempt: state.attempt,
      lease: state.lease,
      worker_id: state.worker,
      started_at: date(trace[0]!.at)!,
      ended_at: isFinished(task) ? task.completed_at : null,
      outcome: state.settled_by ? attemptOutcomes[state.settled_by] : null,
      last_step: trace.at(-1)!.step,
      progress: state.progress,
      error_code: failed ? task.error_code : null,
      error_message: failed ? task.error_message : null
    })
  }
  const tracedFrom = traceOf(terms)
  return {
    task,
    request,
    priority: terms.priority,
    run_at: date(terms.extras.run_at),
    batch_ids: [...state.extras.batches ?? []],
    retried_as: state.extras.retried_as ?? null,
    attempts,
    weight: terms.extras.weight ?? 1,
    ...(tracedFrom ? { trace: tracedFrom } : {}),
    ...(state.extras.shortened ? { shortened: true } : {})
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

/** The terms of a draft: the words behind `dedup_key` of TERMS in records.lua. */
export function toWords ({ message_id, user_id, tenant, shared_with, priority, retention, retry: { attempts, backoff } }: TaskDraft): string {
  return [
    message_id, priority, attempts, retention.task * 1000, retention.status * 1000, retention.messageIndex * 1000,
    [backoff.type, backoff.delay, backoff.max, backoff.jitter].join(','), tenant === `user:${user_id}` ? '=' : toWord(tenant), toWord(user_id), shared_with === null ? '' : toWord(shared_with)
  ].join(' ')
}

/** Options of a draft that few have, as JSON; empty where it has none. `extras` goes into its record. */
export function toOptions ({ force, chart_check, run_at, supersede, depends_on, queueTimeout, weight, retry_of, trace }: TaskDraft): string {
  const extras = {
    ...(run_at === null ? {} : { run_at }),
    ...(queueTimeout === 0 ? {} : { queue_timeout: queueTimeout }),
    ...(weight === 1 ? {} : { weight }),
    ...(retry_of === null ? {} : { retry_of }),
    // If `extras` has nothing else, plain-enqueue.lua copies it unchanged.
    ...trace
  }
  const options = {
    ...(force ? { force } : {}),
    ...(chart_check ? { chart_check: chart_check.chart_id, chart_exists: chart_check.kept } : {}),
    ...(run_at === null ? {} : { run_at }),
    ...(supersede ? { supersede } : {}),
    ...(depends_on.length === 0 ? {} : { needs: depends_on.join(' ') }),
    ...(retry_of === null ? {} : { retry_of }),
    ...(Object.keys(extras).length === 0 ? {} : { extras })
  }
  return Object.keys(options).length === 0 ? '' : JSON.stringify(options)
}
