// What options are checked against: rules and defaults. What a field means is said where it is declared, in its docstring.
import { Type, type Static, type TSchema } from '@sinclair/typebox'

const MAX_MS = 2_147_483_647
const MAX_SECONDS = 31_536_000

const ms = (fallback: number, minimum = 1) => Type.Integer({ default: fallback, minimum, maximum: MAX_MS })
const seconds = (fallback: number) => Type.Integer({ default: fallback, minimum: 1, maximum: MAX_SECONDS })
const limit = (fallback: number) => Type.Integer({ default: fallback, minimum: 0 })
const group = <T extends Record<string, TSchema>>(properties: T) => Type.Object(properties, { default: {}, additionalProperties: false })
/** What a host gives as it is: no default, and no type of its own to be copied. */
const given = (rule: object) => Type.Optional(Type.Unsafe<unknown>(rule))
const func = given({ isFunction: true })
const generator = given({ isGenerator: true })
const logLevel = Type.Optional(Type.String())
const logSerializers = given({ type: 'object' })
const path = (fallback: string) => Type.String({ default: fallback, pattern: '^(/[^/]+)*$' })

export const RetentionSchema = group({ task: seconds(86_400), status: seconds(3_600), messageIndex: seconds(86_400) })

export const RetrySchema = group({
  attempts: Type.Integer({ default: 3, minimum: 1, maximum: 1_000 }),
  backoff: group({
    type: Type.Unsafe<'fixed' | 'exponential'>({ type: 'string', enum: ['fixed', 'exponential'], default: 'exponential' }),
    delay: ms(1_000, 0),
    max: ms(60_000, 0),
    jitter: Type.Number({ default: 0.5, minimum: 0, maximum: 1 })
  })
})

export const LimitsSchema = group({
  waitingPerTenant: limit(1_000),
  runningPerTenant: limit(0),
  scheduledPerTenant: limit(1_000),
  queueLength: limit(10_000),
  queueTimeout: ms(0, 0),
  requestBytes: limit(65_536),
  chartBytes: limit(1_048_576),
  checkpointBytes: limit(1_048_576)
})

const workerProperties = {
  concurrency: Type.Integer({ default: 2, minimum: 1, maximum: 10_000 }),
  leaseDuration: ms(10_000, 100),
  attemptTimeout: ms(600_000),
  shutdownTimeout: ms(25_000, 0),
  threadMemory: limit(0),
  threadEntry: Type.Optional(Type.Unsafe<URL>({ isUrl: true }))
}

export const StreamSchema = group({
  heartbeat: ms(15_000, 50),
  pollInterval: ms(2_000, 50),
  maxPerUser: limit(20),
  maxDuration: ms(900_000, 100),
  allowedOrigins: Type.Unsafe<'same-origin' | '*' | string[]>({
    default: 'same-origin',
    anyOf: [{ type: 'string', enum: ['same-origin', '*'] }, { type: 'array', items: { type: 'string' } }],
    expected: "'same-origin', '*' or a list of origins"
  })
})

const queueProperties = {
  redis: given({ hasMethods: ['duplicate', 'evalsha', 'blpop'] }),
  store: given({ hasMethods: ['enqueue', 'claim', 'settleAttempts', 'listen'] }),
  keyPrefix: Type.String({ default: 'async-charts', minLength: 1, maxLength: 200, pattern: '^[^{}\\s\\p{Cc}\\p{Cs}]+$' }),
  limits: LimitsSchema,
  chartStore: given({ hasMethods: ['save', 'get', 'findByMessage'] }),
  onFinished: func,
  telemetry: given({ hasMethods: ['listen'] }),
  logger: given({ hasMethods: ['debug', 'info', 'warn', 'error', 'child'] })
}

const creatorProperties = {
  retention: RetentionSchema,
  retry: RetrySchema,
  paramsSchema: given({ type: 'object' }),
  tenantWeight: func
}

export const ServiceOptionsSchema = Type.Object({
  ...queueProperties,
  ...creatorProperties,
  leaseDuration: workerProperties.leaseDuration,
  pollInterval: StreamSchema.properties.pollInterval
}, { additionalProperties: false })

export const WorkerOptionsSchema = Type.Object({
  ...queueProperties,
  ...workerProperties,
  generate: generator,
  paramsSchema: creatorProperties.paramsSchema,
  handleSignals: Type.Boolean({ default: true })
}, { additionalProperties: false })

/** The plugin's `worker`. */
export const InProcessWorkerSchema = group(workerProperties)

export const PluginOptionsSchema = Type.Object({
  ...queueProperties,
  ...creatorProperties,
  identify: func,
  authorize: func,
  generate: generator,
  worker: Type.Optional(Type.Unsafe<false | object>({ anyOf: [{ const: false }, { type: 'object' }], expected: 'false or an object' })),
  stream: StreamSchema,
  prefix: path('/api/v1/analytics'),
  routes: func,
  logLevel,
  logSerializers
}, { additionalProperties: false })

const strings = { type: 'array', items: { type: 'string' } }

/** What `routes` may say of a route. */
export const RouteOptionsSchema = Type.Object({
  schema: Type.Optional(Type.Object({
    tags: given(strings),
    hide: Type.Optional(Type.Boolean()),
    security: given({ type: 'array', items: { type: 'object', additionalProperties: strings } })
  }, { additionalProperties: false })),
  config: given({ type: 'object' }),
  onRequest: given({ isHooks: true }),
  preHandler: given({ isHooks: true }),
  constraints: given({ type: 'object' }),
  logLevel
}, { additionalProperties: false })

export const DashboardOptionsSchema = Type.Object({
  prefix: path('/charts-dashboard'),
  readOnly: Type.Boolean({ default: false }),
  logLevel,
  logSerializers
}, { additionalProperties: false })

export type ResolvedRetention = Static<typeof RetentionSchema>
export type ResolvedStream = Static<typeof StreamSchema>
