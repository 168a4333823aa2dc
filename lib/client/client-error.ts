import type { PublicChartTask } from '../task.ts'

/** Codes of the client itself. Other codes come from the server, or are the `error_code` of a task. */
export type ClientCode =
  /** An argument or option is invalid; nothing was sent. */
  | 'INVALID_ARGUMENT'
  /** No response, or an incomplete one. */
  | 'NETWORK_ERROR'
  /** The response is not from the API: for example, the error page of a proxy. */
  | 'UNEXPECTED_ANSWER'
  /** `generate`: the task was cancelled. */
  | 'CANCELLED'

interface Details {
  readonly status?: number
  readonly retryAfter?: number | undefined
  readonly task?: PublicChartTask
  readonly cause?: unknown
}

/** Every call rejects with this error, unless its `signal` was aborted or `headers` threw. */
export class ChartsClientError extends Error {
  /** HTTP status of the response; 0 if there was none. */
  declare readonly status: number
  /** Stable, for programs: the server's `code`, the `error_code` of a failed task, or a {@link ClientCode}. */
  declare readonly code: string
  /** `Retry-After` of the response, in seconds. */
  declare readonly retryAfter?: number
  /** The failed or cancelled task that `generate` waited for. */
  declare readonly task?: PublicChartTask

  constructor (code: string, message: string, details: Details = {}) {
    super(message, details)
    Object.assign(this, { name: 'ChartsClientError', status: 0, ...details, code })
  }
}

export const invalid = (message: string, cause?: unknown) => new ChartsClientError('INVALID_ARGUMENT' satisfies ClientCode, message, { cause })
/** The result of `make`. @throws INVALID_ARGUMENT if `make` throws */
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
/** No bytes arrived in time: the server is gone, or a proxy buffers them. */
export const tooSilent = networkError()

/**
* Whether the same request may succeed later: no response, a temporary refusal, or a failure of the server or a proxy. A TypeError
 * counts too, because `fetch` throws it if `headers` cannot fetch a token.
 */
export const isPassing = (error: unknown): error is { readonly retryAfter?: number } =>
  error instanceof TypeError || (error instanceof ChartsClientError && (error.code === 'NETWORK_ERROR' || error.status === 429 || error.status >= 500))

/** The JSON of a response. @throws ChartsClientError if it is an error response, or not JSON */
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

/** `Retry-After` in seconds. A date, which only proxies send, is ignored: the client's own backoff applies. */
export const retryAfterOf = ({ headers }: Response): number | undefined => Number(headers.get('retry-after')) || undefined
