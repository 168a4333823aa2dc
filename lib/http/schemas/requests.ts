import { Type, type TSchema } from '@sinclair/typebox'
import { BULK_CURSOR, BULK_LIMIT, MAX_NAMED_TASKS } from '../../service/bulk.ts'
import { HISTORY_MINUTES } from '../../service/monitoring.ts'
import { ERROR_CODE, MAX_CURSOR_LENGTH } from '../../service/task-list.ts'
import { ChartStatus, MAX_ID_LENGTH, Uuid } from '../../task.ts'

// Parameters with a default are optional as well: a generated client must not have to pass them.

const nullable = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()])

export const TaskParams = Type.Object({ task_id: Uuid })
export const BatchParams = Type.Object({ batch_id: Uuid })
export const MessageParams = Type.Object({ message_id: Uuid })

export const MessageQuery = Type.Object({
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 100, default: 50, description: 'Maximum number of charts, of active tasks and of failed tasks' })),
  content: Type.Optional(Type.Boolean({ default: true, description: '`false` omits the contents of the charts' }))
})

/**
 * Accepts the parameter more than once, and then ignores it: a 400 would stop an EventSource for good. The `Last-Event-ID` header is not
 * described: generated code would give both parameters the same name, and SSE clients send the header by themselves.
 */
export const StreamQuery = Type.Object({
  last_event_id: Type.Optional(Type.Union([Type.String(), Type.Array(Type.String())], {
    description: 'The `id` of the last event that you have, or a `Stream-Cursor`. The `Last-Event-ID` header, which clients send when they reconnect, takes precedence'
  }))
})

const filterFields = {
  status: Type.Optional(Type.Unsafe<ChartStatus>({ type: 'string', enum: Object.values(ChartStatus) })),
  user_id: Type.Optional(Type.String({ minLength: 1, maxLength: MAX_ID_LENGTH })),
  org_id: Type.Optional(Type.String({ minLength: 1, maxLength: MAX_ID_LENGTH })),
  error_code: Type.Optional(Type.String({ pattern: ERROR_CODE, description: 'Of FAILED tasks' })),
  created_after: Type.Optional(Type.String({ format: 'date-time', description: 'Created at this time or later' })),
  created_before: Type.Optional(Type.String({ format: 'date-time', description: 'Created before this time' }))
}

export const ListQuery = Type.Object({
  ...filterFields,
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 100, default: 50, description: 'Maximum number of tasks in a page' })),
  cursor: Type.Optional(Type.String({ minLength: 1, maxLength: MAX_CURSOR_LENGTH, description: 'The `cursor` of the previous page' }))
}, { additionalProperties: false })

/** `defaultMinutes`: the length of the time range if none is asked for. */
export const minutesQuery = (defaultMinutes: number) => Type.Object({
  minutes: Type.Optional(Type.Integer({ minimum: 1, maximum: HISTORY_MINUTES.max, default: defaultMinutes, description: 'Length of the time range in minutes, the current minute included' }))
}, { additionalProperties: false })

export const BulkBody = Type.Object({
  filter: Type.Object({
    task_ids: Type.Optional(Type.Array(Uuid, { minItems: 1, maxItems: MAX_NAMED_TASKS })),
    ...filterFields
  }, { additionalProperties: false, minProperties: 1, description: 'A task matches if it matches every field' }),
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: BULK_LIMIT.max, default: BULK_LIMIT.usual, description: 'Maximum number of tasks' })),
  cursor: Type.Optional(nullable(Type.String({ pattern: BULK_CURSOR, description: 'The `cursor` of the previous response' })))
}, { additionalProperties: false })

const headerDescriptions = {
  Prefer: '`wait=10`: delay the response until the chart has ended, by that many seconds at most; maximum 30',
  'Idempotency-Key': 'A key of your choice: the same request with the same key is the same task',
  'If-None-Match': 'The `ETag` of the response that you have'
}

/** The headers that a route understands. They are described for documents, but not validated. */
export const headers = (...names: Array<keyof typeof headerDescriptions>) =>
  Type.Object(Object.fromEntries(names.map(name => [name, Type.Optional(Type.String({ description: headerDescriptions[name] }))])))
