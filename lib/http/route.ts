import type { WebSocket } from '@fastify/websocket'
import type { FastifyReply, FastifyRequest, FastifySchema } from 'fastify'
import type { ChartQueueService } from '../chart-queue-service.ts'
import type { Queue } from '../service/queue.ts'
import type { AccessPolicy } from './access.ts'
import type { LargeResponses } from './large-responses.ts'
import type { AllowedOrigins } from './origins.ts'
import type { PreferWait } from './prefer-wait.ts'
import type { OpenStreams, StreamTimings } from './streams/open-streams.ts'

/** The parts of the queue that the routes use beside the service. */
export type RouteQueue = Pick<Queue, 'answers' | 'estimates' | 'telemetry' | 'watches'>

/** What the handlers of one registration share. */
export interface RouteContext {
  readonly service: ChartQueueService
  /** What the service does not show: streamed answers, streams of one task, `Retry-After`, telemetry. */
  readonly queue: RouteQueue
  readonly access: AccessPolicy
  readonly streams: OpenStreams
  readonly streamTimings: StreamTimings
  readonly allowedOrigins: AllowedOrigins
  readonly preferWait: PreferWait
  readonly largeResponses: LargeResponses
  /** Whether charts are read from a `chartStore` of the host, whose response time does not count towards the store budget. */
  readonly hasChartStore: boolean
  /** Whether the host has kept the route of this name. */
  readonly hasRoute: (name: string) => boolean
}

/** The options on which the body of a route depends. */
export interface BodyOptions {
  /** The host's schema of `params`; undefined: `params` is refused. */
  readonly paramsSchema: object | undefined
  /** Maximum bytes of one chart request, 0 = no limit. */
  readonly requestBytes: number
}

/** One route of this package. */
export interface Route {
  /** The `operationId` in an OpenAPI document. */
  readonly name: string
  readonly method: 'GET' | 'POST' | 'DELETE'
  /** The path under the prefix. */
  readonly url: string
  /** Which kind of response it sends: a JSON document, server-sent events, a WebSocket. Default `json`. */
  readonly kind?: 'json' | 'sse' | 'ws'
  /** For the OpenAPI document. */
  readonly summary: string
  /** The group in the OpenAPI document: routes for users (the default) or for operators. */
  readonly tag?: 'charts' | 'charts-admin'
  readonly schema: FastifySchema
  /** The schema and the maximum bytes of the body, for routes where they depend on the plugin's options. */
  readonly body?: (options: BodyOptions) => { readonly schema: object, readonly limit: number }
  /** Runs after validation, before the handler, also before a WebSocket upgrade. */
  preHandler? (context: RouteContext, request: FastifyRequest): Promise<void>
  // A method rather than a property: handlers may then narrow the type of the request to what their schema guarantees.
  handler (context: RouteContext, request: FastifyRequest, reply: FastifyReply): unknown
  /** Handles the WebSocket after the upgrade. */
  wsHandler? (context: RouteContext, socket: WebSocket, request: FastifyRequest): Promise<void>
}
