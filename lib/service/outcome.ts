import { ChartGenerationError, failures, type FailureCode } from '../errors.ts'
import { MAX_DEPTH, isTooDeep, toWellFormedJson } from '../json.ts'
import type { JsonValue } from '../task.ts'

/** How a try ended: with a chart, or with what went wrong. */
export type Outcome = { readonly content: JsonValue | object | undefined } | { readonly error: unknown }

/** Why a try failed, as the store keeps it. */
export interface Failure {
  readonly code: string
  /** What the user is told; null: what the code says. */
  readonly message: string | null
  /** ms before the next try, null for the task's own backoff, 'never' for no other try. */
  readonly delay: number | null | 'never'
}

const CODE = /^[A-Z][A-Z0-9_]{0,63}$/
const MAX_MESSAGE = 2_000
const MAX_DELAY = 30 * 86_400_000

/** A failure that this package finds, with a code from its table. */
export class AttemptError extends Error {
  readonly code: FailureCode
  readonly retryable: boolean

  constructor (code: FailureCode, options: { retryable: boolean, cause?: unknown }) {
    super(failures[code], { cause: options.cause })
    this.name = 'AttemptError'
    this.code = code
    this.retryable = options.retryable
  }
}

/** Whether an error is the generator's word to the user; by name too, as the host may have another copy of this package. */
export const speaksToUser = (error: unknown): error is ChartGenerationError =>
  error instanceof ChartGenerationError || (error instanceof Error && error.name === 'ChartGenerationError')

/** What a generator threw, as the store keeps it. Only a ChartGenerationError reaches the user in its own words. */
export function failureOf (error: unknown): Failure {
  if (error instanceof AttemptError) return { code: error.code, message: null, delay: error.retryable ? null : 'never' }
  if (!speaksToUser(error)) return { code: 'CHARTS_ERR_GENERATION_FAILED', message: null, delay: null }
  const { code, message, retryable, retryDelay } = error
  const delay = typeof retryDelay === 'number' && retryDelay >= 0 ? Math.min(Math.round(retryDelay), MAX_DELAY) : null
  return {
    code: typeof code === 'string' && CODE.test(code) ? code : 'CHARTS_ERR_GENERATION_FAILED',
    message: typeof message === 'string' ? message.slice(0, MAX_MESSAGE).toWellFormed() || null : null,
    delay: retryable === true ? delay : 'never'
  }
}

/** A chart that is JSON already, and was held to the rules where it was made. */
export class SerializedContent {
  readonly json: string

  constructor (json: string) {
    this.json = json
  }
}

/**
 * A value of a generator's as JSON, as `JSON.stringify` writes it; undefined for what that leaves out.
 * @throws AttemptError with `code` for a cycle, a BigInt, more than 500 levels, or what a getter throws
 */
export function serializeValue (value: unknown, code: FailureCode): string | undefined {
  let json: string | undefined
  try {
    json = JSON.stringify(value)
  } catch (cause) {
    throw new AttemptError(code, { retryable: false, cause })
  }
  if (json !== undefined && isTooDeep(json)) {
    throw new AttemptError(code, { retryable: false, cause: new RangeError(`nested deeper than ${MAX_DEPTH} levels`) })
  }
  return json && toWellFormedJson(json)
}

/**
 * The chart as JSON.
 * @throws AttemptError CHARTS_ERR_INVALID_CHART for what JSON cannot hold, CHARTS_ERR_CHART_TOO_LARGE above `limit` bytes (0 = off).
 */
export function serializeContent (content: unknown, limit: number): string {
  if (content instanceof SerializedContent) return content.json
  const json = serializeValue(content, 'CHARTS_ERR_INVALID_CHART')
  if (json === undefined) throw new AttemptError('CHARTS_ERR_INVALID_CHART', { retryable: false })
  if (limit > 0 && Buffer.byteLength(json) > limit) throw new AttemptError('CHARTS_ERR_CHART_TOO_LARGE', { retryable: false })
  return json
}
