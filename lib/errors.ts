import createError, { type FastifyErrorConstructor } from '@fastify/error'

type Args = [any?, any?, any?]
const coded = <A extends Args = []>(code: string, message: string, statusCode: number) =>
  createError<A>(code, message, statusCode) as FastifyErrorConstructor<{ code: string, statusCode: number }, A>

const table = {
  CHARTS_ERR_UNAUTHENTICATED: coded('CHARTS_ERR_UNAUTHENTICATED', 'Authentication is required', 401),
  CHARTS_ERR_FORBIDDEN: coded('CHARTS_ERR_FORBIDDEN', 'Not allowed', 403),
  CHARTS_ERR_READ_ONLY: coded('CHARTS_ERR_READ_ONLY', 'This dashboard is read-only', 403),
  CHARTS_ERR_ORIGIN_FORBIDDEN: coded('CHARTS_ERR_ORIGIN_FORBIDDEN', 'This origin may not open a WebSocket here', 403),
  CHARTS_ERR_CROSS_SITE: coded('CHARTS_ERR_CROSS_SITE', 'A page of another site may not change anything here', 403),
  CHARTS_ERR_TASK_NOT_FOUND: coded('CHARTS_ERR_TASK_NOT_FOUND', 'Chart task not found', 404),
  CHARTS_ERR_TASK_NOT_FINISHED: coded('CHARTS_ERR_TASK_NOT_FINISHED', 'The chart is not finished yet', 409),
  CHARTS_ERR_TASK_FAILED: coded<[string]>('CHARTS_ERR_TASK_FAILED', '%s', 409),
  CHARTS_ERR_TASK_CANCELLED: coded('CHARTS_ERR_TASK_CANCELLED', 'The chart task was cancelled', 409),
  CHARTS_ERR_TASK_FINISHED: coded('CHARTS_ERR_TASK_FINISHED', 'The chart task has already finished', 409),
  CHARTS_ERR_REQUEST_NOT_KEPT: coded('CHARTS_ERR_REQUEST_NOT_KEPT', 'Of this chart task only part of the request is kept, so it cannot be run again', 409),
  CHARTS_ERR_TASK_NOT_FAILED: coded('CHARTS_ERR_TASK_NOT_FAILED', 'Only a chart task that has failed can be run again', 409),
  CHARTS_ERR_TASK_RETRIED: coded('CHARTS_ERR_TASK_RETRIED', 'The chart is being generated again, or is there: it is not run once more', 409),
  CHARTS_ERR_RESULT_EXPIRED: coded('CHARTS_ERR_RESULT_EXPIRED', 'The chart is no longer kept', 410),
  CHARTS_ERR_REQUEST_TOO_LARGE: coded<[number, number]>('CHARTS_ERR_REQUEST_TOO_LARGE', 'The request has %d bytes, at most %d are allowed', 413),
  CHARTS_ERR_INVALID_REQUEST: coded<[string]>('CHARTS_ERR_INVALID_REQUEST', '%s', 400),
  CHARTS_ERR_IDEMPOTENCY_KEY_INVALID: coded('CHARTS_ERR_IDEMPOTENCY_KEY_INVALID', 'Idempotency-Key must be 1 to 255 printable ASCII characters', 400),
  CHARTS_ERR_IDEMPOTENCY_KEY_REUSED: coded('CHARTS_ERR_IDEMPOTENCY_KEY_REUSED', 'This Idempotency-Key was used with another request', 422),
  CHARTS_ERR_UPGRADE_REQUIRED: coded('CHARTS_ERR_UPGRADE_REQUIRED', 'This route speaks WebSocket only', 426),
  CHARTS_ERR_BATCH_NOT_FOUND: coded('CHARTS_ERR_BATCH_NOT_FOUND', 'Chart batch not found', 404),
  CHARTS_ERR_DEPENDENCY_UNKNOWN: coded<[string]>('CHARTS_ERR_DEPENDENCY_UNKNOWN', 'depends_on names %s, which is no task of yours', 400),
  CHARTS_ERR_DEPENDENCY_FAILED: coded<[string]>('CHARTS_ERR_DEPENDENCY_FAILED', 'depends_on names %s, which has failed or was cancelled', 409),
  CHARTS_ERR_TOO_MANY_TASKS: coded<[string]>('CHARTS_ERR_TOO_MANY_TASKS', 'Too many charts %s already, try again later', 429),
  CHARTS_ERR_QUEUE_FULL: coded('CHARTS_ERR_QUEUE_FULL', 'The chart queue is full, try again later', 503),
  CHARTS_ERR_STORE_UNAVAILABLE: coded<[{ cause: unknown }?]>('CHARTS_ERR_STORE_UNAVAILABLE', 'The chart queue is not reachable, try again later', 503),
  CHARTS_ERR_INVALID_OPTIONS: coded<[string]>('CHARTS_ERR_INVALID_OPTIONS', 'fastify-async-charts: %s', 500),
  CHARTS_ERR_INVALID_TENANT_WEIGHT: coded('CHARTS_ERR_INVALID_TENANT_WEIGHT', 'tenantWeight must return a whole number from 1 to 60', 500),
  CHARTS_ERR_INVALID_IDENTITY: coded('CHARTS_ERR_INVALID_IDENTITY', 'An identity must be { user_id: string, org_id?: string | null }, each id 1 to 512 characters of well-formed Unicode', 500)
} as const

type Table = typeof table
type WithCode<Code extends string, Constructor> =
  Constructor extends FastifyErrorConstructor<any, infer A> ? FastifyErrorConstructor<{ code: Code, statusCode: number }, A> : never

/** Every error that this package answers or throws, by its code. `docs/reference/errors.md` is held to this table by a test. */
export const errors = table as { readonly [Code in keyof Table]: WithCode<Code, Table[Code]> }

export type ChartsErrorCode = keyof typeof errors
/** An error of this package: told apart by `code`. */
export type ChartsError = { [Code in ChartsErrorCode]: InstanceType<(typeof errors)[Code]> }[ChartsErrorCode]

/**
 * Whether an error is one of this package's, so that the compiler knows the codes it may have. Also where another copy of the package threw it.
 * A `ChartGenerationError` is not one: its code is the generator's own.
 */
export function isChartsError (error: unknown): error is ChartsError {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' && Object.hasOwn(errors, error.code)
}

/**
 * The `error_code` of a failed task where the generator gave none of its own, with what the user is told.
 * What really happened is in the log only.
 */
export const failures = {
  CHARTS_ERR_GENERATION_FAILED: 'Chart generation failed',
  CHARTS_ERR_ATTEMPT_TIMEOUT: 'Chart generation took too long',
  CHARTS_ERR_INVALID_CHART: 'Chart generation gave no usable chart',
  CHARTS_ERR_CHART_TOO_LARGE: 'The chart is too large',
  CHARTS_ERR_CHART_NOT_SAVED: 'The chart could not be saved',
  CHARTS_ERR_CHECKPOINT_TOO_LARGE: 'Chart generation has too much to remember',
  CHARTS_ERR_INVALID_CHECKPOINT: 'Chart generation cannot remember a step',
  CHARTS_ERR_OUT_OF_MEMORY: 'Chart generation needs too much memory',
  CHARTS_ERR_DEPENDENCY_FAILED: 'A chart that this one needs has failed',
  CHARTS_ERR_QUEUE_TIMEOUT: 'The chart has waited too long for its turn',
  CHARTS_ERR_WORKER_LOST: 'Chart generation was interrupted too often',
  CHARTS_ERR_RECORD_LOST: 'The chart request was lost'
} as const
export type FailureCode = keyof typeof failures

/** What the user is told for a code, where nothing else was said. */
export function failureMessage (code: string): string {
  return failures[code as FailureCode] ?? failures.CHARTS_ERR_GENERATION_FAILED
}

/** True for the error that a store throws when it cannot be reached, is full, or is loading. */
export function isStoreUnavailable (error: unknown): boolean {
  return error instanceof errors.CHARTS_ERR_STORE_UNAVAILABLE
}

/** What a `ChartGenerationError` carries beside its message. */
export interface ChartGenerationErrorOptions {
  /** Shown as `error_code`; `/^[A-Z][A-Z0-9_]{0,63}$/`, default `CHARTS_ERR_GENERATION_FAILED`. */
  code?: string
  /** Whether another attempt may help. Default false. */
  retryable?: boolean
  /** ms to wait before the next attempt, instead of the backoff of `retry`. */
  retryDelay?: number
  cause?: unknown
}

/**
 * Thrown by a generator to tell the user what went wrong: message and code reach the user as they are.
 * Not retried unless `retryable: true`. Any other error is retried and shown as a plain failure.
 */
export class ChartGenerationError extends Error {
  readonly code: string
  readonly retryable: boolean
  readonly retryDelay: number | undefined

  constructor (message: string, options: ChartGenerationErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'ChartGenerationError'
    this.code = options.code ?? 'CHARTS_ERR_GENERATION_FAILED'
    this.retryable = options.retryable ?? false
    this.retryDelay = options.retryDelay
  }
}
