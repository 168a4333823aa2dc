import fp from 'fastify-plugin'
import type { FastifyInstance, FastifyPluginAsync } from 'fastify'
import { errors } from '../errors.ts'
import { kAccessHooks, type AccessHooks } from '../http/access.ts'
import { resolveOptions } from '../options/resolve.ts'
import { DashboardOptionsSchema } from '../options/schemas.ts'
import type { RouteLogOptions } from '../options/types.ts'
import { dashboardRoutes } from './routes.ts'

export interface AsyncChartsDashboardOptions {
  /**
   * Path that the pages hang under: empty, or with a slash at its start and none at its end.
   * @default '/charts-dashboard'
   */
  prefix?: string
  /**
   * Shows no controls, and refuses what they would send with 403 `CHARTS_ERR_READ_ONLY`, whoever asks.
   * @default false
   */
  readOnly?: boolean | undefined
}

const plugin: FastifyPluginAsync<AsyncChartsDashboardOptions & RouteLogOptions> = async (fastify: FastifyInstance, options) => {
  const { prefix, readOnly } = resolveOptions(DashboardOptionsSchema, options)
  const { logLevel, logSerializers } = options
  const hooks = fastify.hasDecorator('asyncCharts') ? (fastify as unknown as { [kAccessHooks]?: AccessHooks })[kAccessHooks] : undefined
  if (!hooks) throw new errors.CHARTS_ERR_INVALID_OPTIONS('register the dashboard after asyncCharts, on the same instance')
  const scoped = { ...(logLevel !== undefined && { logLevel }), ...(logSerializers !== undefined && { logSerializers }) }
  await fastify.register(dashboardRoutes, { prefix, ...scoped, service: fastify.asyncCharts, hooks, readOnly })
}

/**
 * Pages for operators of the queue. Register it after `asyncCharts`, on the same instance. Access: the `authorize` of the plugin, action `monitor`.
 * @throws CHARTS_ERR_INVALID_OPTIONS
 */
export const asyncChartsDashboard = fp(plugin, { fastify: '5.x', name: 'fastify-async-charts-dashboard' })
export default asyncChartsDashboard
