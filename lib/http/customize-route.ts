import type { RouteShorthandOptions } from 'fastify'

/** A route of this package, as the host's `routes` option gets it. */
export interface ChartRoute {
  /** The `operationId` in an OpenAPI document, without the number that a second registration appends to it. */
  readonly name: string
  readonly method: string
  /** The full path, prefix included: `/api/v1/analytics/charts/async/:task_id/status`. */
  readonly url: string
  /** What the route responds with: one JSON document, server-sent events, or a WebSocket. */
  readonly kind: 'json' | 'sse' | 'ws'
}

/** What the host may change of a route. */
export interface ChartRouteOptions extends Pick<RouteShorthandOptions, 'config' | 'onRequest' | 'preHandler' | 'constraints' | 'logLevel'> {
  /** For the OpenAPI document. `tags` and `security` replace those of the route. */
  schema?: { tags?: readonly string[], hide?: boolean, security?: ReadonlyArray<Readonly<Record<string, readonly string[]>>> }
}

/** Called for each route at registration. `false` omits the route and its HEAD route; undefined leaves it unchanged. */
export type CustomizeRoute = (route: ChartRoute) => false | ChartRouteOptions | undefined | void
