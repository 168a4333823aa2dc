// The web process of the chat. Tasks are in Redis; worker.ts makes the charts.
import { buildApp } from './app.ts'
import { processWorkers } from './load/load-workers.ts'
import { serve } from './serve.ts'
import { connectRedis, settings } from './settings.ts'

const { keyPrefix, logLevel } = settings
const redis = connectRedis(error => console.error(`Redis: ${error.message}`))
const app = await buildApp({ redis, keyPrefix, logLevel, loadWorkers: app => processWorkers(() => app.asyncCharts) })
app.addHook('onClose', () => redis.disconnect())

console.log(`The chat is at ${await serve(app, settings)}; start dist/examples/worker.js to make its charts. Its dashboard is at /dashboard/, a load test at /load.html`)
