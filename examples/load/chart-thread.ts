// The generator of the chat, in a thread that the load test can kill.
import { BroadcastChannel } from 'node:worker_threads'
import type { GenerateChart } from 'fastify-async-charts'
import { chartGenerator } from '../charts/generate-chart.ts'
import { settings } from '../settings.ts'
import { CHANNEL, type FromThread, type ToThread } from './thread-messages.ts'

const generate = chartGenerator({ pace: settings.pace })
const running = new Set<string>()
const channel = new BroadcastChannel(CHANNEL)
const say = (message: FromThread) => channel.postMessage(message)

channel.onmessage = event => {
  const message = (event as { data: ToThread | FromThread }).data
  // Ends the whole thread at once.
  if ('kill' in message && running.has(message.kill)) process.exit(1)
}
channel.unref()

const generateInThread: GenerateChart = async (request, context) => {
  const { task_id } = request
  running.add(task_id)
  say({ runs: task_id })
  try {
    return await generate(request, context)
  } finally {
    running.delete(task_id)
    say({ ended: task_id })
  }
}
export default generateInThread
