import type { FastifyInstance } from 'fastify'
import { memoryStore } from 'fastify-async-charts'
import { buildApp } from './app.ts'
import { chartGenerator } from './charts/generate-chart.ts'
import { threadWorkers } from './load/load-workers.ts'

export interface DemoSettings {
  readonly concurrency: number
  /** As in settings.ts. */
  readonly pace: number
  readonly logLevel: string | undefined
}

/** The whole chat in one process, without Redis: its charts are lost when it ends. */
export async function buildDemo ({ concurrency, pace, logLevel }: DemoSettings): Promise<FastifyInstance> {
  const store = memoryStore()
  return buildApp({
    store,
    generate: chartGenerator({ pace }),
    // Waiting for running charts is pointless: the store ends with this process.
    worker: { concurrency, shutdownTimeout: 0 },
    // A chart that could not be made is shown in the page.
    logLevel: logLevel ?? 'fatal',
    loadWorkers: () => threadWorkers({ store, concurrency })
  })
}
