import type { FastifyRequest } from 'fastify'

/** `stream.allowedOrigins`: the origins whose pages may open WebSockets and send requests that change something. */
export type AllowedOrigins = 'same-origin' | '*' | readonly string[]

/** Content types that a page may send to another origin without a CORS preflight. No content type at all counts as one of them. */
const SIMPLE_TYPES = new Set(['', 'text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data'])

/** Whether a page of the request's origin may open a WebSocket. */
export function isAllowedOrigin (request: FastifyRequest, allowed: AllowedOrigins): boolean {
  const { origin } = request.headers
  // No Origin header means a non-browser client, so cross-site hijacking does not apply.
  if (origin === undefined || allowed === '*') return true
  return allowed === 'same-origin' ? isSameOrigin(request, origin) : allowed.includes(origin)
}

/**
 * Whether a page of another site may have made the browser send a request that changes something, with the cookies of its user, and
 * neither the host's CORS settings (which a preflight would have consulted) nor `allowed` permit it.
 */
export function isForged (request: FastifyRequest, allowed: AllowedOrigins): boolean {
  return request.method === 'POST' && !isPreflighted(request) && !isFromOurPages(request) && !isListed(request, allowed)
}

/** Whether a browser would have sent a preflight before this request, if a page of another origin had caused it. */
function isPreflighted ({ headers }: FastifyRequest): boolean {
  const type = (headers['content-type'] ?? '').split(';', 1)[0]!.trim().toLowerCase()
  // A browser adds Basic credentials to this header by itself, but never a bearer token.
  return !SIMPLE_TYPES.has(type) || /^bearer /i.test(headers.authorization ?? '')
}

/**
 * Prefers `Sec-Fetch-Site` to `Origin`: a page without a referrer sends the origin `null`, and a proxy may change the host. In
 * `Sec-Fetch-Site`, `none` means the user or an extension; `same-site` is another origin.
 */
function isFromOurPages (request: FastifyRequest): boolean {
  const { origin, 'sec-fetch-site': site } = request.headers
  if (site !== undefined) return site === 'same-origin' || site === 'none'
  return origin === undefined || isSameOrigin(request, origin)
}

function isListed ({ headers: { origin } }: FastifyRequest, allowed: AllowedOrigins): boolean {
  return allowed === '*' || (allowed !== 'same-origin' && origin !== undefined && allowed.includes(origin))
}

function isSameOrigin (request: FastifyRequest, origin: string): boolean {
  if (!URL.canParse(origin)) return false
  const { protocol, host } = new URL(origin)
  // Parsed with the scheme of the page: a proxy may add that scheme's default port, or change the case of the host.
  const own = `${protocol}//${request.host}`
  return URL.canParse(own) && new URL(own).host === host
}
