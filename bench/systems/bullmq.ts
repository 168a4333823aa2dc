// BullMQ with its defaults, on the same version of ioredis as this package. It keeps all finished jobs.
import { setTimeout as delay } from 'node:timers/promises'
import { requirePeer } from './peers-package.ts'
import type { BenchRequest, QueueSystem } from './system.ts'

interface Part { waitUntilReady (): Promise<unknown>, close (force?: boolean): Promise<void> }
interface Job { readonly data: BenchRequest, waitUntilFinished (events: Part): Promise<unknown> }
interface Connected { readonly connection: object }
interface BullMQ {
  readonly Queue: new (name: string, options: Connected) => Part & {
    add (name: string, data: BenchRequest): Promise<Job>
    addBulk (jobs: ReadonlyArray<{ name: string, data: BenchRequest }>): Promise<Job[]>
  }
  readonly Worker: new (name: string, handler: (job: Job) => Promise<unknown>, options: Connected & { concurrency: number }) => Part & {
    on (event: 'completed', listener: () => void): unknown
  }
  readonly QueueEvents: new (name: string, options: Connected) => Part
}

const QUEUE = 'charts'
const JOB = 'chart'
/** ms after which the blocking read of the events has surely begun. */
const READ_DELAY_MS = 200

const load = () => requirePeer('bullmq') as BullMQ
const connection = (url: string) => ({ host: new URL(url).hostname, port: Number(new URL(url).port), maxRetriesPerRequest: null })

export const bullmq: QueueSystem = {
  async openProducer (url) {
    const queue = new (load().Queue)(QUEUE, { connection: connection(url) })
    await queue.waitUntilReady()
    return {
      add: request => queue.add(JOB, request),
      addBatch: requests => queue.addBulk(requests.map(data => ({ name: JOB, data }))),
      close: () => queue.close()
    }
  },

  async openWorker (url, { concurrency, onStart, onEnd }) {
    const worker = new (load().Worker)(QUEUE, async ({ data }) => {
      onStart(data)
      return {}
    }, { connection: connection(url), concurrency })
    worker.on('completed', onEnd)
    await worker.waitUntilReady()
    return { close: () => worker.close() }
  },

  async openServer (url) {
    const { Queue, QueueEvents } = load()
    const queue = new Queue(QUEUE, { connection: connection(url) })
    const events = new QueueEvents(QUEUE, { connection: connection(url) })
    await Promise.all([queue.waitUntilReady(), events.waitUntilReady()])
    await delay(READ_DELAY_MS)
    return {
      async addAndWait (request) {
        const job = await queue.add(JOB, request)
        return job.waitUntilFinished(events)
      },
      async close () {
        await Promise.all([queue.close(), events.close()])
      }
    }
  }
}
