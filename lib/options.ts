import { Type, type Static, type TSchema } from '@sinclair/typebox'
import { Ajv, type ErrorObject } from 'ajv'
import { errors } from './errors.ts'
import { paramsSchemaFault } from './params-schema.ts'

const ms = (description: string, fallback: number, minimum = 1) =>
  Type.Integer({ description, default: fallback, minimum, maximum: 2_147_483_647 })
const seconds = (description: string, fallback: number) => Type.Integer({ description, default: fallback, minimum: 1, maximum: 31_536_000 })
const most = (description: string, fallback: number) => Type.Integer({ description: `${description}; 0 = no limit`, default: fallback, minimum: 0 })
const group = <T extends Record<string, TSchema>>(properties: T, description: string) =>
  Type.Object(properties, { description, default: {}, additionalProperties: false })
const given = (description: string, rule: object = {}) => Type.Optional(Type.Unsafe<unknown>({ description, ...rule }))
const func = (description: string) => given(description, { isFunction: true })

export const RetentionSchema = group({
  task: seconds('Seconds that a finished task and its chart are kept', 86_400),
  status: seconds('Seconds that the `step_progress` of a finished task is kept; at most `task`, and as long as that where it is less than the default', 3_600),
  messageIndex: seconds('Seconds that the index of a message is kept after its last task has ended; at least `task`, and as long as that where it is more than the default', 86_400)
}, 'How long finished tasks are kept; nothing unfinished ever expires')

export const RetrySchema = group({
  attempts: Type.Integer({ description: 'Tries in all, the first one included', default: 3, minimum: 1, maximum: 1_000 }),
  backoff: group({
    type: Type.Unsafe<'fixed' | 'exponential'>({ type: 'string', enum: ['fixed', 'exponential'], default: 'exponential', description: '`exponential`: the wait doubles with every try; `fixed`: it stays `delay`' }),
    delay: ms('ms between the first try and the second', 1_000, 0),
    max: ms('Longest wait between two tries, in ms', 60_000, 0),
    jitter: Type.Number({ description: 'Share of the wait that chance may take away: with 0.5, a wait of 1,000 ms lasts 500 to 1,000', default: 0.5, minimum: 0, maximum: 1 })
  }, 'The wait between two tries')
}, 'How often a chart is tried')

export const LimitsSchema = group({
  waitingPerTenant: most('Tasks of one tenant (`org_id`, else `user_id`) that may wait in the queue or for another attempt; beyond it POST answers 429', 1_000),
  runningPerTenant: most('Tasks of one tenant that may run at a time; the others wait', 0),
  scheduledPerTenant: most('Tasks of one tenant that may wait for their `run_at` or for other tasks; beyond it POST answers 429', 1_000),
  queueLength: most('Tasks of everybody that may wait in the queue, able to run now; beyond it POST answers 503', 10_000),
  timeInQueue: ms('ms that a task may wait in the queue for its first try, then it fails with `CHARTS_ERR_QUEUE_TIMEOUT`; 0 = no limit', 0, 0),
  requestBytes: most('Bytes of the body of a POST, and of the request as it is stored', 65_536),
  chartBytes: most('Bytes of a chart as JSON; a larger one fails its task', 1_048_576),
  checkpointBytes: most('Bytes of all that the steps of one task return, as JSON', 1_048_576)
}, 'What one tenant, one request and one chart may take')

const workerProperties = {
  concurrency: Type.Integer({ description: 'Charts generated at a time by this worker', default: 2, minimum: 1, maximum: 10_000 }),
  leaseDuration: ms('ms that a lease lasts unless it is prolonged; prolonged three times within it. The tasks of a dead worker run again after that, at the latest a second later', 10_000, 100),
  attemptTimeout: ms('ms that one try may take; beyond it the signal is aborted with `TIMEOUT`, and the task is tried again', 600_000),
  shutdownTimeout: ms('ms that running charts get to finish when the worker stops; then they are aborted and handed back', 25_000, 0),
  threadMemory: most('MiB of heap of a generator\'s thread, where `generate` is a URL', 0),
  threadEntry: Type.Optional(Type.Unsafe<URL>({ isUrl: true, description: 'File in which generator threads start. Default: `thread-main.js` of this package, or the one beside the bundle that this package is part of' }))
}

export const StreamSchema = group({
  heartbeat: ms('ms between two comments (SSE) or pings (WebSocket); a reader that takes nothing for two is cut', 15_000, 50),
  poll: ms('ms between two reads of watched tasks while pub/sub is down', 2_000, 50),
  maxPerUser: most('SSE and WebSocket streams of one user in one process', 20),
  maxDuration: ms('ms after which a stream is ended, so that a client that reconnects is identified again', 900_000, 100),
  allowedOrigins: Type.Unsafe<'same-origin' | '*' | string[]>({
    description: "Origins whose pages may open a WebSocket, and send what changes something without a preflight: 'same-origin', '*', or a list of origins, each as browsers send it: scheme and host in lower case, the port unless it is the default, no slash",
    default: 'same-origin',
    anyOf: [{ type: 'string', enum: ['same-origin', '*'] }, { type: 'array', items: { type: 'string' } }]
  })
}, 'SSE and WebSocket')

const storeProperties = {
  redis: given('An ioredis `Redis` or `Cluster`; stays yours: the package works on duplicates of it', { hasMethods: ['duplicate', 'evalsha', 'blpop'] }),
  store: given('Instead of `redis`: `memoryStore()`, or a store of your own', { hasMethods: ['enqueue', 'claim', 'settleAttempts', 'listen'] }),
  keyPrefix: Type.String({ description: 'Start of every Redis key and channel; becomes the hash tag `{async-charts}`. Processes with the same one share a queue', default: 'async-charts', minLength: 1, maxLength: 200, pattern: '^[^{}\\s\\p{Cc}\\p{Cs}]+$' }),
  limits: LimitsSchema,
  chartStore: given('Where finished charts live, `{ save, get, findByMessage, delete? }`. Default: beside the tasks. Give the same one to every process', { hasMethods: ['save', 'get', 'findByMessage'] }),
  telemetry: given('What is told of the queue: `otel()` of `fastify-async-charts/otel`, or a listener of your own. See [telemetry](telemetry.md)', { hasMethods: ['listen'] }),
  logger: given('A pino-compatible logger. Default of the plugin: `fastify.log`; of `runWorker`: warnings and errors to the console; of `ChartQueueService`: silent', { hasMethods: ['debug', 'info', 'warn', 'error', 'child'] })
}

export const ServiceOptionsSchema = Type.Object({
  ...storeProperties,
  retention: RetentionSchema,
  retry: RetrySchema,
  leaseDuration: workerProperties.leaseDuration,
  poll: StreamSchema.properties.poll,
  paramsSchema: given('JSON Schema of `params`, your own input to your generator, of draft-07 or, where its `$schema` says so, 2020-12. Without it, `params` is refused', { type: 'object' }),
  tenantWeight: func('`(identity) => number`: turns of the tenant in a round, a whole number from 1 to 60. Without it all tenants have one. Stored with each task when it is created'),
  onFinished: func('`(task) => unknown`: called after a task has ended, in the process that ended it; at least once. What it throws is only logged')
}, { additionalProperties: false })

export const WorkerOptionsSchema = Type.Object({
  ...storeProperties,
  ...workerProperties,
  generate: given('Required. `(request, context) => Promise<content>`: makes a chart. Or the `URL` of a module whose default export is such a function: it runs in a thread of its own', { isGenerator: true }),
  onFinished: ServiceOptionsSchema.properties.onFinished,
  handleSignals: Type.Boolean({ description: 'SIGTERM and SIGINT stop the worker gracefully; a second one ends the process', default: true })
}, { additionalProperties: false })

/** The plugin's `worker`. */
export const InProcessWorkerSchema = group(workerProperties, 'The worker in this process')

export const PluginOptionsSchema = Type.Object({
  ...storeProperties,
  identify: func('Required. `(request) => Identity | null`: who is asking; `null` is answered with 401'),
  authorize: func('`(identity, access, request) => boolean`: asked after ownership, can only narrow it. Without it, nobody may `monitor`'),
  generate: given('`(request, context) => Promise<content>`: makes a chart. With it, this process also works tasks. Or the `URL` of a module whose default export is such a function: it runs in a thread of its own', { isGenerator: true }),
  worker: Type.Optional(Type.Unsafe<false | object>({ description: 'The worker in this process; `false`: none, even with `generate`', anyOf: [{ const: false }, { type: 'object' }] })),
  paramsSchema: ServiceOptionsSchema.properties.paramsSchema,
  tenantWeight: ServiceOptionsSchema.properties.tenantWeight,
  onFinished: ServiceOptionsSchema.properties.onFinished,
  prefix: Type.String({ description: 'Path that the routes hang under: empty, or with a slash at its start and none at its end', default: '/api/v1/analytics', pattern: '^(/[^/]+)*$' }),
  routes: func('`(route) => false | { schema, config, onRequest, preHandler, constraints, logLevel }`: asked about each route when it is registered; `false` leaves it out. See [what you may change of the routes](http-api.md#what-you-may-change-of-the-routes)'),
  logLevel: Type.Optional(Type.String({ description: 'Level of the log lines of the routes, as Fastify has it for every plugin. Default: that of the host' })),
  logSerializers: given('Serializers of the log lines of the routes, as Fastify has them for every plugin', { type: 'object' }),
  retention: RetentionSchema,
  retry: RetrySchema,
  stream: StreamSchema
}, { additionalProperties: false })

const object = { type: 'object' }
const strings = { type: 'array', items: { type: 'string' } }

/** What `routes` may say of a route. */
const RouteOptionsSchema = Type.Object({
  schema: Type.Optional(Type.Object({
    tags: given('names', strings),
    hide: Type.Optional(Type.Boolean()),
    security: given('security requirements', { type: 'array', items: { type: 'object', additionalProperties: strings } })
  }, { additionalProperties: false })),
  config: given('of the route', object),
  onRequest: given('before `identify`', { isHooks: true }),
  preHandler: given('before `authorize`', { isHooks: true }),
  constraints: given('of the route', object),
  logLevel: Type.Optional(Type.String())
}, { additionalProperties: false })

export const DashboardOptionsSchema = Type.Object({
  prefix: Type.String({ description: 'Path that the pages hang under: empty, or with a slash at its start and none at its end', default: '/charts-dashboard', pattern: '^(/[^/]+)*$' }),
  readOnly: Type.Boolean({ description: 'Shows no controls, and refuses what they would send with 403 `CHARTS_ERR_READ_ONLY`, whoever asks', default: false }),
  logLevel: Type.Optional(Type.String({ description: 'Level of the log lines of the pages, as Fastify has it for every plugin. Default: that of the host' })),
  logSerializers: PluginOptionsSchema.properties.logSerializers
}, { additionalProperties: false })

/** Options as a host gives them: what is undefined is as good as not given, whatever its compiler makes of the two. */
export type Given<T> = { [K in keyof T]?: T[K] | undefined }
export type WorkerSettings = Static<typeof InProcessWorkerSchema>
export type ResolvedStreamOptions = Static<typeof StreamSchema>
export type ResolvedLimits = Static<typeof LimitsSchema>

const ajv = new Ajv({ useDefaults: true, allErrors: false, strict: false, verbose: true })
ajv.addKeyword({ keyword: 'isGenerator', validate: (_rule: unknown, value: unknown) => typeof value === 'function' || value instanceof URL, error: { message: 'must be a function or the URL of a module' } })
ajv.addKeyword({ keyword: 'isUrl', validate: (_rule: unknown, value: unknown) => value instanceof URL, error: { message: 'must be a URL' } })
ajv.addKeyword({ keyword: 'isFunction', validate: (_rule: unknown, value: unknown) => typeof value === 'function', error: { message: 'must be a function' } })
ajv.addKeyword({
  keyword: 'isHooks',
  validate: (_rule: unknown, value: unknown) => [value].flat().every(hook => typeof hook === 'function'),
  error: { message: 'must be a function or a list of functions' }
})

ajv.addKeyword({
  keyword: 'hasMethods',
  validate: (methods: string[], value: unknown) => typeof value === 'object' && value !== null && methods.every(method => typeof (value as Record<string, unknown>)[method] === 'function'),
  error: { message: error => `must have the methods ${error.schema.join(', ')}` }
})

const invalid = (message: string) => new errors.CHARTS_ERR_INVALID_OPTIONS(message)

/** What was given. Of what should have been an object or a function only its type: it may be a URL with a password. */
function got (error: ErrorObject): string {
  const value = error.data
  if (error.instancePath !== '' && error.keyword !== 'hasMethods') return shown(value)
  if (value === null) return 'null'
  return Array.isArray(value) ? 'a list' : `${typeof value === 'object' ? 'an' : 'a'} ${typeof value}`
}

function shown (value: unknown): string {
  if (typeof value === 'function') return 'a function'
  if (typeof value === 'bigint' || typeof value === 'symbol' || typeof value === 'number') return String(value)
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return 'an object'
  return JSON.stringify(value) ?? 'undefined'
}

function explain (error: ErrorObject, at: string): string {
  const path = `${at}${error.instancePath.replaceAll('/', '.')}`
  if (error.keyword === 'additionalProperties') {
    const known = Object.keys(error.parentSchema?.['properties'] ?? {}).join(', ')
    return `${path}.${error.params['additionalProperty']} is not an option; known are ${known}`
  }
  if (error.keyword === 'anyOf') return `${path} is wrong (${error.parentSchema?.['description']}), got ${got(error)}`
  const rule = error.keyword === 'enum' ? `must be one of ${error.params['allowedValues'].join(', ')}` : error.message
  return `${path} ${rule}, got ${got(error)}`
}

/** Defaults are filled into copies: the host may use its own object again. */
function copy (value: unknown, schema: TSchema): unknown {
  const properties = schema['properties'] as Record<string, TSchema> | undefined
  if (!properties || typeof value !== 'object' || value === null || Array.isArray(value)) return value
  const entries = Object.entries(value).filter(([, member]) => member !== undefined)
  return Object.fromEntries(entries.map(([key, member]) => [key, key in properties ? copy(member, properties[key]!) : member]))
}

/** What is not given follows from `task`: the default would contradict it. */
function deriveRetention (retention: unknown): void {
  if (typeof retention !== 'object' || retention === null) return
  const given = retention as { task?: unknown, status?: unknown, messageIndex?: unknown }
  const { status, messageIndex } = RetentionSchema.properties
  if (typeof given.task !== 'number') return
  if (given.status === undefined) given.status = Math.min(status.default, given.task)
  if (given.messageIndex === undefined) given.messageIndex = Math.max(messageIndex.default, given.task)
}

interface CrossChecked {
  redis?: unknown
  store?: unknown
  retention?: Static<typeof RetentionSchema>
  stream?: Static<typeof StreamSchema>
}

/** Whether a browser may send it as `Origin`: of http(s) in one way only, of other schemes as their makers like. */
function isOrigin (text: string): boolean {
  if (!/^[a-z][a-z0-9+.-]*:\/\/[^/?#\s]+$/.test(text)) return text === 'null'
  return !/^https?:/.test(text) || (URL.canParse(text) && new URL(text).origin === text)
}

/** Before the other options: what is no schema often has another type, too, and its type alone would not tell the host how to mend it. */
function checkParamsSchema (paramsSchema: unknown): void {
  if (typeof paramsSchema !== 'function' && (typeof paramsSchema !== 'object' || paramsSchema === null || Array.isArray(paramsSchema))) return
  const fault = paramsSchemaFault(paramsSchema)
  if (fault !== null) throw invalid(fault)
}

function checkAcross ({ redis, store, retention, stream }: CrossChecked): void {
  if ((redis == null) === (store == null)) {
    throw invalid(`exactly one of options.redis and options.store must be given, got ${redis == null ? 'neither' : 'both'}`)
  }
  const { allowedOrigins } = stream ?? {}
  for (const [i, origin] of Array.isArray(allowedOrigins) ? allowedOrigins.entries() : []) {
    if (isOrigin(origin)) continue
    throw invalid(`options.stream.allowedOrigins.${i} must be an origin as browsers send it, such as https://app.example or http://localhost:5173, got ${shown(origin)}`)
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
  if ('retention' in schema['properties']) deriveRetention((resolved as { retention?: unknown }).retention)
  if ('paramsSchema' in schema['properties']) checkParamsSchema((resolved as { paramsSchema?: unknown }).paramsSchema)
  const validate = ajv.compile(schema)
  if (!validate(resolved)) throw invalid(explain(validate.errors!.at(-1)!, at))
  if ('redis' in schema['properties']) checkAcross(resolved as CrossChecked)
  return resolved as Static<T>
}

/**
 * What the host's `routes` says of a route.
 * @throws CHARTS_ERR_INVALID_OPTIONS with the name of the route, the key and the rule
 */
export function resolveRouteOptions<T> (name: string, changes: T): T {
  if (changes === undefined || changes === false) return changes
  const at = `options.routes(${name})`
  if (changes instanceof Promise) throw invalid(`${at} must be false, an object or undefined, got a promise`)
  if (typeof changes !== 'object' || changes === null || Array.isArray(changes)) throw invalid(`${at} must be false, an object or undefined, got ${shown(changes)}`)
  return resolveOptions(RouteOptionsSchema, changes, at) as T
}
