import { Type } from '@sinclair/typebox'
import { bodySchemas } from './bodies.ts'

const responseHeaders = {
  Location: Type.String({ description: 'The URL of the task or the batch' }),
  'Retry-After': Type.Integer({ description: 'Seconds after which to ask again' }),
  ETag: Type.String({ description: 'For `If-None-Match`' }),
  'Preference-Applied': Type.String({ description: 'The part of `Prefer` that was applied' }),
  'Idempotent-Replayed': Type.String({ description: '`true` if the `Idempotency-Key` was used before' }),
  Upgrade: Type.String({ description: 'The protocol of the route: `websocket`' }),
  'Stream-Cursor': Type.String({ description: 'For `last_event_id` of the stream of the message' })
}

const refusals: Readonly<Record<number, string>> = {
  400: 'The request is not valid',
  401: 'The caller is not identified',
  403: 'Not allowed',
  404: 'Unknown, no longer kept, or not yours',
  409: 'The state of a task forbids it',
  410: 'The chart is no longer kept',
  413: 'The request is too large',
  415: 'The body is not JSON',
  422: 'The Idempotency-Key was used with another request',
  429: 'Too many charts are waiting already',
  503: 'The queue is full, or its store cannot be reached'
}

/** A response whose body has the named schema. */
export const body = (name: string, description?: string) => bodySchemas.referTo(name, description)

/**
 * Adds the headers that a response may have. Not enumerable: @fastify/swagger reads `headers` by name, and a validator that enumerates
 * the keywords of a schema would refuse it as unknown.
 */
export const withHeaders = <T extends object>(schema: T, ...names: Array<keyof typeof responseHeaders>): T =>
  Object.defineProperty(schema, 'headers', { value: Object.fromEntries(names.map(name => [name, responseHeaders[name]])), enumerable: false })

/** The error responses of a route. */
export const refused = (...codes: number[]) => Object.fromEntries(codes.map(code => {
  const error = body('Error', refusals[code])
  return [code, code === 429 || code === 503 ? withHeaders(error, 'Retry-After') : error]
}))

/** A response without a body. */
export const empty = (description: string) => Type.Null({ description })

/** The responses of an SSE route. The schema is that of the `data` of one event, from which generators make a type. */
export const eventStream = () => ({
  200: {
    description: 'Server-sent events. The `data` of each is a ChartUpdate, its `id` a value for `last_event_id`; the last one has a finished task',
    content: { 'text/event-stream': { schema: body('ChartUpdate') } }
  },
  204: empty('You have already seen the finished task: nothing follows'),
  ...refused(400, 401, 404)
})
