import fp from 'fastify-plugin'
import type { FastifyInstance, FastifyPluginAsync, RegisterOptions } from 'fastify'
import { errors } from '../errors.ts'
import { kAccessHooks, type AccessHooks } from '../http/access.ts'
import { DashboardOptionsSchema, resolveOptions } from '../options.ts'
import { dashboardRoutes } from './routes.ts'

export interface AsyncChartsDashboardOptions {
  /** Where the pages hang. Default `/charts-dashboard`. */
  prefix?: string
  /** Renders no controls and refuses state-changing calls. Default false. */
  readOnly?: boolean | undefined
}

const plugin: FastifyPluginAsync<AsyncChartsDashboardOptions> = async (fastify: FastifyInstance, options) => {
  const { prefix, readOnly, logLevel, logSerializers } = resolveOptions(DashboardOptionsSchema, options)
  const hooks = fastify.hasDecorator('asyncCharts') ? (fastify as unknown as { [kAccessHooks]?: AccessHooks })[kAccessHooks] : undefined
  if (!hooks) throw new errors.CHARTS_ERR_INVALID_OPTIONS('register the dashboard after asyncCharts, on the same instance')
  const scoped = { ...(logLevel !== undefined && { logLevel }), ...(logSerializers !== undefined && { logSerializers }) } as Pick<RegisterOptions, 'logLevel' | 'logSerializers'>
  await fastify.register(dashboardRoutes, { prefix, ...scoped, service: fastify.asyncCharts, hooks, readOnly })
}

/**
 * Pages for operators of the queue. Register it after `asyncCharts`, on the same instance. Access: the `authorize` of the plugin, action `monitor`.
 * @throws CHARTS_ERR_INVALID_OPTIONS
 */
export const asyncChartsDashboard = fp(plugin, { fastify: '5.x', name: 'fastify-async-charts-dashboard' })
export default asyncChartsDashboard
