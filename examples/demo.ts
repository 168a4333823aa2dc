// The whole chat in one process, without Redis: its charts are lost when it ends.
import { memoryStore } from 'fastify-async-charts'
import { buildApp } from './app.ts'
import { chartGenerator } from './charts/generate-chart.ts'
import { threadWorkers } from './load/load-workers.ts'
import { serve } from './serve.ts'
import { settings } from './settings.ts'

const { concurrency, logLevel, pace } = settings
const store = memoryStore()
const app = await buildApp({
  store,
  generate: chartGenerator({ pace }),
  // Waiting for running charts is pointless: the store ends with this process.
  worker: { concurrency, shutdownTimeout: 0 },
  // A chart that could not be made is shown in the page.
  logLevel: logLevel ?? 'fatal',
  loadWorkers: () => threadWorkers({ store, concurrency })
})
const address = await serve(app, settings)

console.log(`
  The analytics chat is at ${address}

  - Generate a chart and watch its steps; start three, and one waits in the queue
  - Reload the page while a chart is being made: the page shows it again
  - Cancel a chart; ask for “as a pie chart”, and correct it with Retry
  - Adjust: “by weather”, “as a line chart, since 2010”, “top 5”, “log scale”, “title: …”

  The dashboard of its queue is at ${address}/dashboard/, and a load test that kills a worker at ${address}/load.html

  Press Ctrl-C to stop. PORT=3001 uses another port, PACE=3000 slows the steps down.
`)
