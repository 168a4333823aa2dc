import { buildDemo } from './demo-app.ts'
import { serve } from './serve.ts'
import { settings } from './settings.ts'

const address = await serve(await buildDemo(settings), settings)

console.log(`
  The analytics chat is at ${address}

  - Generate a chart and watch its steps; start three, and one waits in the queue
  - Reload the page while a chart is being made: the page shows it again
  - Cancel a chart; ask for “as a pie chart”, and correct it with Retry
  - Adjust: “by weather”, “as a line chart, since 2010”, “top 5”, “log scale”, “title: …”

  The dashboard of its queue is at ${address}/dashboard/, and a load test that kills a worker at ${address}/load.html

  Press Ctrl-C to stop. PORT=3001 uses another port, PACE=3000 slows the steps down.
`)
