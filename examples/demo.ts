// The whole chat in one process, without Redis: what it knows is gone when it ends.
import { memoryStore } from 'fastify-async-charts'
import { buildApp } from './app.ts'
import { chartGenerator } from './charts/generate-chart.ts'
import { serve } from './serve.ts'
import { settings } from './settings.ts'

const { concurrency, logLevel, pace } = settings
const app = await buildApp({
  store: memoryStore(),
  generate: chartGenerator({ pace }),
  // Running charts would have nowhere to be handed back to.
  worker: { concurrency, shutdownTimeout: 0 },
  logLevel
})
const address = await serve(app, settings)

console.log(`
  An analytics chat is at ${address}

  - Generate a chart and watch its steps; start three, and one waits in the queue
  - Reload the page while one is running: it is picked up again
  - Cancel one; ask for “as a pie chart”, and mend it with Retry
  - Adjust: “by weather”, “as a line chart, only 2015”, “top 5”, “log scale”, “title: …”

  Ctrl-C ends it. PORT=3001 takes another port, PACE=3000 makes the steps slower.
`)
