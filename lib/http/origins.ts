import type { FastifyRequest } from 'fastify'

/** Whose pages are welcome: `stream.allowedOrigins`. */
export type AllowedOrigins = 'same-origin' | '*' | readonly string[]

/** Types of a body that a browser sends to another origin without asking it first (a preflight of CORS); none is one of them. */
const SIMPLE_TYPES = new Set(['', 'text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data'])

/** Whether a page of this origin may open a WebSocket. */
export function isAllowedOrigin (request: FastifyRequest, allowed: AllowedOrigins): boolean {
  const { origin } = request.headers
  // Browsers always send it. Another client has no cookies of a user to misuse.
  if (origin === undefined || allowed === '*') return true
  return allowed === 'same-origin' ? isSameOrigin(request, origin) : allowed.includes(origin)
}

/**
 * Whether a page of another site may have made the browser send a request that changes something, with the cookies of its user,
 * and nobody has allowed it: neither the host's CORS, which is asked by a preflight, nor `allowed`.
 */
export function isForged (request: FastifyRequest, allowed: AllowedOrigins): boolean {
  return request.method === 'POST' && !isPreflighted(request) && !isFromOurPages(request) && !isListed(request, allowed)
}

/** What a page alone cannot have caused, because the browser had to ask first. */
function isPreflighted ({ headers }: FastifyRequest): boolean {
  const type = (headers['content-type'] ?? '').split(';', 1)[0]!.trim().toLowerCase()
  // A browser adds credentials to this header by itself, but no token.
  return !SIMPLE_TYPES.has(type) || /^bearer /i.test(headers.authorization ?? '')
}

/**
 * `Sec-Fetch-Site` says it where there is one: the origin of a page that names no referrer is `null`, and a proxy may have changed
 * the host. `same-site` is another origin, `none` is the user or an extension.
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
  // A proxy may name the default port of the page's scheme, or the host in another case: a browser does neither.
  const asked = `${protocol}//${request.host}`
  return URL.canParse(asked) && new URL(asked).host === host
}
