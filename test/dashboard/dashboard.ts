import type { FastifyInstance } from 'fastify'
import { asyncChartsDashboard, type AsyncChartsDashboardOptions } from '../../lib/dashboard/index.ts'
import { startHost, type Caller, type Host, type HostOptions, type StoreKind } from '../helpers/app.ts'

/** Operations that `looks` may do; root may do all, other users none. */
export const LOOKING = ['stats', 'list', 'inspect', 'workers', 'history', 'failures']
const authorize: HostOptions['authorize'] = ({ user_id }, access) =>
  access.action !== 'monitor' || user_id === 'root' || (user_id === 'looks' && LOOKING.includes(access.operation))

export interface DashboardHost {
  readonly host: Host
  readonly app: FastifyInstance
  /** Requests as root, unless the headers name another user. */
  get (path: string, headers?: Record<string, string>): ReturnType<Caller['get']>
  post (path: string, body?: unknown, headers?: Record<string, string>): ReturnType<Caller['get']>
}

/** Starts a host with the dashboard. */
export async function startDashboard (t: { readonly name: string, teardown (ended: () => unknown): unknown }, kind: StoreKind = 'memory', { dashboard = {}, ...options }: HostOptions & { dashboard?: AsyncChartsDashboardOptions } = {}): Promise<DashboardHost> {
  const host = await startHost(t, kind, { authorize, ...options })
  await host.app.register(asyncChartsDashboard, dashboard)
  const prefix = dashboard.prefix ?? '/charts-dashboard'
  const root = { 'x-user': 'root' }
  return {
    host,
    app: host.app,
    get: async (path, headers = {}) => host.app.inject({ url: `${prefix}${path}`, headers: { ...root, ...headers } }),
    post: async (path, body = {}, headers = {}) => host.app.inject({ method: 'POST', url: `${prefix}${path}`, headers: { ...root, 'content-type': 'application/json', ...headers }, payload: JSON.stringify(body) })
  }
}
