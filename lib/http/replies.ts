import type { FastifyReply, FastifyRequest } from 'fastify'
import type { EnqueueResult } from '../service/admission.ts'
import { ChartStatus, type ChartTask } from '../task.ts'

/** Sends JSON without a response schema: what was read from the store needs no validation. */
export function sendJson (reply: FastifyReply, body: object): FastifyReply {
  return sendJsonText(reply, JSON.stringify(body))
}

/** Sends a JSON text. */
export function sendJsonText (reply: FastifyReply, json: string): FastifyReply {
  return reply.type('application/json; charset=utf-8').send(json)
}

/** The `message` in the response to a create: what has become of the request. */
export function outcomeMessage (task: ChartTask, outcome: EnqueueResult['outcome']): string {
  switch (task.status) {
    case ChartStatus.COMPLETED: return outcome === 'queued' ? 'Chart generated successfully' : 'Chart already exists'
    case ChartStatus.FAILED: return 'Chart generation has failed'
    case ChartStatus.CANCELLED: return 'Chart generation was cancelled'
    default: return outcome === 'queued' ? 'Chart generation queued successfully' : 'Chart generation already in progress'
  }
}

/** The value of the `Idempotency-Key` header, without the quotes that the draft of the header asks for; undefined without the header. */
export function idempotencyKeyOf (request: FastifyRequest): string | undefined {
  const header = request.headers['idempotency-key']
  if (header === undefined) return undefined
  // Node joins two such headers into one value, which the client sent in neither of them.
  const isSingle = request.raw.rawHeaders.filter((name, i) => i % 2 === 0 && name.toLowerCase() === 'idempotency-key').length === 1
  // The service refuses the empty key.
  return isSingle && typeof header === 'string' ? /^"(.*)"$/.exec(header)?.[1] ?? header : ''
}

/** The path of the request as the client has sent it, without a trailing slash: the base of a `Location`, whatever the host's prefix. */
export function pathOf (request: FastifyRequest): string {
  return request.originalUrl.split('?', 1)[0]!.replace(/\/+$/, '')
}
