// Requests to the server of the dashboard.

/** Timeout of a request in ms. The server itself waits at most two seconds for the store. */
const TIMEOUT = 15_000

const { root } = document.body.dataset

/** A request that failed. `kind`: signed-out, forbidden, gone, away (worth a retry) or refused. */
export class Refusal extends Error {
  constructor (kind, message, retryAfter = 0) {
    super(message)
    this.kind = kind
    this.retryAfter = retryAfter
  }
}

const KINDS = { 401: 'signed-out', 403: 'forbidden', 404: 'gone', 429: 'away', 502: 'away', 503: 'away', 504: 'away' }

const MESSAGES = { 401: 'You are signed out.', 503: 'The queue cannot be reached.' }

/**
 * Sends a request; resolves to an answer with 200 or 304.
 * @throws Refusal
 */
async function ask (address, { signal, ...options }) {
  const signals = [AbortSignal.timeout(TIMEOUT), ...(signal ? [signal] : [])]
  let response
  try {
    // Do not follow redirects: they lead to a login page.
    response = await fetch(address, { cache: 'no-store', credentials: 'same-origin', redirect: 'manual', ...options, signal: AbortSignal.any(signals) })
  } catch (error) {
    if (signal?.aborted) throw error
    throw new Refusal('away', 'The server cannot be reached.')
  }
  if (response.type === 'opaqueredirect') throw new Refusal('signed-out', 'You are signed out.')
  if (response.ok || response.status === 304) return response
  const body = await response.json().catch(() => ({}))
  const kind = KINDS[response.status] ?? (response.status >= 500 ? 'away' : 'refused')
  const fallback = `The server has answered ${response.status}.`
  const message = MESSAGES[response.status] ?? (kind !== 'away' && typeof body.message === 'string' ? `${body.message}.` : fallback)
  throw new Refusal(kind, message, 1_000 * (Number(response.headers.get('retry-after')) || 0))
}

async function jsonOf (response) {
  try {
    return await response.json()
  } catch {
    throw new Refusal('signed-out', 'You are signed out, as it seems: the answer is not from the dashboard.')
  }
}

/** Reads the current state of this page; `body` is null if it has not changed. */
export async function askPage (etag, signal) {
  const headers = { accept: 'application/json', ...(etag && { 'if-none-match': etag }) }
  const response = await ask(window.location.href.split('#')[0], { headers, signal })
  return { response, body: response.status === 304 ? null : await jsonOf(response), etag: response.headers.get('etag') ?? etag }
}

export async function get (path, signal) {
  return jsonOf(await ask(root + path, { headers: { accept: 'application/json' }, signal }))
}

/** Sends JSON, which pages of other sites cannot send without a preflight. */
export async function post (path, body, signal) {
  const headers = { accept: 'application/json', 'content-type': 'application/json' }
  return jsonOf(await ask(root + path, { method: 'POST', headers, body: JSON.stringify(body ?? {}), signal }))
}
