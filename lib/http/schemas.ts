import { Type, type TProperties, type TSchema } from '@sinclair/typebox'
import { BULK_CURSOR, BULK_LIMIT, MAX_NAMED_TASKS } from '../service/bulk.ts'
import { HISTORY_MINUTES } from '../service/monitoring.ts'
import { ERROR_CODE, MAX_CURSOR_LENGTH } from '../service/task-list.ts'
import { ChartPriority, ChartSchema, ChartStatus, ChartTaskSchema, ChartVisibility, MAX_ID_LENGTH, Uuid } from '../task.ts'
import { NamedSchemas } from './named-schemas.ts'

/** What groups the routes in the host's OpenAPI document. */
export const TAGS = { user: 'charts', operator: 'charts-admin' } as const

export const TaskParams = Type.Object({ task_id: Uuid })
export const BatchParams = Type.Object({ batch_id: Uuid })
export const MessageParams = Type.Object({ message_id: Uuid })
// Optional, with their defaults filled in: a generated client must not have to give them.
export const MessageQuery = Type.Object({
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 100, default: 50, description: 'Maximum number of charts, of active tasks and of failed tasks' })),
  content: Type.Optional(Type.Boolean({ default: true, description: '`false` omits the contents of the charts' }))
})
/**
 * Two of it are none: a refusal would stop an `EventSource` for good. The `Last-Event-ID` header is not a parameter of its own: in
 * generated code the two would have one name, and clients of server-sent events send the header by themselves.
 */
export const StreamQuery = Type.Object({
  last_event_id: Type.Optional(Type.Union([Type.String(), Type.Array(Type.String())], {
    description: 'The `id` of the last event that you have, or a `Stream-Cursor`. The header `Last-Event-ID`, which clients send when they reconnect, goes before it'
  }))
})

const requestHeaders = {
  Prefer: '`wait=10`: answer when the chart has ended, or after so many seconds, 30 at most',
  'Idempotency-Key': 'A key of your choice: repeated with it, the same request is the same task',
  'If-None-Match': 'The `ETag` of the answer that you have'
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

const nullable = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()])
const oneOf = (values: Record<string, string>, description: string) => Type.Unsafe<string>({ type: 'string', enum: Object.values(values), description })
const ref = (name: string) => Type.Unsafe<unknown>(NamedSchemas.ref(name))
const extended = (name: string, properties: TProperties, description: string) => ({ allOf: [ref(name), Type.Object(properties)], description })
const Timestamp = Type.String({ format: 'date-time' })
const owner = { user_id: Type.String(), org_id: nullable(Type.String()) }
const message = Type.String({ description: 'What came of the request, in words' })
const shared = { status: ref('ChartStatus'), visibility: ref('ChartVisibility') }
const Count = Type.Integer({ minimum: 0 })
const percentiles = (description: string) => Type.Object({ p50: nullable(Count), p95: nullable(Count) }, { description })
// OpenAPI 3.0 has no `patternProperties`.
const steps = Type.Object({}, { additionalProperties: Type.Integer({ minimum: 0, maximum: 100 }), description: 'How far each step is that the generator has reported' })
const chart = { ...ChartSchema.properties, visibility: shared.visibility }

/** The bodies of responses, by the names that they have in the host's OpenAPI document. */
const schemas = new NamedSchemas({
  ChartStatus: oneOf(ChartStatus, 'COMPLETED, FAILED and CANCELLED are final'),
  ChartVisibility: oneOf(ChartVisibility, 'Who may read the finished chart by its result route'),
  ChartPriority: oneOf(ChartPriority, 'Which tasks go first'),
  ChartTask: Type.Object({ ...ChartTaskSchema.properties, ...shared, step_progress: steps }, { description: 'A chart that is asked for, and how it is doing' }),
  AnsweredChartTask: extended('ChartTask', { message }, 'The task, and what came of the request'),
  OperatorChartTask: extended('ChartTask', owner, 'The task and its owner'),
  AnsweredOperatorChartTask: extended('OperatorChartTask', { message }, 'The task, its owner, and what came of the request'),
  Chart: Type.Object(chart, { description: 'A finished chart; `content` is what the generator returned' }),
  ListedChart: Type.Object({ ...chart, content: Type.Optional(chart.content) }, { description: 'A finished chart, with its `content` where that was asked for' }),
  MessageCharts: Type.Object({
    charts: Type.Array(ref('ListedChart')),
    active_tasks: Type.Array(ref('ChartTask')),
    has_active_tasks: Type.Boolean(),
    failed_tasks: Type.Array(ref('ChartTask')),
    content_complete: Type.Boolean({ description: '`false`: contents of more than 8 MiB were left out, those of the oldest charts' })
  }, { description: 'The charts of a message, and its tasks that are active or have failed; newest first' }),
  Batch: Type.Object({
    batch_id: Uuid,
    total: Type.Integer(),
    counts: Type.Object(Object.fromEntries(Object.values(ChartStatus).map(status => [status, Type.Integer()])), { description: 'How many tasks have each status' }),
    progress: Type.Integer({ minimum: 0, maximum: 100, description: 'Of all its tasks' }),
    tasks: Type.Array(ref('ChartTask'), { description: 'In the order asked, those that are still kept' })
  }, { description: 'Charts that were asked for together' }),
  CreatedBatch: Type.Object({ batch_id: Uuid, tasks: Type.Array(ref('AnsweredChartTask'), { description: 'In the order asked' }) }, { description: 'A batch that was accepted' }),
  ChartUpdate: Type.Object({
    type: Type.Unsafe<'status_update'>({ type: 'string', enum: ['status_update'] }),
    data: ref('ChartTask')
  }, { description: 'The `data` of a server-sent event: the whole task, as it is now' }),
  QueueStats: Type.Object({
    queue_length: Type.Integer({ description: 'Tasks that wait for a worker' }),
    processing_count: Type.Integer({ description: 'Tasks that run' }),
    delayed_count: Type.Integer({ description: 'Tasks that wait for a time or for other tasks' }),
    oldest_waiting_at: nullable(Timestamp),
    paused: Type.Boolean(),
    updated_at: Timestamp
  }, { description: 'How busy the queue is' }),
  OperatorChartTaskPage: Type.Object({
    tasks: Type.Array(ref('OperatorChartTask')),
    cursor: nullable(Type.String({ description: 'For the next page; null after the last' }))
  }, { description: 'A page of the tasks of everybody' }),
  ChartAttempt: Type.Object({
    attempt: Type.Integer(),
    lease: Type.Integer(),
    worker_id: Type.String(),
    started_at: Timestamp,
    ended_at: nullable(Timestamp),
    outcome: nullable(Type.Unsafe<string>({ type: 'string', enum: ['completed', 'failed', 'released', 'expired', 'cancelled'], description: 'Null while it runs' })),
    last_step: Type.String(),
    progress: Type.Integer(),
    error_code: nullable(Type.String()),
    error_message: nullable(Type.String())
  }, { description: 'One attempt at a task' }),
  ChartTaskDetails: Type.Object({
    task: ref('OperatorChartTask'),
    request: Type.Object({}, { additionalProperties: true, description: 'What the generator is given' }),
    priority: ref('ChartPriority'),
    run_at: nullable(Timestamp),
    depends_on: Type.Array(Uuid),
    batch_ids: Type.Array(Uuid),
    retried_as: nullable(Uuid),
    weight: Type.Integer({ description: 'Turns of its tenant in a round' }),
    trace: Type.Optional(Type.Object({ traceparent: Type.String(), tracestate: Type.Optional(Type.String()) }, { description: 'Where it was asked for, if that was traced: W3C Trace Context' })),
    attempts: Type.Array(ref('ChartAttempt'), { description: 'The latest 20, oldest first' })
  }, { description: 'All that is known of a task' }),
  ChartWorker: Type.Object({
    worker_id: Type.String(),
    host: Type.String(),
    pid: Type.Integer(),
    version: Type.String({ description: 'Of this package' }),
    concurrency: Type.Integer({ minimum: 1 }),
    state: Type.Unsafe<string>({ type: 'string', enum: ['running', 'draining'], description: '`draining`: it takes no more tasks' }),
    started_at: Timestamp,
    last_seen_at: Timestamp,
    running: Type.Array(Type.Object({
      task_id: Uuid,
      message_id: Uuid,
      attempt: Type.Integer({ minimum: 1 }),
      current_step: Type.String(),
      progress: Type.Integer({ minimum: 0, maximum: 100 }),
      started_at: Timestamp
    }), { description: '100 at most' }),
    running_count: Count
  }, { description: 'A worker, and the attempts that run in it' }),
  ChartWorkers: Type.Object({
    workers: Type.Array(ref('ChartWorker'), { description: 'By host, then by when they started' }),
    complete: Type.Boolean({ description: '`false`: there are more workers than 1,000, or more running attempts than were looked at' }),
    updated_at: Timestamp
  }, { description: 'The workers that there are' }),
  ChartDurations: Type.Object({
    count: Count,
    sum: Type.Integer({ minimum: 0, description: 'ms, all together' }),
    buckets: Type.Array(Count, { description: 'How many there are up to each of the bounds, and above the last' })
  }, { description: 'How long things took' }),
  ChartHistoryMinute: Type.Object({
    at: Type.String({ format: 'date-time', description: 'When the minute began' }),
    created: Count,
    started: Type.Integer({ minimum: 0, description: 'Attempts' }),
    completed: Count,
    cancelled: Count,
    failed: Type.Object({}, { additionalProperties: Count, description: 'By error code; `other` has those beyond the first 20' }),
    wait: ref('ChartDurations'),
    run: ref('ChartDurations')
  }, { description: 'What happened within a minute' }),
  ChartQueueHistory: Type.Object({
    minutes: Type.Array(ref('ChartHistoryMinute'), { description: 'All of the range, the oldest first' }),
    bounds: Type.Array(Count, { description: 'Upper bounds of the buckets, in ms' }),
    totals: Type.Object({
      created: Count,
      started: Count,
      completed: Count,
      cancelled: Count,
      failed: Count,
      wait: percentiles('ms from the creation of a task to its first attempt'),
      run: percentiles('ms from the first attempt of a task to its completion')
    }),
    updated_at: Timestamp
  }, { description: 'What has become of tasks, minute by minute' }),
  ChartFailures: Type.Object({
    failures: Type.Array(Type.Object({
      error_code: Type.String(),
      count: Count,
      last_failed_at: Timestamp,
      tasks: Type.Array(Type.Object({
        task_id: Uuid,
        message_id: Uuid,
        error_message: nullable(Type.String()),
        completed_at: nullable(Timestamp)
      }), { description: 'The latest five that are still kept' })
    }), { description: 'The most first, 100 codes at most' }),
    updated_at: Timestamp
  }, { description: 'Failures by their error codes' }),
  ChartBulkResult: Type.Object({
    matched: Type.Integer({ minimum: 0, description: 'Tasks that fit, of those that were looked at' }),
    done: Type.Integer({ minimum: 0, description: 'Those that were run again, or cancelled' }),
    cursor: nullable(Type.String({ description: 'For the next request; null where nothing is left' })),
    skipped: Type.Array(Type.Object({ task_id: Uuid, code: Type.String() }), { description: 'Why others were not, 20 at most' })
  }, { description: 'What came of it' }),
  Error: Type.Object({
    statusCode: Type.Integer(),
    code: Type.String({ description: 'Stable, for programs' }),
    error: Type.String({ description: 'The name of the status' }),
    message: Type.String({ description: 'For people' })
  }, { description: 'Why a request was refused' })
}, [
  { name: TAGS.user, description: 'Charts that are generated in the background' },
  { name: TAGS.operator, description: 'The chart queue, for those whom `authorize` allows to `monitor`' }
])

/** Puts the schemas that routes refer to into the host's OpenAPI document. */
export const enterSchemas = schemas.enter

/**
 * With the headers that may come with it. Not enumerable: @fastify/swagger asks for `headers` by name, and a validator that goes
 * through the keywords of a schema refuses one that it does not know.
 */
const sending = <T extends object>(schema: T, ...names: Array<keyof typeof responseHeaders>): T =>
  Object.defineProperty(schema, 'headers', { value: Object.fromEntries(names.map(name => [name, responseHeaders[name]])), enumerable: false })

/** References from a schema to parts of itself, with its id in them. */
function absolute (schema: unknown, id: string): unknown {
  if (Array.isArray(schema)) return schema.map(member => absolute(member, id))
  if (typeof schema !== 'object' || schema === null) return schema
  return Object.fromEntries(Object.entries(schema).map(([key, value]) => {
    if (key === '$ref' && typeof value === 'string' && value.startsWith('#')) return [key, `${id}${value}`]
    // What has an id of its own refers to parts of itself, too.
    return [key, typeof value?.$id === 'string' ? value : absolute(value, id)]
  }))
}

/** A host's schema of `params`, as part of ours: where it refers to parts of itself, it still does, also in an OpenAPI document. */
export function embedded (paramsSchema: object, name: string): object {
  if (!JSON.stringify(paramsSchema).includes('"$ref"')) return paramsSchema
  const { $id = name } = paramsSchema as { $id?: string }
  return absolute({ ...paramsSchema, $id }, $id) as object
}

/** A body with the host's own schema of `params`; without one, `params` is refused like any unknown field. */
export function withParams<T extends { properties: { params?: unknown } }> (schema: T, paramsSchema: object | undefined): object {
  const { params: _, ...own } = schema.properties
  return { ...schema, properties: paramsSchema ? { ...own, params: paramsSchema } : own }
}

const filterFields = {
  status: Type.Optional(Type.Unsafe<ChartStatus>({ type: 'string', enum: Object.values(ChartStatus) })),
  user_id: Type.Optional(Type.String({ minLength: 1, maxLength: MAX_ID_LENGTH })),
  org_id: Type.Optional(Type.String({ minLength: 1, maxLength: MAX_ID_LENGTH })),
  error_code: Type.Optional(Type.String({ pattern: ERROR_CODE, description: 'Of FAILED tasks' })),
  created_after: Type.Optional(Type.String({ format: 'date-time', description: 'Created then or later' })),
  created_before: Type.Optional(Type.String({ format: 'date-time', description: 'Created earlier' }))
}

export const ListQuery = Type.Object({
  ...filterFields,
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 100, default: 50, description: 'Maximum number of tasks in a page' })),
  cursor: Type.Optional(Type.String({ minLength: 1, maxLength: MAX_CURSOR_LENGTH, description: 'The `cursor` of the page before' }))
}, { additionalProperties: false })

/** `usual`: minutes of the range where none is asked for. */
export const minutesQuery = (usual: number) => Type.Object({
  minutes: Type.Optional(Type.Integer({ minimum: 1, maximum: HISTORY_MINUTES.max, default: usual, description: 'Minutes of the range, the current one included' }))
}, { additionalProperties: false })

export const BulkBody = Type.Object({
  filter: Type.Object({
    task_ids: Type.Optional(Type.Array(Uuid, { minItems: 1, maxItems: MAX_NAMED_TASKS })),
    ...filterFields
  }, { additionalProperties: false, minProperties: 1, description: 'Tasks that fit all that is named' }),
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: BULK_LIMIT.max, default: BULK_LIMIT.usual, description: 'Maximum number of tasks' })),
  cursor: Type.Optional(nullable(Type.String({ pattern: BULK_CURSOR, description: 'Where the request before ended' })))
}, { additionalProperties: false })

const body = (name: string, description?: string) => schemas.root(name, description)
const refusals: Readonly<Record<number, string>> = {
  400: 'The request is not valid',
  401: 'Nobody was identified',
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
const refused = (...codes: number[]) => Object.fromEntries(codes.map(code => {
  const error = body('Error', refusals[code])
  return [code, code === 429 || code === 503 ? sending(error, 'Retry-After') : error]
}))
/** The schema is that of one event's `data`, which is what generated clients hand out. */
const events = () => ({ description: 'Server-sent events. The `data` of each is a ChartUpdate, its `id` what `last_event_id` takes; the last has a finished task', content: { 'text/event-stream': { schema: body('ChartUpdate') } } })

export const responses = {
  create: {
    200: sending(body('AnsweredChartTask', 'The chart exists already, or the task of this Idempotency-Key has ended'), 'Location', 'Preference-Applied', 'Idempotent-Replayed'),
    202: sending(body('AnsweredChartTask', 'Queued, or in progress already'), 'Location', 'Retry-After', 'Preference-Applied', 'Idempotent-Replayed'),
    ...refused(400, 401, 403, 409, 413, 415, 422, 429, 503)
  },
  createBatch: {
    202: sending(body('CreatedBatch', 'Accepted, in the order asked'), 'Location', 'Idempotent-Replayed'),
    ...refused(400, 401, 403, 409, 413, 415, 422, 429, 503)
  },
  batch: { 200: body('Batch'), ...refused(400, 401, 404, 503) },
  cancelBatch: { 200: body('Batch'), ...refused(400, 401, 404, 413, 415, 503) },
  status: {
    200: sending(body('ChartTask'), 'ETag', 'Retry-After', 'Preference-Applied'),
    304: sending(Type.Null({ description: 'Not changed' }), 'ETag', 'Retry-After', 'Preference-Applied'),
    ...refused(400, 401, 404, 503)
  },
  result: {
    200: sending(body('Chart'), 'Preference-Applied'),
    ...refused(400, 401, 404, 410, 503),
    409: sending(body('Error', 'Not finished, failed or cancelled'), 'Retry-After', 'Preference-Applied')
  },
  cancel: { 200: body('ChartTask', 'The cancelled task'), ...refused(400, 401, 404, 409, 413, 415, 503) },
  message: { 200: sending(body('MessageCharts'), 'Stream-Cursor'), ...refused(400, 401, 404, 503) },
  stats: { 200: body('QueueStats'), ...refused(401, 403, 503) },
  pause: { 200: body('QueueStats'), ...refused(400, 401, 403, 413, 415, 503) },
  list: { 200: body('OperatorChartTaskPage'), ...refused(400, 401, 403, 503) },
  workers: { 200: body('ChartWorkers'), ...refused(401, 403, 503) },
  history: { 200: body('ChartQueueHistory'), ...refused(400, 401, 403, 503) },
  failures: { 200: body('ChartFailures'), ...refused(400, 401, 403, 503) },
  bulk: { 200: body('ChartBulkResult'), ...refused(400, 401, 403, 413, 415, 503) },
  inspect: { 200: body('ChartTaskDetails'), ...refused(400, 401, 403, 404, 503) },
  retry: {
    200: body('AnsweredOperatorChartTask', 'The chart exists already'),
    202: body('AnsweredOperatorChartTask', 'Queued, or in progress already'),
    ...refused(400, 401, 403, 404, 409, 413, 415, 429, 503)
  },
  cancelAny: { 200: body('OperatorChartTask', 'The cancelled task'), ...refused(400, 401, 403, 404, 409, 413, 415, 503) },
  stream: {
    200: events(),
    204: Type.Null({ description: 'The finished task has been seen already: nothing follows' }),
    ...refused(400, 401, 404)
  },
  socket: { 426: sending(body('Error', 'The request is no WebSocket handshake. After one, each message of the server is a ChartTask'), 'Upgrade'), ...refused(400, 401, 403, 404) }
}
