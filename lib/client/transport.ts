import { isPassing, jsonOf, offline, valid } from './client-error.ts'
import { abortable, jittered, pause } from './timing.ts'

type ClientHeaders = NonNullable<ConstructorParameters<typeof Headers>[0]>

export interface ChartsClientOptions {
  /** URL of the plugin's routes with its prefix: `https://host/api/v1/analytics`. Default: `/api/v1/analytics` of the page's origin. */
  readonly baseUrl?: string | URL | undefined
  /** Default: the global `fetch`. */
  readonly fetch?: typeof globalThis.fetch | undefined
  /**
* Returns the headers of a request; called for each request and each connection. `refused`: the same request has just been answered with
   * 401 and is repeated once, so return a new token.
   */
  readonly headers?: ((context: { readonly refused: boolean }) => ClientHeaders | Promise<ClientHeaders>) | undefined
  /** @internal Factor for the client's own times, so that tests need not wait. */
  readonly timeScale?: number
}

export interface Outgoing {
  readonly method?: string
  readonly headers?: Record<string, string>
  readonly body?: string
  readonly signal?: AbortSignal | undefined
}

/** Sends requests below `charts/`. */
export interface Transport {
  readonly timeScale: number
  /** Sends one request. Resolves to its response if that is 2xx or 304. `onSend` is called when `headers` has resolved. */
  send (path: string, init: Outgoing, onSend?: () => void): Promise<Response>
  /** Sends a request until it succeeds or cannot succeed. Every request of the API is safe to repeat, because creates have an Idempotency-Key. */
  json<T> (path: string, init: Outgoing, maxAttempts?: number): Promise<T>
  /** ms until the next attempt after `failures` failures, the last of them `error`. */
  waitAfter (error: { readonly retryAfter?: number }, failures: number): number
}

/** Maximum number of attempts of a call. */
const MAX_ATTEMPTS = 6
/** ms before the second attempt; doubled for each one after it, up to the maximum. */
const BACKOFF_MS = 500
const MAX_BACKOFF_MS = 30_000
/** Maximum seconds of `Retry-After` that the client waits. */
const MAX_RETRY_AFTER = 120

export function createTransport (options: ChartsClientOptions): Transport {
  const { baseUrl = '/api/v1/analytics', headers: ask, timeScale = 1 } = options
  const base = String(baseUrl).replace(/\/+$/, '')

  async function send (path: string, { headers, ...init }: Outgoing, onSend?: () => void): Promise<Response> {
    // In a variable, because browsers refuse `fetch` as a method of another object.
    const { fetch = globalThis.fetch } = options
    const page = (globalThis as { location?: { href: string } }).location?.href
    const url = valid('baseUrl must be absolute', () => new URL(`${base}/charts/${path}`, page))
    for (let refused = false; ; refused = true) {
      init.signal?.throwIfAborted()
      const all = new Headers(await ask?.({ refused }))
      for (const name in headers) all.set(name, headers[name]!)
      onSend?.()
      const response = await fetch(url, { ...init, headers: all, cache: 'no-store' } as Parameters<typeof fetch>[1]).catch(offline)
      if (response.ok || response.status === 304) return response
      if (response.status !== 401 || !ask || refused) return jsonOf(response)
      await response.text().catch(offline)
    }
  }

  const waitAfter: Transport['waitAfter'] = ({ retryAfter }, failures) => retryAfter
    // Jitter is added, never subtracted: clients come back after the time that the server gave, but not all at once.
    ? Math.min(retryAfter, MAX_RETRY_AFTER) * 1000 + jittered(BACKOFF_MS)
    : jittered(Math.min(BACKOFF_MS * 2 ** failures, MAX_BACKOFF_MS)) * timeScale

  async function repeated<T> (path: string, init: Outgoing, maxAttempts: number): Promise<T> {
    for (let attempt = 0; ; attempt++) {
      try {
        return await jsonOf(await send(path, init))
      } catch (error) {
        if (!isPassing(error) || attempt + 1 >= maxAttempts) throw error
        await pause(waitAfter(error, attempt), init.signal)
      }
    }
  }

  return {
    timeScale,
    send,
    json: (path, init, maxAttempts = MAX_ATTEMPTS) => abortable(init.signal, repeated(path, init, maxAttempts)),
    waitAfter
  }
}
