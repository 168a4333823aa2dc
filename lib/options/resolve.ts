import type { Static, TSchema } from '@sinclair/typebox'
import { Ajv, type ErrorObject } from 'ajv'
import { errors } from '../errors.ts'
import { paramsSchemaFault } from '../params-schema.ts'
import { acceptOldNames } from './old-names.ts'
import { RetentionSchema, RouteOptionsSchema, type ResolvedRetention, type ResolvedStream } from './schemas.ts'

const ajv = new Ajv({ useDefaults: true, allErrors: false, strict: false, verbose: true })
ajv.addKeyword({ keyword: 'isGenerator', validate: (_rule: unknown, value: unknown) => typeof value === 'function' || value instanceof URL, error: { message: 'must be a function or the URL of a module' } })
ajv.addKeyword({ keyword: 'isUrl', validate: (_rule: unknown, value: unknown) => value instanceof URL, error: { message: 'must be a URL' } })
ajv.addKeyword({ keyword: 'isFunction', validate: (_rule: unknown, value: unknown) => typeof value === 'function', error: { message: 'must be a function' } })
ajv.addKeyword({
  keyword: 'isHooks',
  validate: (_rule: unknown, value: unknown) => [value].flat().every(hook => typeof hook === 'function'),
  error: { message: 'must be a function or a list of functions' }
})
/** Names, for the error, what an `anyOf` takes. */
ajv.addKeyword('expected')
ajv.addKeyword({
  keyword: 'hasMethods',
  validate: (methods: string[], value: unknown) => typeof value === 'object' && value !== null && methods.every(method => typeof (value as Record<string, unknown>)[method] === 'function'),
  error: { message: error => `must have the methods ${error.schema.join(', ')}` }
})

const invalid = (message: string) => new errors.CHARTS_ERR_INVALID_OPTIONS(message)

/** The value that was given, for the message. Instead of an object or a function only the type: the value may be a URL with a password. */
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
    const { properties } = error.parentSchema as { properties: object }
    return `${path}.${error.params['additionalProperty']} is not an option; known are ${Object.keys(properties).join(', ')}`
  }
  if (error.keyword === 'anyOf') return `${path} must be ${error.parentSchema?.['expected']}, got ${got(error)}`
  const rule = error.keyword === 'enum' ? `must be one of ${error.params['allowedValues'].join(', ')}` : error.message
  return `${path} ${rule}, got ${got(error)}`
}

/** A copy to fill defaults into: the host may use its own object again. */
function copy (value: unknown, schema: TSchema): unknown {
  const properties = schema['properties'] as Record<string, TSchema> | undefined
  if (!properties || typeof value !== 'object' || value === null || Array.isArray(value)) return value
  const entries = Object.entries(value).filter(([, member]) => member !== undefined)
  return Object.fromEntries(entries.map(([key, member]) => [key, key in properties ? copy(member, properties[key]!) : member]))
}

/** Derives what is not given from `task`: the default could contradict it. */
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
  retention?: ResolvedRetention
  stream?: ResolvedStream
}

/** Whether a browser may send this as `Origin`. For http(s) only the normal form counts; other schemes have none. */
function isOrigin (text: string): boolean {
  if (!/^[a-z][a-z0-9+.-]*:\/\/[^/?#\s]+$/.test(text)) return text === 'null'
  return !/^https?:/.test(text) || (URL.canParse(text) && new URL(text).origin === text)
}

/** Runs before the other checks: a schema of a library often fails the type check too, and that message would not say how to convert it. */
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
  acceptOldNames(schema, resolved, at)
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
