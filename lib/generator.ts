import type { Chart, ChartRequest, JsonValue, TraceContext } from './task.ts'

/** The part of a pino logger that this package uses. */
export interface Logger {
  debug (details: object, message?: string): void
  info (details: object, message?: string): void
  warn (details: object, message?: string): void
  error (details: object, message?: string): void
  child (bindings: Record<string, unknown>): Logger
  /** Whether lines of a level are written. If a logger has it, lines of other levels are not built at all. */
  isLevelEnabled? (level: string): boolean
}

/** One report of a generator. Values are clamped to 0–100; what is not a number is ignored. */
export interface ProgressUpdate {
  /** The step being worked on; shown as `current_step`. */
  step?: string | undefined
  /** How far `step` is, 0–100; ignored without a step. */
  step_progress?: number | undefined
  /** How far the whole chart is, 0–100; never falls within an attempt, and 100 is shown only when the chart is stored. */
  progress?: number | undefined
}

/** Why a running generator is asked to stop: the `code` of `signal.reason`. */
export type AbortCode = 'CANCELLED' | 'TIMEOUT' | 'LEASE_LOST' | 'SHUTDOWN'

/** What a generator is given besides its request. */
export interface GenerateContext {
  /** Aborted when the work is no longer wanted; `signal.reason` is an Error whose `code` is an {@link AbortCode}. */
  readonly signal: AbortSignal
  /** Which attempt this is: 1, 2, … */
  readonly attempt: number
  /** Reports progress. Never throws, never blocks, and costs nothing in a tight loop: updates are coalesced. */
  progress (update: ProgressUpdate): void
  /**
   * Runs `fn` and saves its result with the task. A later attempt, after a crash, a deployment or an error, gets the saved result and does not run
   * `fn` again. A saved result has been through JSON. All results of a task together are limited to `limits.checkpointBytes`, and are deleted when the
   * task ends. Reports `name` as the current step.
   */
  step<T> (name: string, fn: () => T | Promise<T>): Promise<T>
  /** The charts of the tasks in `depends_on`, in the order of the request. */
  readonly dependencies: readonly Chart[]
  /**
   * The trace context of this attempt, as HTTP headers, for calls that are not instrumented. Undefined without tracing.
   */
  readonly trace?: TraceContext | undefined
  /** Carries task_id, message_id and attempt. */
  readonly log: Logger
}

/** What a generator may return. `object`, because TypeScript takes no interface for a JsonValue; what JSON cannot hold fails the task. */
export type ChartContent = JsonValue | object

/**
 * Makes a chart. What it resolves to is the chart's `content`, any JSON value up to `limits.chartBytes`;
 * the library never looks inside. Throw a `ChartGenerationError` to speak to the user.
 *
 * `Params` is the type of `request.params`, `Content` that of the content.
 */
export type GenerateChart<Params = JsonValue, Content extends ChartContent = ChartContent> =
  (request: ChartRequest<Params>, context: GenerateContext) => Promise<Content>
