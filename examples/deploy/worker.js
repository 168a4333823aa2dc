// A worker process. SIGTERM drains it: running charts finish or are released.
import { createServer } from 'node:http'
import { runWorker } from 'fastify-async-charts'
import { pino } from 'pino'
import { generate } from './generate.js'
import { connectRedis, settings } from './settings.js'

const { port, concurrency, shutdownTimeout } = settings
const logger = pino()
const redis = connectRedis(logger)
const worker = await runWorker({ redis, generate, concurrency, shutdownTimeout, logger })

// `/live`: that it answers is the proof. `/ready` tells a rollout that this version has found Redis.
const probes = createServer(({ url }, response) => {
  response.writeHead(url === '/live' || (url === '/ready' && redis.status === 'ready') ? 200 : 503).end()
}).listen(port)

await worker.done
probes.close()
redis.disconnect()
// A generator that has ignored its signal would go on.
process.exit()
