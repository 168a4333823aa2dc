import type { FastifyInstance, FastifySchema, RouteOptions, RouteShorthandMethod, RouteShorthandOptions } from 'fastify'
import type { Describe } from './answers.ts'
import { responses } from './schemas.ts'

/** A route of this package, as the host's `routes` is asked about it. */
export interface ChartRoute {
  /** The `operationId` in an OpenAPI document, without the number that it has there in a second registration. */
  readonly name: string
  readonly method: string
  /** The full path, prefix included: `/api/v1/analytics/charts/async/:task_id/status`. */
  readonly url: string
  /** What it answers with: one JSON document, server-sent events, a WebSocket. */
  readonly kind: 'json' | 'sse' | 'ws'
}

/** What a host may change of a route. */
export interface ChartRouteOptions extends Pick<RouteShorthandOptions, 'config' | 'onRequest' | 'preHandler' | 'constraints' | 'logLevel'> {
  /** For the OpenAPI document. `tags` and `security` replace those of the route. */
  schema?: { tags?: readonly string[], hide?: boolean, security?: ReadonlyArray<Readonly<Record<string, readonly string[]>>> }
}

/** Asked about each route at registration: `false` leaves it out, with its HEAD route; nothing leaves it as it is. */
export type CustomizeRoute = (route: ChartRoute) => false | ChartRouteOptions | undefined | void

/** The registering methods of Fastify, for the routes of this package: the host is asked about each. */
export interface HostRoutes extends Pick<FastifyInstance, 'route' | 'get' | 'post' | 'delete'> {
  /** Whether the host wants a route that is about to be registered. It is asked once. */
  wants (options: RouteOptions): boolean
  /** Whether a route of this name is registered. */
  has (name: string): boolean
}

type Hooks<T> = T | T[] | undefined

const listed = <T>(hooks: Hooks<T>): T[] => hooks === undefined ? [] : Array.isArray(hooks) ? hooks : [hooks]

/** The host's hooks first. One hook stays a function: @fastify/rate-limit would push into a list, which a HEAD route shares with its GET. */
function joined<T> (first: Hooks<T>, second: Hooks<T>): Hooks<T> {
  const hooks = [...listed(first), ...listed(second)]
  return hooks.length > 1 ? hooks : hooks[0]
}

function kindOf ({ schema, wsHandler }: RouteOptions): ChartRoute['kind'] {
  if (wsHandler) return 'ws'
  return schema?.response === responses.stream ? 'sse' : 'json'
}

function merged (options: RouteOptions, kind: ChartRoute['kind'], changes: ChartRouteOptions): RouteOptions {
  const { schema, config, constraints, logLevel } = changes
  const onRequest = joined(changes.onRequest, options.onRequest)
  const preHandler = joined(changes.preHandler, options.preHandler)
  return {
    ...options,
    schema: { ...options.schema, ...schema } as FastifySchema,
    // A host's limit for all routes would answer a stream with 429, which ends an EventSource for good.
    config: { ...(kind !== 'json' && { rateLimit: false }), ...options.config, ...config },
    ...(onRequest && { onRequest }),
    ...(preHandler && { preHandler }),
    ...(constraints && { constraints }),
    ...(logLevel !== undefined && { logLevel })
  }
}

/**
 * Routes that are registered as Fastify registers them, with the changes of the host. This cannot be an `onRoute` hook: those of the
 * host run before ours, and must see the changes (@fastify/rate-limit reads `config` there); and a hook cannot leave out a route.
 */
export function hostRoutes (fastify: FastifyInstance, describe: Describe, customize: CustomizeRoute | undefined): HostRoutes {
  const changes = new Map<RouteOptions, false | ChartRouteOptions>()
  const registered = new Set<string>()
  const changesOf = (options: RouteOptions): false | ChartRouteOptions => {
    if (!changes.has(options)) {
      const { method, url, schema } = options
      const route = { name: describe.nameOf(schema!), method: method as string, url: `${fastify.prefix}${url}`, kind: kindOf(options) }
      changes.set(options, customize?.(route) ?? {})
    }
    return changes.get(options)!
  }
  const route = (options: RouteOptions): FastifyInstance => {
    const asked = changesOf(options)
    if (asked === false) return fastify
    registered.add(describe.nameOf(options.schema!))
    return fastify.route(merged(options, kindOf(options), asked))
  }
  const shorthand = (method: string) => ((url: string, options: RouteShorthandOptions, handler: RouteOptions['handler']) =>
    route({ ...options, method, url, handler } as RouteOptions)) as RouteShorthandMethod
  return {
    route: route as FastifyInstance['route'],
    get: shorthand('GET'),
    post: shorthand('POST'),
    delete: shorthand('DELETE'),
    wants: options => changesOf(options) !== false,
    has: name => registered.has(name)
  }
}
