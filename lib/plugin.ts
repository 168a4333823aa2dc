import fp from 'fastify-plugin'
import type { FastifyInstance, FastifyPluginAsync, RegisterOptions } from 'fastify'
import { ChartQueueService, type ChartQueueServiceOptions } from './chart-queue-service.ts'
import { errors } from './errors.ts'
import type { GenerateChart } from './generator.ts'
import { kAccessHooks, type AccessHooks, type Authorize, type Identify } from './http/access.ts'
import type { CustomizeRoute } from './http/host-routes.ts'
import { chartRoutes } from './http/routes.ts'
import { InProcessWorkerSchema, PluginOptionsSchema, resolveOptions, resolveRouteOptions, type Given, type ResolvedStreamOptions, type WorkerSettings } from './options.ts'
import { Consumer } from './worker/consumer.ts'
import { openGenerator } from './worker/open-generator.ts'

export interface AsyncChartsOptions extends Omit<ChartQueueServiceOptions, 'leaseDuration' | 'poll'> {
  /** Who is asking; null is answered with 401. A throw goes to the host's error handler. */
  identify: Identify
  /** Asked after ownership, can only narrow it. `monitor` is refused unless this says yes. */
  authorize?: Authorize | undefined
  /** The chart generator. With it, this process also works tasks, unless `worker: false`. */
  generate?: GenerateChart | URL | undefined
  /** The worker in this process. Default `{ concurrency: 2 }`. */
  worker?: Given<WorkerSettings> | false | undefined
  /** Where the routes hang. Default `/api/v1/analytics`. Left out rather than undefined, as `register` wants it of every plugin. */
  prefix?: string
  /** Asked about each route when it is registered: leaves it out, or changes what a host may change of it. */
  routes?: CustomizeRoute | undefined
  /** SSE and WebSocket. */
  stream?: Given<ResolvedStreamOptions> | undefined
}

declare module 'fastify' {
  interface FastifyInstance {
    asyncCharts: ChartQueueService
  }
}

/** ms that the start waits for the store: the host starts without it too, and answers 503 until it comes. */
const READY = 1_000

/**
 * What Fastify itself does with options of `register`: only for a plugin with a scope of its own. This one decorates the host's,
 * so it hands them to its routes.
 */
function forRoutes (options: AsyncChartsOptions): Pick<RegisterOptions, 'logLevel' | 'logSerializers'> {
  const { logLevel, logSerializers } = options as RegisterOptions
  return { ...(logLevel !== undefined && { logLevel }), ...(logSerializers !== undefined && { logSerializers }) }
}

const plugin: FastifyPluginAsync<AsyncChartsOptions> = async (fastify: FastifyInstance, options) => {
  const resolved = resolveOptions(PluginOptionsSchema, options)
  if (!options.identify) throw new errors.CHARTS_ERR_INVALID_OPTIONS('options.identify must be a function, got undefined')
  const settings = options.worker === false ? null : resolveOptions(InProcessWorkerSchema, options.worker, 'options.worker')
  const { redis, store, chartStore, routes, tenantWeight, onFinished, paramsSchema, telemetry, generate, logger = fastify.log } = options
  const { keyPrefix, retention, retry, limits, stream, prefix } = resolved
  if (Object.hasOwn(fastify, 'asyncCharts')) throw new errors.CHARTS_ERR_INVALID_OPTIONS('it is registered here already: a second queue needs a context of its own')
  // First of all: where there is no generator, nothing is left open.
  const generator = generate && settings ? await openGenerator(generate, { ...settings, chartBytes: limits.chartBytes, logger }) : null
  const service = new ChartQueueService({
    redis, store, keyPrefix, retention, retry, limits, chartStore, paramsSchema, tenantWeight, onFinished, telemetry, poll: stream.poll, logger
  })
  fastify.decorate('asyncCharts', service)
  fastify.decorate(kAccessHooks, { identify: options.identify, authorize: options.authorize } satisfies AccessHooks)
  await service.ready(READY).catch(error => logger.warn({ err: error }, 'the store does not answer yet'))

  const consumer = generator && settings ? new Consumer({ service, ...settings, generate: generator.generate, logger }) : null
  // Before the last requests are waited for: draining must not begin when they have ended.
  fastify.addHook('preClose', done => {
    service.hostCharts?.close()
    consumer?.stop()
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
