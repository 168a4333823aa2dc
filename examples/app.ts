import Fastify, { type FastifyInstance } from 'fastify'
import asyncCharts, { type AsyncChartsOptions } from 'fastify-async-charts'
import { asyncChartsDashboard } from 'fastify-async-charts/dashboard'
import { chatPage } from './chat/chat-page.ts'
import { identify, welcome } from './chat/chat-user.ts'
import { loadTest } from './load/load-test.ts'
import type { LoadWorkers } from './load/load-workers.ts'

export interface ChatOptions extends Omit<AsyncChartsOptions, 'identify' | 'authorize' | 'prefix'> {
  /** Default `error`: each chart that fails for good is a line. */
  logLevel: string | undefined
  /** The workers that the load test adds to the others. */
  loadWorkers: (app: FastifyInstance) => LoadWorkers
}

/** The chat: its page, the routes of the plugin, the dashboard, and a load test to watch there. */
export async function buildApp ({ logLevel = 'error', loadWorkers, ...options }: ChatOptions): Promise<FastifyInstance> {
  const app = Fastify({ logger: { level: logLevel } })
  // Whoever can reach this example may run its queue. A host allows that to its operators alone.
  await app.register(asyncCharts, { ...options, identify, authorize: () => true })
  // Who opens the dashboard first is known from then on, too.
  app.addHook('onRequest', async (request, reply) => { if (request.url.startsWith('/dashboard')) welcome(request, reply) })
  await app.register(asyncChartsDashboard, { prefix: '/dashboard' })
  await app.register(chatPage)
  await app.register(loadTest, { workers: loadWorkers(app) })
  return app
}
