// Makes charts with a model: OPENAI_API_KEY is the key, OPENAI_BASE_URL another provider that speaks the same protocol.
import { Redis } from 'ioredis'
import { OpenAI } from 'openai'
import { pino } from 'pino'
import { runWorker } from 'fastify-async-charts'
import { drawBars } from './draw-bars.ts'
import { chartGenerator } from './generate-chart.ts'
import { tokenMetrics } from './token-metrics.ts'

const logger = pino()
const redis = new Redis(process.env['REDIS_URL'] ?? 'redis://127.0.0.1:6379')
redis.on('error', error => logger.warn({ err: error }, 'Redis'))

const generate = chartGenerator({
  client: new OpenAI(),
  model: process.env['MODEL'] ?? 'gpt-5-mini',
  draw: drawBars,
  onUsage: tokenMetrics('openai'),
  // Stands for your database.
  rowsOf: async () => [{ day: 'Mon', apples: 3 }, { day: 'Tue', apples: 7 }, { day: 'Wed', apples: 5 }]
})
// A call mostly waits for its answer: one process has many at a time.
const worker = await runWorker({ redis, generate, concurrency: 16, attemptTimeout: 180_000, logger })

await worker.done
redis.disconnect()
