import fp from 'fastify-plugin'
import type { FastifyInstance, FastifyPluginAsync } from 'fastify'
import { ChartQueueService, queueOf, type CreatorOptions, type QueueOptions } from './chart-queue-service.ts'
import { errors } from './errors.ts'
import type { GenerateChart } from './generator.ts'
import { kAccessHooks, type AccessHooks, type Authorize, type Identify } from './http/access.ts'
import type { CustomizeRoute } from './http/customize-route.ts'
import { chartRoutes } from './http/routes.ts'
import { resolveOptions, resolveRouteOptions } from './options/resolve.ts'
import { InProcessWorkerSchema, PluginOptionsSchema } from './options/schemas.ts'
import type { RouteLogOptions, StreamOptions, WorkerOptions } from './options/types.ts'
import { Consumer } from './worker/consumer.ts'
import { openGenerator } from './worker/open-generator.ts'

/** To have the types of `params` and of the content inferred, spread the result of `defineCharts` into these. */
export interface AsyncChartsOptions extends QueueOptions, CreatorOptions {
  /** Required. `(request) => Identity | null`: who is asking. `null` is answered with 401; an error goes to your error handler. */
  identify: Identify
  /** `(identity, access, request) => boolean`: asked after ownership, can only narrow it. Without it, nobody may `monitor`. */
  authorize?: Authorize | undefined
  /**
   * `(request, context) => Promise<content>`: makes a chart. With it, this process also works tasks. Or the `URL` of a module whose default
   * export is such a function: it runs in a thread of its own.
   */
  generate?: GenerateChart<any> | URL | undefined
  /** The worker in this process, if there is a `generate`. `false`: none. */
  worker?: WorkerOptions | false | undefined
  /** Live updates: SSE and WebSocket. */
  stream?: StreamOptions | undefined
  /**
   * Path that the routes hang under: empty, or with a slash at its start and none at its end.
   * @default '/api/v1/analytics'
   */
  prefix?: string
  /**
   * `(route) => false | { schema, config, onRequest, preHandler, constraints, logLevel }`: asked about each route when it is registered. `false`
   * leaves the route out.
   */
  routes?: CustomizeRoute | undefined
}

declare module 'fastify' {
  interface FastifyInstance {
    asyncCharts: ChartQueueService
  }
}

/** ms that the start waits for the store. Without it the host starts all the same, and answers 503 until the store is there. */
const READY_TIMEOUT_MS = 1_000

/**
 * Fastify applies these options of `register` only to a plugin with a scope of its own. This one decorates the host's scope, so it hands them on
 * to its routes.
 */
function forRoutes ({ logLevel, logSerializers }: RouteLogOptions): RouteLogOptions {
  return { ...(logLevel !== undefined && { logLevel }), ...(logSerializers !== undefined && { logSerializers }) }
}

const plugin: FastifyPluginAsync<AsyncChartsOptions & RouteLogOptions> = async (fastify: FastifyInstance, options) => {
  const resolved = resolveOptions(PluginOptionsSchema, options)
  if (!options.identify) throw new errors.CHARTS_ERR_INVALID_OPTIONS('options.identify must be a function, got undefined')
  const settings = options.worker === false ? null : resolveOptions(InProcessWorkerSchema, options.worker, 'options.worker')
  const { redis, store, chartStore, routes, tenantWeight, onFinished, paramsSchema, telemetry, generate, logger = fastify.log } = options
  const { keyPrefix, retention, retry, limits, stream, prefix } = resolved
  if (Object.hasOwn(fastify, 'asyncCharts')) throw new errors.CHARTS_ERR_INVALID_OPTIONS('it is registered here already: a second queue needs a context of its own')
  // Before anything is opened: this throws if the URL has no generator.
  const generator = generate && settings ? await openGenerator(generate, { ...settings, chartBytes: limits.chartBytes, logger }) : null
  const service = new ChartQueueService({
    redis, store, keyPrefix, retention, retry, limits, chartStore, paramsSchema, tenantWeight, onFinished, telemetry, pollInterval: stream.pollInterval, logger
  })
  const queue = queueOf(service)
  fastify.decorate('asyncCharts', service)
  fastify.decorate(kAccessHooks, { identify: options.identify, authorize: options.authorize } satisfies AccessHooks)
  await service.ready(READY_TIMEOUT_MS).catch(error => logger.warn({ err: error }, 'the store does not answer yet'))

  const consumer = generator && settings ? new Consumer({ queue, ...settings, generate: generator.generate, logger }) : null
  // In preClose, so that draining begins while the last requests are still being answered. If it fails, onClose reports it.
  fastify.addHook('preClose', done => {
    queue.beginClose()
    consumer?.stop().catch(() => {})
    done()
  })
  fastify.addHook('onClose', async () => {
    await consumer?.stop()
    await Promise.all([generator?.close(), service.close()])
  })
  await fastify.register(chartRoutes, {
    prefix,
    ...forRoutes(options),
    service,
    queue,
    identify: options.identify,
    authorize: options.authorize,
    paramsSchema,
    requestBytes: limits.requestBytes,
    hasChartStore: chartStore !== undefined,
    customize: routes && (route => resolveRouteOptions(route.name, routes(route))),
    stream
  })
}

/**
 * Asynchronous charts for a Fastify host: registers the routes, and decorates the instance with `asyncCharts`.
 * @throws CHARTS_ERR_INVALID_OPTIONS
 */
export const asyncCharts = fp(plugin, { fastify: '5.x', name: 'fastify-async-charts' })
