import { randomUUID } from 'node:crypto'
import type { Identify } from 'fastify-async-charts'
import type { FastifyReply, FastifyRequest } from 'fastify'

const COOKIE = 'chat_user'
const A_YEAR = 31_536_000

function userOf ({ headers }: FastifyRequest): string | null {
  return /(?:^|; )chat_user=([\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12})(?:;|$)/.exec(headers.cookie ?? '')?.[1] ?? null
}

/** Gives a newcomer an id that nobody can guess. Who holds the cookie is that user; there is nothing else to know of them. */
export function welcome (request: FastifyRequest, reply: FastifyReply): void {
  if (userOf(request) !== null) return
  const secure = request.protocol === 'https' ? '; Secure' : ''
  reply.header('set-cookie', `${COOKIE}=${randomUUID()}; Path=/; Max-Age=${A_YEAR}; HttpOnly; SameSite=Lax${secure}`)
}

/** Where a host asks its own session, or checks its token. */
export const identify: Identify = request => {
  const user_id = userOf(request)
  return user_id === null ? null : { user_id }
}
