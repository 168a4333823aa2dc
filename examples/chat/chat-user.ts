import { randomUUID } from 'node:crypto'
import type { Identify } from 'fastify-async-charts'
import type { FastifyReply, FastifyRequest } from 'fastify'

const COOKIE = 'chat_user'
const YEAR_SECONDS = 31_536_000

/** Users whose first request this is: its headers do not know them yet. */
const newcomers = new WeakMap<FastifyRequest, string>()

function userOf (request: FastifyRequest): string | null {
  const { headers } = request
  return newcomers.get(request) ?? /(?:^|; )chat_user=([\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12})(?:;|$)/.exec(headers.cookie ?? '')?.[1] ?? null
}

/** Gives a new user an id that nobody can guess. The cookie is all there is to an account here. */
export function welcome (request: FastifyRequest, reply: FastifyReply): void {
  if (userOf(request) !== null) return
  const secure = request.protocol === 'https' ? '; Secure' : ''
  const user_id = randomUUID()
  newcomers.set(request, user_id)
  reply.header('set-cookie', `${COOKIE}=${user_id}; Path=/; Max-Age=${YEAR_SECONDS}; HttpOnly; SameSite=Lax${secure}`)
}

/** A host would read its session or check its token here. */
export const identify: Identify = request => {
  const user_id = userOf(request)
  return user_id === null ? null : { user_id }
}
