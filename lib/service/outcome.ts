import { ChartGenerationError, failures, type FailureCode } from '../errors.ts'
import { MAX_DEPTH, isTooDeep, toWellFormedJson } from '../json.ts'
import type { JsonValue } from '../task.ts'

/** How an attempt ended: with the content of a chart, or with an error. */
export type Outcome = { readonly content: JsonValue | object | undefined } | { readonly error: unknown }

/** Why an attempt failed, as it is stored. */
export interface Failure {
  readonly code: string
  /** Shown to the user; null: the default text of the code. */
  readonly message: string | null
  /** ms before the next attempt; null: the task's own backoff; 'never': no other attempt. */
  readonly delay: number | null | 'never'
}

const CODE = /^[A-Z][A-Z0-9_]{0,63}$/
const MAX_MESSAGE_LENGTH = 2_000
const MAX_DELAY_MS = 30 * 86_400_000

/** A failure that this package detects, with a code of its own. */
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

/** Whether the message of an error is meant for the user. Also by name, because the host may have another copy of this package. */
export const isChartGenerationError = (error: unknown): error is ChartGenerationError =>
  error instanceof ChartGenerationError || (error instanceof Error && error.name === 'ChartGenerationError')

/** The failure that a thrown value stands for. Only the message of a ChartGenerationError reaches the user. */
export function failureOf (error: unknown): Failure {
  if (error instanceof AttemptError) return { code: error.code, message: null, delay: error.retryable ? null : 'never' }
  if (!isChartGenerationError(error)) return { code: 'CHARTS_ERR_GENERATION_FAILED', message: null, delay: null }
  const { code, message, retryable, retryDelay } = error
  const delay = typeof retryDelay === 'number' && retryDelay >= 0 ? Math.min(Math.round(retryDelay), MAX_DELAY_MS) : null
  return {
    code: typeof code === 'string' && CODE.test(code) ? code : 'CHARTS_ERR_GENERATION_FAILED',
    message: typeof message === 'string' ? message.slice(0, MAX_MESSAGE_LENGTH).toWellFormed() || null : null,
    delay: retryable === true ? delay : 'never'
  }
}

/** The content of a chart that is JSON already, and was checked by whoever serialised it. */
export class SerializedContent {
  readonly json: string

  constructor (json: string) {
    this.json = json
  }
}

/**
 * A value of a generator as `JSON.stringify` writes it; undefined where that returns undefined.
 * @throws AttemptError with `code`: the value has a cycle, a BigInt, a getter that throws, or more than 500 levels
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
 * The content of a chart as JSON. `limit`: maximum bytes, 0 = off.
 * @throws AttemptError CHARTS_ERR_INVALID_CHART: JSON cannot hold it; CHARTS_ERR_CHART_TOO_LARGE
 */
export function serializeContent (content: unknown, limit: number): string {
  if (content instanceof SerializedContent) return content.json
  const json = serializeValue(content, 'CHARTS_ERR_INVALID_CHART')
  if (json === undefined) throw new AttemptError('CHARTS_ERR_INVALID_CHART', { retryable: false })
  if (limit > 0 && Buffer.byteLength(json) > limit) throw new AttemptError('CHARTS_ERR_CHART_TOO_LARGE', { retryable: false })
  return json
}
