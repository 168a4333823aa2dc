import { Type, type TSchema } from '@sinclair/typebox'
import { CURSOR } from '../service/task-list.ts'
import { ChartPriority, ChartSchema, ChartStatus, ChartTaskSchema, MAX_ID_LENGTH, Uuid } from '../task.ts'
import { embeddable } from '../validator.ts'

export const TaskParams = Type.Object({ task_id: Uuid })
export const BatchParams = Type.Object({ batch_id: Uuid })
export const MessageParams = Type.Object({ message_id: Uuid })
export const MessageQuery = Type.Object({
  limit: Type.Integer({ minimum: 1, maximum: 100, default: 50, description: 'Most charts and tasks of each kind' }),
  content: Type.Boolean({ default: true, description: 'false leaves the contents of the charts out' })
})
/** Two of it are none: a refusal would stop an `EventSource` for good. */
export const StreamQuery = Type.Object({
  last_event_id: Type.Optional(Type.Union([Type.String(), Type.Array(Type.String())], { description: 'Where the `Last-Event-ID` header cannot be set' }))
})

const requestHeaders = {
  Prefer: '`wait=10`: answer when the chart has ended, or after so many seconds, 30 at most',
  'Idempotency-Key': 'A key of your choice: repeated with it, the same request is the same task',
  'If-None-Match': 'The `ETag` of the answer that you have',
  'Last-Event-ID': 'The `id` of the last event that you have'
}

/** Headers that a route understands. */
export const headers = (...names: Array<keyof typeof requestHeaders>) =>
  Type.Object(Object.fromEntries(names.map(name => [name, Type.Optional(Type.String({ description: requestHeaders[name] }))])))

const responseHeaders = {
  Location: Type.String({ description: 'Where it can be asked for' }),
  'Retry-After': Type.Integer({ description: 'Seconds after which it is worth asking again' }),
  ETag: Type.String({ description: 'For `If-None-Match`' }),
  'Preference-Applied': Type.String({ description: 'What of `Prefer` was done' }),
  'Idempotent-Replayed': Type.String({ description: '`true` where the `Idempotency-Key` was seen before' }),
  Upgrade: Type.String({ description: 'What the route speaks: `websocket`' }),
  'Stream-Cursor': Type.String({ description: 'For `last_event_id` of the stream of the message' })
}

/** With the headers that may come with it; described, not judged. */
const sending = <T extends TSchema>(schema: T, ...names: Array<keyof typeof responseHeaders>): T =>
  ({ ...schema, headers: Object.fromEntries(names.map(name => [name, responseHeaders[name]])) })

const ErrorBody = Type.Object({
  statusCode: Type.Integer(),
  code: Type.String(),
  error: Type.String(),
  message: Type.String()
}, { description: 'Why not; `code` is stable' })
const TaskWithMessage = Type.Composite([ChartTaskSchema, Type.Object({ message: Type.String() })])
const StatsBody = Type.Object({
  queue_length: Type.Integer(),
  processing_count: Type.Integer(),
  delayed_count: Type.Integer(),
  oldest_waiting_at: Type.Union([Type.String({ format: 'date-time' }), Type.Null()]),
  paused: Type.Boolean(),
  updated_at: Type.String({ format: 'date-time' })
})
const MessageBody = Type.Object({
  charts: Type.Array(Type.Composite([Type.Omit(ChartSchema, ['content']), Type.Partial(Type.Pick(ChartSchema, ['content']))])),
  active_tasks: Type.Array(ChartTaskSchema),
  has_active_tasks: Type.Boolean(),
  failed_tasks: Type.Array(ChartTaskSchema),
  content_complete: Type.Boolean({ description: 'false: contents of more than 8 MiB were left out, those of the oldest charts' })
})

const Counts = Type.Object(
  Object.fromEntries(Object.values(ChartStatus).map(status => [status, Type.Integer()])), { description: 'How many tasks have each status' }
)
const BatchBody = Type.Object({
  batch_id: Uuid,
  total: Type.Integer(),
  counts: Counts,
  progress: Type.Integer({ minimum: 0, maximum: 100, description: 'Of all its tasks' }),
  tasks: Type.Array(ChartTaskSchema, { description: 'In the order asked, those that are still kept' })
})

/** A body with the host's own schema of `params`; without one, `params` is refused like any unknown field. */
export function withParams<T extends { properties: { params?: unknown } }> (schema: T, paramsSchema: object | undefined): object {
  const { params: _, ...own } = schema.properties
  return { ...schema, properties: paramsSchema ? { ...own, params: embeddable(paramsSchema) } : own }
}

const nullable = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()])
const Timestamp = Type.String({ format: 'date-time' })
const OperatorTask = Type.Composite([ChartTaskSchema, Type.Object({ user_id: Type.String(), org_id: nullable(Type.String()) })])
const TaskWithOwner = Type.Composite([OperatorTask, Type.Object({ message: Type.String() })])
const TaskPage = Type.Object({
  tasks: Type.Array(OperatorTask),
  cursor: nullable(Type.String({ description: 'For the next page; null after the last' }))
})
const AttemptBody = Type.Object({
  attempt: Type.Integer(),
  lease: Type.Integer(),
  worker_id: Type.String(),
  started_at: Timestamp,
  ended_at: nullable(Timestamp),
  // OpenAPI 3.0 allows null only where the enum names it, too.
  outcome: nullable(Type.Unsafe<string>({ type: 'string', enum: ['completed', 'failed', 'released', 'expired', 'cancelled', null] })),
  last_step: Type.String(),
  progress: Type.Integer(),
  error_code: nullable(Type.String()),
  error_message: nullable(Type.String())
})
const TaskDetails = Type.Object({
  task: OperatorTask,
  request: Type.Object({}, { additionalProperties: true, description: 'What the generator is given' }),
  priority: Type.Unsafe<ChartPriority>({ type: 'string', enum: Object.values(ChartPriority) }),
  run_at: nullable(Timestamp),
  depends_on: Type.Array(Uuid),
  batch_ids: Type.Array(Uuid),
  retried_as: nullable(Uuid),
  weight: Type.Integer({ description: 'Turns of its tenant in a round' }),
  attempts: Type.Array(AttemptBody, { description: 'The latest 20 tries, oldest first' })
})

export const ListQuery = Type.Object({
  status: Type.Optional(Type.Unsafe<ChartStatus>({ type: 'string', enum: Object.values(ChartStatus) })),
  user_id: Type.Optional(Type.String({ minLength: 1, maxLength: MAX_ID_LENGTH })),
  org_id: Type.Optional(Type.String({ minLength: 1, maxLength: MAX_ID_LENGTH })),
  limit: Type.Integer({ minimum: 1, maximum: 100, default: 50, description: 'Most tasks of a page' }),
  cursor: Type.Optional(Type.String({ pattern: CURSOR, description: 'Where the page before ended' }))
}, { additionalProperties: false })

const described = <T extends TSchema>(schema: T, description: string): T => ({ ...schema, description })
const Passing = sending(ErrorBody, 'Retry-After')
const refused = (...codes: number[]) => Object.fromEntries(codes.map(code => [code, code === 429 || code === 503 ? Passing : ErrorBody]))

export const responses = {
  create: {
    200: sending(described(TaskWithMessage, 'The chart exists already, or the task of this Idempotency-Key has ended'), 'Location', 'Preference-Applied', 'Idempotent-Replayed'),
    202: sending(described(TaskWithMessage, 'Queued, or in progress already'), 'Location', 'Retry-After', 'Preference-Applied', 'Idempotent-Replayed'),
    ...refused(400, 401, 403, 409, 413, 415, 422, 429, 503)
  },
  createBatch: {
    202: sending(Type.Object({ batch_id: Uuid, tasks: Type.Array(TaskWithMessage) }, { description: 'Accepted, in the order asked' }), 'Location', 'Idempotent-Replayed'),
    ...refused(400, 401, 403, 409, 413, 415, 422, 429, 503)
  },
  batch: { 200: BatchBody, ...refused(400, 401, 404, 503) },
  cancelBatch: { 200: BatchBody, ...refused(400, 401, 404, 413, 415, 503) },
  status: {
    200: sending(ChartTaskSchema, 'ETag', 'Retry-After', 'Preference-Applied'),
    304: sending(Type.Null({ description: 'Not changed' }), 'ETag', 'Retry-After', 'Preference-Applied'),
    ...refused(400, 401, 404, 503)
  },
  result: {
    200: sending(ChartSchema, 'Preference-Applied'),
    ...refused(400, 401, 404, 410, 503),
    409: sending(ErrorBody, 'Retry-After', 'Preference-Applied')
  },
  cancel: { 200: described(ChartTaskSchema, 'The cancelled task'), ...refused(400, 401, 404, 409, 413, 415, 503) },
  message: { 200: sending(MessageBody, 'Stream-Cursor'), ...refused(400, 401, 404, 503) },
  stats: { 200: StatsBody, ...refused(401, 403, 503) },
  pause: { 200: StatsBody, ...refused(400, 401, 403, 413, 415, 503) },
  list: { 200: TaskPage, ...refused(400, 401, 403, 503) },
  inspect: { 200: TaskDetails, ...refused(400, 401, 403, 404, 503) },
  retry: {
    200: described(TaskWithOwner, 'The chart exists already'),
    202: described(TaskWithOwner, 'Queued, or in progress already'),
    ...refused(400, 401, 403, 404, 409, 413, 415, 429, 503)
  },
  cancelAny: { 200: described(OperatorTask, 'The cancelled task'), ...refused(400, 401, 403, 404, 409, 413, 415, 503) },
  stream: {
    200: { description: 'Server-sent events, each `{ type: "status_update", data: task }`', content: { 'text/event-stream': { schema: Type.String() } } },
    204: Type.Null({ description: 'The finished task has been seen already: nothing follows' }),
    ...refused(400, 401, 404)
  },
  socket: { 426: sending(ErrorBody, 'Upgrade'), ...refused(400, 401, 403, 404) }
}
