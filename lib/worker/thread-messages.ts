import type { AbortCode, ProgressUpdate } from '../generator.ts'
import type { TraceContext } from '../store/task-store.ts'
import type { ChartRequest } from '../task.ts'

/** What a thread is asked for. */
export interface ThreadJob {
  /** The module whose default export is the generator. */
  readonly url: string
  readonly request: ChartRequest
  readonly attempt: number
  /** As JSON: what a host's store gives may be more than a thread can be passed. */
  readonly dependencies: string
  readonly trace: TraceContext | null
  /** Bytes of a chart as JSON, 0 = no limit. */
  readonly chartBytes: number
}

/** What comes back: the chart as JSON, or the error in a form that survives the way. */
export type ThreadResult = { readonly json: string } | { readonly error: ThreadError }

export interface ThreadError {
  readonly name: string
  readonly message: string
  readonly stack: string | undefined
  readonly code: string | undefined
  readonly retryable: boolean | undefined
  readonly retryDelay: number | undefined
  readonly cause: ThreadError | undefined
}

/** What a step in the thread came to: its value as the text that is remembered, or its error. */
export type StepDone = { readonly stepDone: number, readonly text: string } | { readonly stepDone: number, readonly error: ThreadError }

/** What the thread says while it works. A step is asked for first, and told afterwards. */
export type FromThread =
  | { readonly progress: ProgressUpdate }
  | { readonly log: { readonly level: 'debug' | 'info' | 'warn' | 'error', readonly bindings: Record<string, unknown>, readonly details: object, readonly message: string | undefined } }
  | { readonly step: string, readonly id: number }
  | StepDone

export type ToThread =
  | { readonly abort: AbortCode }
  /** Run the step: nothing is remembered of it. */
  | { readonly run: number }
  /** The step that was run has been stored. */
  | { readonly stored: number }
  /** The step has this value, from an earlier try. */
  | { readonly remembered: number, readonly value: unknown }
  | { readonly failed: number, readonly error: ThreadError }
