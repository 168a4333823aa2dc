import type { AbortCode, ProgressUpdate } from '../generator.ts'
import type { Chart, ChartRequest, JsonValue } from '../task.ts'

/** What a thread is asked for. */
export interface ThreadJob {
  /** The module whose default export is the generator. */
  readonly url: string
  readonly request: ChartRequest
  readonly attempt: number
  readonly dependencies: readonly Chart[]
}

/** What comes back: the chart, or the error in a form that survives the way. */
export type ThreadResult = { readonly content: JsonValue | undefined } | { readonly error: ThreadError }

export interface ThreadError {
  readonly name: string
  readonly message: string
  readonly stack: string | undefined
  readonly code: string | undefined
  readonly retryable: boolean | undefined
  readonly retryDelay: number | undefined
}

/** What the thread says while it works. A step is asked for first, and told afterwards. */
export type FromThread =
  | { readonly progress: ProgressUpdate }
  | { readonly log: { readonly level: 'debug' | 'info' | 'warn' | 'error', readonly bindings: object, readonly details: object, readonly message: string | undefined } }
  | { readonly step: string, readonly id: number }
  | { readonly stepDone: number, readonly value?: unknown, readonly error?: ThreadError }

export type ToThread =
  | { readonly abort: AbortCode }
  /** Run the step: nothing is remembered of it. */
  | { readonly run: number }
  /** The step has this value: remembered, or stored just now. */
  | { readonly settled: number, readonly value?: unknown, readonly error?: ThreadError }
