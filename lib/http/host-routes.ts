import type { FastifySchema, RouteOptions } from 'fastify'
import type { ChartRouteOptions, CustomizeRoute } from './customize-route.ts'
import type { BodyOptions, Route, RouteContext } from './route.ts'

/** A route that the host has kept, with its changes. */
export interface KeptRoute {
  readonly route: Route
  readonly changes: ChartRouteOptions
}

/** The routes that the host keeps, by name. `prefix`: that of the scope. */
export function keptRoutes (routes: readonly Route[], prefix: string, customize: CustomizeRoute | undefined): Map<string, KeptRoute> {
  const kept = new Map<string, KeptRoute>()
  for (const route of routes) {
    const { name, method, url, kind = 'json' } = route
    const changes = customize?.({ name, method, url: `${prefix}${url}`, kind }) ?? {}
    if (changes !== false) kept.set(name, { route, changes })
  }
  return kept
}

type Hooks<T> = T | T[] | undefined

const toList = <T>(hooks: Hooks<T>): T[] => hooks === undefined ? [] : Array.isArray(hooks) ? hooks : [hooks]

/** The host's hooks first. A single hook stays a function: @fastify/rate-limit would append to an array, which a HEAD route shares with its GET route. */
function joinHooks<T> (first: Hooks<T>, second: Hooks<T>): Hooks<T> {
  const hooks = [...toList(first), ...toList(second)]
  return hooks.length > 1 ? hooks : hooks[0]
}

/**
 * The options for `fastify.route`, with the changes of the host. The changes could not be made in an `onRoute` hook: the host's own
 * `onRoute` hooks run before ours and must see them (@fastify/rate-limit reads `config` there), and a hook cannot omit a route.
 * `operationId`: unique in an OpenAPI document.
 */
export function routeOptions ({ route, changes }: KeptRoute, context: RouteContext, bodyOptions: BodyOptions, operationId: string): RouteOptions {
  const { method, url, kind = 'json', summary, tag = 'charts', preHandler, wsHandler } = route
  const body = route.body?.(bodyOptions)
  const ownPreHandler: RouteOptions['preHandler'] = preHandler && (request => preHandler(context, request))
  const hooks = { onRequest: joinHooks(changes.onRequest, undefined), preHandler: joinHooks(changes.preHandler, ownPreHandler) }
  return {
    method,
    url,
    ...(kind !== 'json' && { exposeHeadRoute: false }),
    schema: { operationId, summary, tags: [tag], ...route.schema, ...(body && { body: body.schema }), ...changes.schema } as FastifySchema,
    ...(body && { bodyLimit: body.limit }),
    // A rate limit of the host for all routes would respond to a stream with 429, which stops an EventSource for good.
    config: { ...(kind !== 'json' && { rateLimit: false }), ...changes.config },
    ...(hooks.onRequest && { onRequest: hooks.onRequest }),
    ...(hooks.preHandler && { preHandler: hooks.preHandler }),
    ...(changes.constraints && { constraints: changes.constraints }),
    ...(changes.logLevel !== undefined && { logLevel: changes.logLevel }),
    handler: (request, reply) => route.handler(context, request, reply),
    ...(wsHandler && { wsHandler: (socket, request) => wsHandler(context, socket, request) })
  }
}
