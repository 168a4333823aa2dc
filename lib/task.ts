import { Type, type SchemaOptions, type Static, type TSchema } from '@sinclair/typebox'

/** Any value that JSON can hold. */
export type JsonValue = string | number | boolean | null | JsonValue[] | { [key: string]: JsonValue }

/** The five statuses of a task. COMPLETED, FAILED and CANCELLED are final. */
export const ChartStatus = {
  PENDING: 'PENDING',
  PROCESSING: 'PROCESSING',
  COMPLETED: 'COMPLETED',
  FAILED: 'FAILED',
  CANCELLED: 'CANCELLED'
} as const
export type ChartStatus = (typeof ChartStatus)[keyof typeof ChartStatus]

/** Who may read a finished chart by its result route. */
export const ChartVisibility = {
  PRIVATE: 'PRIVATE',
  ORGANIZATION: 'ORGANIZATION',
  PUBLIC: 'PUBLIC'
} as const
export type ChartVisibility = (typeof ChartVisibility)[keyof typeof ChartVisibility]

/** Which tasks go first. Under full load, of every 21 tasks 16 are high, 4 normal and 1 low: nothing starves. */
export const ChartPriority = { HIGH: 'high', NORMAL: 'normal', LOW: 'low' } as const
export type ChartPriority = (typeof ChartPriority)[keyof typeof ChartPriority]

const nullable = <T extends TSchema>(schema: T, options: SchemaOptions = {}) => Type.Union([schema, Type.Null()], options)
const oneOf = <T extends Record<string, string>>(values: T, options: SchemaOptions = {}) =>
  Type.Unsafe<T[keyof T]>({ type: 'string', enum: Object.values(values), ...options })

/** A plain UUID in any case; `urn:uuid:` is not one. */
const uuid = (description?: string) => Type.String({ pattern: '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$', ...(description && { description }) })
export const Uuid = uuid()
const Timestamp = Type.String({ format: 'date-time' })
const Percent = Type.Integer({ minimum: 0, maximum: 100 })

/** One chart to be generated, as everyone sees it: the routes, SSE and WebSocket all carry this shape. */
export const ChartTaskSchema = Type.Object({
  task_id: Uuid,
  message_id: Uuid,
  chart_id: nullable(Uuid),
  status: oneOf(ChartStatus),
  progress: Percent,
  current_step: Type.String(),
  step_progress: Type.Record(Type.String(), Percent),
  error_message: nullable(Type.String()),
  error_code: nullable(Type.String()),
  created_at: Timestamp,
  started_at: nullable(Timestamp),
  completed_at: nullable(Timestamp),
  estimated_completion: nullable(Timestamp),
  queue_position: Type.Optional(Type.Integer({ minimum: 1, description: 'While it waits for its turn: 1 is the next to be claimed' })),
  visibility: oneOf(ChartVisibility),
  adjustment_query: nullable(Type.String()),
  attempt: Type.Integer({ minimum: 0 }),
  max_attempts: Type.Integer({ minimum: 1 }),
  retry_of: Type.Optional(uuid('The failed task of which this one is the retry, started by an operator')),
  version: Type.Integer({ minimum: 1 })
})

/** The task as it leaves the process: without its owner. */
export type PublicChartTask = Static<typeof ChartTaskSchema>

/** The task with its owner, as the service hands it to the program that embeds it. */
export interface ChartTask extends Omit<PublicChartTask, 'queue_position' | 'retry_of'> {
  /** 1 is the next to be claimed; null where it does not wait for its turn. */
  readonly queue_position: number | null
  /** The failed task of which this one is the retry, started by an operator. */
  readonly retry_of: string | null
  readonly user_id: string
  readonly org_id: string | null
  /** The tasks that it waits for, in the order of the request. */
  readonly depends_on: readonly string[]
}

/** The task as stores keep it: with what estimates are made of. */
export interface StoredTask extends ChartTask {
  /** When `current_step` began, ms since the epoch; for a task that waits for a time, that time. Null if unknown. */
  readonly step_at: number | null
  /** `progress` when `current_step` began. */
  readonly step_from: number
  /** When an attempt last made progress, ms since the epoch; null before. */
  readonly progress_at: number | null
}

/** A finished chart: what the generator returned, and whose it is. */
export const ChartSchema = Type.Object({
  chart_id: Uuid,
  task_id: Uuid,
  message_id: Uuid,
  user_id: Type.String(),
  org_id: nullable(Type.String()),
  visibility: oneOf(ChartVisibility),
  adjustment_query: nullable(Type.String()),
  created_at: Timestamp,
  content: Type.Unsafe<JsonValue>({})
})
export interface Chart<Content = JsonValue> extends Omit<Static<typeof ChartSchema>, 'content'> {
  /** What the generator returned. */
  content: Content
}

/** The body of the create route. */
export const CreateChartRequestSchema = Type.Object({
  message_id: Uuid,
  visibility: Type.Optional(oneOf(ChartVisibility, { default: ChartVisibility.PRIVATE, description: 'Who may read the finished chart by its result route' })),
  force_create: Type.Optional(Type.Boolean({ default: false, description: 'Queues a task even if its chart exists or is in progress' })),
  adjustment_query: Type.Optional(nullable(Type.String(), { default: null })),
  priority: Type.Optional(oneOf(ChartPriority, { default: ChartPriority.NORMAL })),
  run_at: Type.Optional(nullable(Timestamp, { default: null, description: 'Not before this time, at most 30 days ahead' })),
  depends_on: Type.Optional(Type.Array(Uuid, { default: [], maxItems: 20, uniqueItems: true, description: 'Tasks of your own that must be completed first' })),
  supersede: Type.Optional(Type.Boolean({ default: false, description: "Cancels the caller's older active tasks of the message" })),
  params: Type.Optional(Type.Unsafe<JsonValue>({}))
}, { additionalProperties: false })
export type CreateChartRequest = Static<typeof CreateChartRequestSchema>

/** One request of a batch. Others of the batch may name its `ref` in `depends_on`. */
export const BatchedChartRequestSchema = Type.Object({
  ...CreateChartRequestSchema.properties,
  ref: Type.Optional(Type.String({ minLength: 1, maxLength: 64, description: 'A name for `depends_on` of others in the batch' })),
  depends_on: Type.Optional(Type.Array(Type.String({ minLength: 1, maxLength: 64 }), { default: [], maxItems: 20, uniqueItems: true, description: 'task_ids of your own, or refs of this batch' }))
}, { additionalProperties: false })
export type BatchedChartRequest = Static<typeof BatchedChartRequestSchema>

/** Up to 100 charts, accepted together or not at all: the body of the batch route. */
export const BatchRequestSchema = Type.Object({
  tasks: Type.Array(BatchedChartRequestSchema, { minItems: 1, maxItems: 100 })
}, { additionalProperties: false })

/** What the generator is asked for: exactly what the caller sent, with the defaults filled in. `Params` is what `paramsSchema` describes. */
export interface ChartRequest<Params = JsonValue> {
  readonly task_id: string
  readonly message_id: string
  readonly user_id: string
  readonly org_id: string | null
  readonly visibility: ChartVisibility
  readonly force_create: boolean
  readonly adjustment_query: string | null
  readonly params?: Params
}

/** A place in a trace, as W3C Trace Context writes it. */
export interface TraceContext {
  readonly traceparent: string
  readonly tracestate?: string
}

/** The caller. The tenant is `org_id`, or `user_id` where there is none. Both have 1 to 512 characters of well-formed Unicode. */
export interface Identity {
  readonly user_id: string
  readonly org_id?: string | null | undefined
  readonly roles?: readonly string[] | undefined
}

/** Characters of an id that a host chooses. It becomes part of keys. */
export const MAX_ID_LENGTH = 512

/** Whether a value may be an id that a host chooses. A lone surrogate is refused: stores would treat two such ids as one. */
export function isId (value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.length <= MAX_ID_LENGTH && value.isWellFormed()
}

const FINAL: ReadonlySet<ChartStatus> = new Set([ChartStatus.COMPLETED, ChartStatus.FAILED, ChartStatus.CANCELLED])

/** True once a task has ended. It does not change any more. */
export function isFinished (task: { readonly status: ChartStatus }): boolean {
  return FINAL.has(task.status)
}

/** Bytes of the request that a cancelled task keeps. */
export const MAX_KEPT_BYTES = 1_024

export const isLongQuery = (adjustment_query: string | null): boolean => Buffer.byteLength(JSON.stringify(adjustment_query)) > MAX_KEPT_BYTES

/** A cancelled task with its shortened request, so that a task that was read and one made of a hint are equal. */
export function shownCancelled<Task extends ChartTask> (task: Task): Task {
  return task.status === ChartStatus.CANCELLED && isLongQuery(task.adjustment_query) ? { ...task, adjustment_query: null } : task
}
