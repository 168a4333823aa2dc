import type { PublicChartTask } from '../task.ts'

/** The codes that the client itself gives; all others come from the server, or are the `error_code` of a task. */
export type ClientCode =
  /** Nothing was sent: an argument or an option does not fit. */
  | 'INVALID_ARGUMENT'
  /** No answer, or only part of one. */
  | 'NETWORK_ERROR'
  /** An answer that is not the API's, such as the page of a proxy. */
  | 'UNEXPECTED_ANSWER'
  /** `generate`: the task was cancelled. */
  | 'CANCELLED'

interface Details {
  readonly status?: number
  readonly retryAfter?: number | undefined
  readonly task?: PublicChartTask
  readonly cause?: unknown
}

/** What every call of the client rejects with, unless its `signal` was aborted or `headers` threw. */
export class ChartsClientError extends Error {
  /** Of the HTTP answer; 0 where there was none. */
  declare readonly status: number
  /** Stable, for programs: the server's `code`, the `error_code` of a failed task, or a {@link ClientCode}. */
  declare readonly code: string
  /** Seconds after which the server says it is worth asking again. */
  declare readonly retryAfter?: number
  /** The failed or cancelled task that `generate` waited for. */
  declare readonly task?: PublicChartTask

  constructor (code: string, message: string, details: Details = {}) {
    super(message, details)
    Object.assign(this, { name: 'ChartsClientError', status: 0, ...details, code })
  }
}

export const invalid = (message: string, cause?: unknown) => new ChartsClientError('INVALID_ARGUMENT' satisfies ClientCode, message, { cause })
/** What `make` makes. @throws INVALID_ARGUMENT where it cannot */
export function valid<T> (message: string, make: () => T): T {
  try {
    return make()
  } catch (error) {
    throw invalid(message, error)
  }
}
const networkError = (cause?: unknown) => new ChartsClientError('NETWORK_ERROR' satisfies ClientCode, 'No answer from the server', { cause })
export const offline = (cause?: unknown): never => {
  throw networkError(cause)
}
/** No bytes have come in time: what sends them is gone, or a proxy holds them back. */
export const tooSilent = networkError()

/**
 * Whether the same request may succeed later: no answer, a refusal for now, or a fault of the server or of a proxy. That `headers` could
 * not fetch a token is one too: fetch throws a TypeError.
 */
export const isPassing = (error: unknown): error is { readonly retryAfter?: number } =>
  error instanceof TypeError || (error instanceof ChartsClientError && (error.code === 'NETWORK_ERROR' || error.status === 429 || error.status >= 500))

/** The JSON of an answer. @throws ChartsClientError for what is no JSON, or says what went wrong */
export async function jsonOf<T> (response: Response): Promise<T> {
  const text = await response.text().catch(offline)
  const { status, ok } = response
  const details = { status, retryAfter: retryAfterOf(response) }
  let body: { code?: string, message?: string } | null = null
  try {
    body = JSON.parse(text)
  } catch {}
  if (ok && body) return body as T
  throw new ChartsClientError(body?.code ?? 'UNEXPECTED_ANSWER' satisfies ClientCode, body?.message ?? `No usable answer (${status})`, details)
}

/** `Retry-After` in seconds. Where a proxy gives a date, the client's own backoff will do. */
export const retryAfterOf = ({ headers }: Response): number | undefined => Number(headers.get('retry-after')) || undefined
