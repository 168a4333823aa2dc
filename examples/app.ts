import Fastify, { type FastifyInstance } from 'fastify'
import asyncCharts, { type AsyncChartsOptions } from 'fastify-async-charts'
import { chatPage } from './chat/chat-page.ts'
import { identify } from './chat/chat-user.ts'

export interface ChatOptions extends Omit<AsyncChartsOptions, 'identify' | 'prefix'> {
  /** Default `error`: each chart that fails for good is a line. */
  logLevel: string | undefined
}

/** The chat: its page, and the routes of the plugin. */
export async function buildApp ({ logLevel = 'error', ...options }: ChatOptions): Promise<FastifyInstance> {
  const app = Fastify({ logger: { level: logLevel } })
  await app.register(asyncCharts, { ...options, identify })
  await app.register(chatPage)
  return app
}
