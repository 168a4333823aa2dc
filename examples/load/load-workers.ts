import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { BroadcastChannel } from 'node:worker_threads'
import { runWorker, type ChartQueueService, type ChartWorker, type TaskStore } from 'fastify-async-charts'
import { pino } from 'pino'
import { CHANNEL, type FromThread } from './thread-messages.ts'

/** The killed worker, and the tasks that it was running. */
export interface Killed {
  readonly worker: string
  readonly task_ids: readonly string[]
}

/** Additional workers for the load test; one of them is killed. */
export interface LoadWorkers {
  start (): Promise<void>
  /** Waits until a worker runs a task, then kills it. */
  kill (signal: AbortSignal): Promise<Killed>
  stop (): Promise<void>
}

/** ms between two checks whether a task runs. */
const LOOK = 100

/** For a memory store: a worker with generator threads. One of the threads is killed. */
export function threadWorkers ({ store, concurrency }: { store: TaskStore, concurrency: number }): LoadWorkers {
  const generate = new URL('./chart-thread.js', import.meta.url)
  const channel = new BroadcastChannel(CHANNEL)
  const running = new Set<string>()
  channel.onmessage = event => {
    const message = (event as { data: FromThread }).data
    if ('runs' in message) running.add(message.runs)
    else if ('ended' in message) running.delete(message.ended)
  }
  channel.unref()
  let worker: ChartWorker | undefined
  return {
    async start () {
      // The killed thread would be logged as an error.
      worker = await runWorker({ store, generate, concurrency, handleSignals: false, shutdownTimeout: 0, logger: pino({ level: 'silent' }) })
    },
    async kill (signal) {
      while (running.size === 0) await delay(LOOK, undefined, { signal })
      const [task_id] = running
      running.clear()
      channel.postMessage({ kill: task_id })
      return { worker: 'a worker thread', task_ids: [task_id!] }
    },
    async stop () {
      await worker?.stop()
      worker = undefined
    }
  }
}

/** For Redis: two worker processes. One is killed with SIGKILL, the other goes on. */
export function processWorkers (queue: () => ChartQueueService): LoadWorkers {
  const path = fileURLToPath(new URL('../worker.js', import.meta.url))
  let children: ChildProcess[] = []
  const endAll = () => { for (const child of children) child.kill('SIGTERM') }
  process.once('exit', endAll)
  return {
    async start () {
      children = [0, 1].map(() => fork(path, { stdio: 'ignore' }))
    },
    async kill (signal) {
      for (;;) {
        const { workers } = await queue().getWorkers()
        const worker = workers.find(({ pid, running }) => running.length > 0 && children.some(child => child.pid === pid))
        if (worker) {
          process.kill(worker.pid, 'SIGKILL')
          return { worker: `worker process ${worker.pid}`, task_ids: worker.running.map(({ task_id }) => task_id) }
        }
        await delay(LOOK, undefined, { signal })
      }
    },
    async stop () {
      const ended = children.filter(child => child.exitCode === null && child.signalCode === null).map(child => once(child, 'exit'))
      endAll()
      await Promise.all(ended)
      children = []
    }
  }
}
