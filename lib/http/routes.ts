import type { FastifyInstance } from 'fastify'
import type { ChartQueueService } from '../chart-queue-service.ts'
import { errors } from '../errors.ts'
import { compileStrict, describeIssues, isStorable, strictValidator, type ValidationIssue } from '../validator.ts'
import { AccessPolicy, identifyCallers, type Authorize, type Identify } from './access.ts'
import { parseBodies } from './body-parsers.ts'
import { dropConnectionHeaders } from './connection.ts'
import type { CustomizeRoute } from './customize-route.ts'
import { keptRoutes, routeOptions } from './host-routes.ts'
import { LargeResponses } from './large-responses.ts'
import type { AllowedOrigins } from './origins.ts'
import { PreferWait } from './prefer-wait.ts'
import type { Route, RouteContext, RouteQueue } from './route.ts'
import { adminRoutes } from './routes/admin.ts'
import { batchRoutes } from './routes/batches.ts'
import { messageRoutes } from './routes/messages.ts'
import { monitoringRoutes } from './routes/monitoring.ts'
import { SOCKET_URL, streamRoutes } from './routes/streams.ts'
import { taskRoutes } from './routes/tasks.ts'
import { bodySchemas } from './schemas/bodies.ts'
import type { Documents } from './schemas/named-schemas.ts'
import { embeddedSchema } from './schemas/params-schema.ts'
import { budgetOf, budgetRequests } from './store-budget.ts'
import { OpenStreams, type StreamTimings } from './streams/open-streams.ts'
import { registerWebSocket } from './streams/websocket.ts'

export interface RoutesOptions {
  readonly service: ChartQueueService
  readonly queue: RouteQueue
  readonly identify: Identify
  readonly authorize: Authorize | undefined
  readonly paramsSchema: object | undefined
  /** Maximum bytes of one chart request, 0 = no limit. */
  readonly requestBytes: number
  /** Whether charts are read from a `chartStore` of the host, whose response time does not count towards the store budget. */
  readonly hasChartStore: boolean
  readonly customize: CustomizeRoute | undefined
  readonly stream: StreamTimings & { readonly maxPerUser: number, readonly allowedOrigins: AllowedOrigins }
}

const routes: readonly Route[] = [...monitoringRoutes, ...adminRoutes, ...taskRoutes, ...batchRoutes, ...messageRoutes, ...streamRoutes]

/** `Retry-After` in seconds while the store is unavailable, and for a full queue without an estimate. */
const UNAVAILABLE_RETRY_SECONDS = 2
const DEFAULT_FULL_RETRY_SECONDS = 5

/** Registers the routes in a scope of its own, so that its hooks, parsers and validator do not affect the host. */
export async function chartRoutes (fastify: FastifyInstance, options: RoutesOptions): Promise<void> {
  const { service, queue, stream } = options
  const kept = keptRoutes(routes, fastify.prefix, options.customize)
  const streams = new OpenStreams(stream.maxPerUser, (transport, isOpen) => queue.telemetry.stream(transport, isOpen))
  const context: RouteContext = {
    service,
    queue,
    access: new AccessPolicy(service, queue.answers, options.authorize),
    streams,
    streamTimings: stream,
    allowedOrigins: stream.allowedOrigins,
    preferWait: new PreferWait(service, streams),
    largeResponses: new LargeResponses({ stallTimeout: 2 * stream.heartbeat, isBudgeted: !options.hasChartStore }),
    hasChartStore: options.hasChartStore,
    hasRoute: name => kept.has(name)
  }

  // Before the WebSocket plugin adds its hook, which closes sockets without a code.
  fastify.addHook('preClose', async () => {
    streams.endAll()
    context.largeResponses.endAll()
  })
  if (kept.has('openChartSocket') && !fastify.hasRequestDecorator('ws')) {
    await registerWebSocket(fastify, `${fastify.prefix}${SOCKET_URL}`)
  }
  validateStrictly(fastify, options.paramsSchema)
  parseBodies(fastify)
  identifyCallers(fastify, options.identify, stream.allowedOrigins)
  budgetRequests(fastify)
  fastify.addHook('onSend', async (_request, reply) => {
    dropConnectionHeaders(reply)
    if (!reply.hasHeader('cache-control')) reply.header('cache-control', 'private, no-cache')
  })
  setRetryAfterOfErrors(fastify, queue)

  addSchemasToDocument(fastify)
  const suffix = registrationSuffix(fastify)
  const bodyOptions = {
    paramsSchema: options.paramsSchema && embeddedSchema(options.paramsSchema, `ChartParams${suffix}`),
    requestBytes: options.requestBytes
  }
  for (const [name, route] of kept) fastify.route(routeOptions(route, context, bodyOptions, `${name}${suffix}`))
}

/** Validates input without coercion and without removing fields, whatever validator the host has. Responses are not validated. */
function validateStrictly (fastify: FastifyInstance, paramsSchema: object | undefined): void {
  fastify.setValidatorCompiler(({ schema, httpPart }) => {
    // The schemas of headers are for documents only: handlers ignore a header that they do not understand.
    if (httpPart === 'headers') return () => true
    if (httpPart === 'body') return strictValidator(schema as object, paramsSchema)
    return compileStrict(schema as object, httpPart === 'querystring' ? { coerceTypes: true, useDefaults: true } : {})
  })
  fastify.setSerializerCompiler(() => serialize)
  fastify.setSchemaErrorFormatter((issues, subject) => {
    const message = describeIssues(issues as ValidationIssue[], subject)
    return isStorable(issues as ValidationIssue[]) ? new Error(message) : new errors.CHARTS_ERR_INVALID_REQUEST(message)
  })
}

/** Ignores the response schema: the host's error handler may respond in another shape. */
function serialize (body: unknown): string {
  if (!(body instanceof Error)) return JSON.stringify(body)
  // Fastify passes the error itself if no handler has replied. These properties are not enumerable, or inherited.
  const { statusCode, code, error, message } = body as Error & { statusCode?: number, code?: string, error?: string }
  return JSON.stringify({ statusCode, code, error, message })
}

/** Adds `Retry-After` to errors that will pass, and hands every error on to the host's error handler. */
function setRetryAfterOfErrors (fastify: FastifyInstance, { telemetry, estimates }: RouteQueue): void {
  fastify.setErrorHandler(async (error, request, reply) => {
    telemetry.refused(error)
    if (error instanceof errors.CHARTS_ERR_STORE_UNAVAILABLE) reply.header('retry-after', UNAVAILABLE_RETRY_SECONDS)
    if (error instanceof errors.CHARTS_ERR_TOO_MANY_TASKS || error instanceof errors.CHARTS_ERR_QUEUE_FULL) {
      reply.header('retry-after', await budgetOf(request).estimate(() => estimates.queueRetryAfter(error), DEFAULT_FULL_RETRY_SECONDS))
    }
    throw error
  })
}

/**
 * Adds the schemas that the routes refer to to the host's OpenAPI document. @fastify/swagger calls nothing but `swaggerTransform` with
 * the document that it builds. On a visible route, it would replace the host's own `transform`. So it is on a route that is hidden,
 * that callers cannot distinguish from a missing one, and that the host cannot omit. It must be registered before the other routes.
 */
function addSchemasToDocument (fastify: FastifyInstance): void {
  const swaggerTransform = (documents: Documents) => {
    bodySchemas.addTo(documents)
    return { schema: { hide: true } }
  }
  fastify.head('/charts/async', { config: { swagger: { exposeHeadRoute: true }, swaggerTransform } as object }, (_request, reply) => reply.callNotFound())
}

const registrations = new WeakMap<object, number>()

/** Makes names unique in an OpenAPI document: empty for the first registration on a server, `2` for the second. */
function registrationSuffix (fastify: FastifyInstance): string {
  const ordinal = (registrations.get(fastify.server) ?? 0) + 1
  registrations.set(fastify.server, ordinal)
  return ordinal === 1 ? '' : `${ordinal}`
}
