// A worker process of the chat. Start as many as you like.
import { runWorker } from 'fastify-async-charts'
import { pino } from 'pino'
import { chartGenerator } from './charts/generate-chart.ts'
import { connectRedis, settings } from './settings.ts'

const { concurrency, keyPrefix, leaseDuration, logLevel, pace } = settings
const logger = pino({ level: logLevel ?? 'error' })
const redis = connectRedis(error => logger.error(error))
const worker = await runWorker({ redis, keyPrefix, concurrency, leaseDuration, logger, generate: chartGenerator({ pace }) })

console.log(`Making charts, ${concurrency} at a time; Ctrl-C drains`)
await worker.done
redis.disconnect()
process.exit(0)
