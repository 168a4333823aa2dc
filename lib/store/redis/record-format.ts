import { ChartStatus, type ChartPriority, type TraceContext } from '../../task.ts'
import type { attemptOutcomes } from '../attempt-outcomes.ts'
import { fromWord } from './words.ts'

export type Verb = keyof typeof attemptOutcomes

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
export interface State {
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
export interface Parsed { readonly terms: Terms, readonly request: string, readonly state: State }

const numberOf = (text: string | undefined) => text ? Number(text) : null

/** The text is no record of this format. A read then treats the task as unknown. */
export class UnreadableError extends Error {}

/** The words of a line, and what is behind the last of them as JSON. */
function split (line: string, count: number): { words: string[], extras: object } {
  const words = line.split(' ')
  if (words.length < count) throw new UnreadableError('words are missing')
  return { words, extras: words.length > count ? JSON.parse(words.slice(count).join(' ')) : {} }
}

/** null where `read` throws: what is stored can be no record, because somebody else has written there, or a part was lost. */
export function readable<T> (read: () => T): T | null {
  try {
    return read()
  } catch {
    return null
  }
}

export function parseTerms (line: string): Terms {
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

export function parseState (line: string): State {
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

export const traceOf = ({ extras: { traceparent, tracestate } }: Terms): TraceContext | null =>
  traceparent === undefined ? null : { traceparent, ...(tracestate === undefined ? {} : { tracestate }) }

export const startOfRequest = (record: string) => record.indexOf('\n', record.indexOf('\n') + 1) + 1

export function parse (record: string, text: string | null, apart: string | undefined): Parsed {
  const first = record.indexOf('\n')
  const request = startOfRequest(record)
  const terms = parseTerms(record.slice(first + 1, request - 1))
  const line = text ?? record.slice(0, first)
  return { terms, request: apart ?? record.slice(request), state: line === '' ? firstState(terms) : parseState(line) }
}
