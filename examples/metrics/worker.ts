// A worker process of the chat, with a server of its own for its metrics.
import { createServer } from 'node:http'
import { runWorker } from 'fastify-async-charts'
import { pino } from 'pino'
import { chartGenerator } from '../charts/generate-chart.ts'
import { connectRedis, settings } from '../settings.ts'
import { prometheus } from './prometheus.ts'

const { concurrency, host, keyPrefix, leaseDuration, logLevel, pace, metricsPort } = settings
const logger = pino({ level: logLevel ?? 'error' })
const redis = connectRedis(error => logger.error(error))
const metrics = prometheus({ queueGauges: false })
const server = createServer((request, response) => {
  if (request.url === '/metrics') metrics.scrape(request, response)
  else response.writeHead(404).end()
}).listen(metricsPort, host)
const worker = await runWorker({
  redis, keyPrefix, concurrency, leaseDuration, logger, generate: chartGenerator({ pace }), telemetry: metrics.telemetry
})

console.log(`Making charts, ${concurrency} at a time; metrics are at http://${host}:${metricsPort}/metrics; Ctrl-C drains`)
await worker.done
server.close()
await metrics.close()
redis.disconnect()
process.exit(0)
