// The web process of the chat, with its metrics and those of the whole queue at /metrics. Keep that path from the public in earnest.
import { buildApp } from '../app.ts'
import { processWorkers } from '../load/load-workers.ts'
import { serve } from '../serve.ts'
import { connectRedis, settings } from '../settings.ts'
import { prometheus } from './prometheus.ts'

const { keyPrefix, logLevel } = settings
const redis = connectRedis(error => console.error(`Redis: ${error.message}`))
const metrics = prometheus({ queueGauges: true })
const app = await buildApp({
  redis, keyPrefix, logLevel, telemetry: metrics.telemetry, loadWorkers: app => processWorkers(() => app.asyncCharts)
})
app.get('/metrics', (request, reply) => {
  reply.hijack()
  metrics.scrape(request.raw, reply.raw)
})
app.addHook('onClose', async () => {
  await metrics.close()
  redis.disconnect()
})

const address = await serve(app, settings)
console.log(`The chat is at ${address}; its metrics are at ${address}/metrics`)
