import { Type, type Static, type TSchema } from '@sinclair/typebox'
import { Ajv, type ErrorObject } from 'ajv'
import { errors } from './errors.ts'

const ms = (description: string, fallback: number, minimum = 1) =>
  Type.Integer({ description, default: fallback, minimum, maximum: 2_147_483_647 })
const seconds = (description: string, fallback: number) => Type.Integer({ description, default: fallback, minimum: 1, maximum: 31_536_000 })
const most = (description: string, fallback: number) => Type.Integer({ description: `${description}; 0 = off`, default: fallback, minimum: 0 })
const group = <T extends Record<string, TSchema>>(properties: T, description: string) =>
  Type.Object(properties, { description, default: {}, additionalProperties: false })
const given = (description: string, rule: object = {}) => Type.Optional(Type.Unsafe<unknown>({ description, ...rule }))
const func = (description: string) => given(description, { isFunction: true })

export const RetentionSchema = group({
  task: seconds('Seconds that a finished task and its chart are kept', 86_400),
  status: seconds('Seconds that the step-by-step details of a finished task are kept; at most `task`', 3_600),
  messageIndex: seconds("Seconds that a message's index is kept after its last task has ended; at least `task`", 86_400)
}, 'How long finished tasks are kept; nothing unfinished ever expires')

export const RetrySchema = group({
  attempts: Type.Integer({ description: 'Total number of tries', default: 3, minimum: 1, maximum: 1_000 }),
  backoff: group({
    type: Type.Unsafe<'fixed' | 'exponential'>({ type: 'string', enum: ['fixed', 'exponential'], default: 'exponential', description: 'Whether the wait doubles with every try' }),
    delay: ms('ms before the second try', 1_000, 0),
    max: ms('ms, the longest wait between two tries', 60_000, 0),
    jitter: Type.Number({ description: 'The part of the wait that chance may take away, 0 to 1', default: 0.5, minimum: 0, maximum: 1 })
  }, 'The wait between two tries')
}, 'How often a chart is tried')

export const LimitsSchema = group({
  waitingPerTenant: most('Waiting tasks of one tenant', 1_000),
  runningPerTenant: most('Running tasks of one tenant', 0),
  queueLength: most('Waiting tasks altogether', 10_000),
  requestBytes: most('Bytes of a request', 65_536),
  chartBytes: most('Bytes of a chart as JSON', 1_048_576)
}, 'What one tenant, one request and one chart may take')

const workerProperties = {
  concurrency: Type.Integer({ description: 'Charts generated at a time', default: 2, minimum: 1, maximum: 10_000 }),
  leaseDuration: ms('ms after which the tasks of a dead worker run again', 10_000, 100),
  attemptTimeout: ms('ms that one try may take', 600_000),
  shutdownTimeout: ms('ms that running charts get to finish in a drain', 25_000, 0)
}

export const StreamSchema = group({
  heartbeat: ms('ms between signs of life on a quiet stream', 15_000, 50),
  poll: ms('ms between reads of the store while hints do not arrive', 2_000, 50),
  maxPerUser: most('Streams of one user in this process', 20),
  maxDuration: ms('ms after which a stream ends, so that who reconnects is identified again', 900_000, 100),
  allowedOrigins: Type.Unsafe<'same-origin' | '*' | string[]>({
    description: "Origins whose pages may open a WebSocket: 'same-origin', '*', or a list of origins",
    default: 'same-origin',
    anyOf: [{ type: 'string', enum: ['same-origin', '*'] }, { type: 'array', items: { type: 'string' } }]
  })
}, 'SSE and WebSocket')

const storeProperties = {
  redis: given('An ioredis Redis or Cluster that the host owns; the package works on duplicates of it', { hasMethods: ['duplicate', 'evalsha', 'blpop'] }),
  store: given('Instead of `redis`: `memoryStore()`, or any object that passes the store conformance suite', { hasMethods: ['enqueue', 'dequeue', 'closeLeases', 'listen'] }),
  keyPrefix: Type.String({ description: 'Start of every Redis key and channel, as one hash tag', default: 'async-charts', minLength: 1, maxLength: 200, pattern: '^[^{}\\s]+$' }),
  limits: LimitsSchema,
  chartStore: given('Where finished charts live, `{ save, get, findByMessage, delete? }`; by default beside the tasks', { hasMethods: ['save', 'get', 'findByMessage'] }),
  logger: given('Any pino-compatible logger', { hasMethods: ['debug', 'info', 'warn', 'error', 'child'] })
}

export const ServiceOptionsSchema = Type.Object({
  ...storeProperties,
  retention: RetentionSchema,
  retry: RetrySchema,
  leaseDuration: workerProperties.leaseDuration,
  poll: StreamSchema.properties.poll,
  paramsSchema: given("JSON Schema of `params`, the host's own input to its generator; without it, `params` is refused", { type: 'object' }),
  onFinished: func('Called after a task has ended, in the process that ended it; at least once')
}, { additionalProperties: false })

export const WorkerOptionsSchema = Type.Object({
  ...storeProperties,
  ...workerProperties,
  generate: func('The chart generator'),
  onFinished: ServiceOptionsSchema.properties.onFinished,
  handleSignals: Type.Boolean({ description: 'Whether SIGTERM and SIGINT drain; a second one ends the process', default: true })
}, { additionalProperties: false })

/** The plugin's `worker`. */
export const InProcessWorkerSchema = group(workerProperties, 'The worker in this process')

export const PluginOptionsSchema = Type.Object({
  ...storeProperties,
  identify: func('`(request) => Identity | null`: who is asking; null is answered with 401'),
  authorize: func('`(identity, access, request) => boolean`: asked after ownership, can only narrow it'),
  generate: func('The chart generator; with it, this process also works tasks'),
  worker: Type.Optional(Type.Unsafe<false | object>({ description: 'The worker in this process, or false', anyOf: [{ const: false }, { type: 'object' }] })),
  paramsSchema: ServiceOptionsSchema.properties.paramsSchema,
  onFinished: ServiceOptionsSchema.properties.onFinished,
  prefix: Type.String({ description: 'Where the routes hang', default: '/api/v1/analytics', pattern: '^(/[^/]+)*$' }),
  retention: RetentionSchema,
  retry: RetrySchema,
  stream: StreamSchema
}, { additionalProperties: false })

export type ResolvedServiceOptions = Static<typeof ServiceOptionsSchema>
export type WorkerSettings = Static<typeof InProcessWorkerSchema>
export type ResolvedWorkerOptions = Static<typeof WorkerOptionsSchema>
export type ResolvedPluginOptions = Static<typeof PluginOptionsSchema>
export type ResolvedStreamOptions = Static<typeof StreamSchema>
export type ResolvedLimits = Static<typeof LimitsSchema>

const ajv = new Ajv({ useDefaults: true, allErrors: false, strict: false, verbose: true })
ajv.addKeyword({ keyword: 'isFunction', validate: (_rule: unknown, value: unknown) => typeof value === 'function', error: { message: 'must be a function' } })

ajv.addKeyword({
  keyword: 'hasMethods',
  validate: (methods: string[], value: unknown) => typeof value === 'object' && value !== null && methods.every(method => typeof (value as Record<string, unknown>)[method] === 'function'),
  error: { message: error => `must have the methods ${error.schema.join(', ')}` }
})

const invalid = (message: string) => new errors.CHARTS_ERR_INVALID_OPTIONS(message)

function shown (value: unknown): string {
  if (typeof value === 'function') return 'a function'
  if (typeof value === 'bigint' || typeof value === 'symbol') return String(value)
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return 'an object'
  return JSON.stringify(value) ?? 'undefined'
}

function explain (error: ErrorObject, at: string): string {
  const path = `${at}${error.instancePath.replaceAll('/', '.')}`
  if (error.keyword === 'additionalProperties') {
    const known = Object.keys(error.parentSchema?.['properties'] ?? {}).join(', ')
    return `${path}.${error.params['additionalProperty']} is not an option; known are ${known}`
  }
  if (error.keyword === 'anyOf') return `${path} is wrong (${error.parentSchema?.['description']}), got ${shown(error.data)}`
  const rule = error.keyword === 'enum' ? `must be one of ${error.params['allowedValues'].join(', ')}` : error.message
  return `${path} ${rule}, got ${shown(error.data)}`
}

/** Defaults are filled into copies: the host may use its own object again. */
function copy (value: unknown, schema: TSchema): unknown {
  const properties = schema['properties'] as Record<string, TSchema> | undefined
  if (!properties || typeof value !== 'object' || value === null || Array.isArray(value)) return value
  const entries = Object.entries(value).filter(([, member]) => member !== undefined)
  return Object.fromEntries(entries.map(([key, member]) => [key, key in properties ? copy(member, properties[key]!) : member]))
}

interface CrossChecked {
  redis?: unknown
  store?: unknown
  retention?: Static<typeof RetentionSchema>
}

function checkAcross ({ redis, store, retention }: CrossChecked): void {
  if ((redis == null) === (store == null)) {
    throw invalid(`exactly one of options.redis and options.store must be given, got ${redis == null ? 'neither' : 'both'}`)
  }
  if (!retention) return
  const { task, status, messageIndex } = retention
  if (status > task) throw invalid(`options.retention.status must be at most options.retention.task (${task}), got ${status}`)
  if (messageIndex < task) throw invalid(`options.retention.messageIndex must be at least options.retention.task (${task}), got ${messageIndex}`)
}

/**
 * Fills in the defaults and checks options, across fields too.
 * @throws CHARTS_ERR_INVALID_OPTIONS with the path, the rule and what was given.
 */
export function resolveOptions<T extends TSchema> (schema: T, options: unknown, at = 'options'): Static<T> {
  const resolved = copy(options ?? {}, schema)
  const validate = ajv.compile(schema)
  if (!validate(resolved)) throw invalid(explain(validate.errors!.at(-1)!, at))
  if ('redis' in schema['properties']) checkAcross(resolved as CrossChecked)
  return resolved as Static<T>
}
