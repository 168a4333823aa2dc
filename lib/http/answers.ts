import type { FastifyInstance, FastifyReply, FastifyRequest, FastifySchema } from 'fastify'
import type { EnqueueResult } from '../service/queue-service.ts'
import { ChartStatus, type ChartTask } from '../task.ts'
import { TAGS } from './schemas.ts'

/** What came of a request for a chart, in words. */
export function messageOf (task: ChartTask, outcome: EnqueueResult['outcome']): string {
  switch (task.status) {
    case ChartStatus.COMPLETED: return outcome === 'queued' ? 'Chart generated successfully' : 'Chart already exists'
    case ChartStatus.FAILED: return 'Chart generation has failed'
    case ChartStatus.CANCELLED: return 'Chart generation was cancelled'
    default: return outcome === 'queued' ? 'Chart generation queued successfully' : 'Chart generation already in progress'
  }
}

/** The caller's key; quoted, as the draft of the header has it, or bare. */
export function idempotencyKeyOf (request: FastifyRequest): string | undefined {
  const header = request.headers['idempotency-key']
  if (header === undefined) return undefined
  // Node joins two of them to one, which neither of them was.
  const isOne = request.raw.rawHeaders.filter((name, i) => i % 2 === 0 && name.toLowerCase() === 'idempotency-key').length === 1
  // An empty one is refused by the service, which knows the rule.
  return isOne && typeof header === 'string' ? /^"(.*)"$/.exec(header)?.[1] ?? header : ''
}

/** The path as the caller has written it: a host's prefix may have parameters. */
export function pathOf (request: FastifyRequest): string {
  return request.originalUrl.split('?', 1)[0]!.replace(/\/+$/, '')
}

export interface Describe {
  (operationId: string, summary: string, schema: FastifySchema, tag?: string): FastifySchema
  /** A name that must be unique in a document. */
  readonly unique: (name: string) => string
  /** What a described route is called, whichever registration of the host's it is part of. */
  readonly nameOf: (schema: FastifySchema) => string
}

const registrations = new WeakMap<object, number>()

/**
 * Describes routes for the host's @fastify/swagger, whose types are not ours to import. An operationId is unique in a document: what
 * a host registers a second time has a 2 behind it.
 */
export function describer (fastify: FastifyInstance): Describe {
  const ordinal = (registrations.get(fastify.server) ?? 0) + 1
  registrations.set(fastify.server, ordinal)
  const suffix = ordinal === 1 ? '' : `${ordinal}`
  const unique = (name: string) => `${name}${suffix}`
  const nameOf = (schema: FastifySchema) => {
    const { operationId } = schema as { operationId: string }
    return operationId.slice(0, operationId.length - suffix.length)
  }
  const describe = (operationId: string, summary: string, schema: FastifySchema, tag: string = TAGS.user) =>
    Object.assign({ operationId: unique(operationId), summary, tags: [tag] }, schema)
  return Object.assign(describe, { unique, nameOf })
}

/** As it is: what has been read from the store is not judged again. */
export function sendJson (reply: FastifyReply, body: object): FastifyReply {
  return reply.type('application/json; charset=utf-8').send(JSON.stringify(body))
}
