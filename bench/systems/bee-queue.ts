// Bee-Queue as its README says: what a process does not use is switched off, stalled jobs are checked for. It keeps all finished jobs.
import { requirePeer } from './peers-package.ts'
import type { BenchRequest, QueueSystem } from './system.ts'

interface Job { readonly id: string, readonly data: BenchRequest, save (): Promise<Job> }
interface Bee {
  ready (): Promise<unknown>
  createJob (data: BenchRequest): Job
  saveAll (jobs: readonly Job[]): Promise<Map<Job, Error>>
  process (concurrency: number, handler: (job: Job) => Promise<unknown>): void
  checkStalledJobs (interval: number): Promise<unknown>
  on (event: 'succeeded', listener: (job: Job) => void): unknown
  on (event: 'job succeeded', listener: (id: string) => void): unknown
  close (timeout?: number): Promise<unknown>
}
type BeeConstructor = new (name: string, options: object) => Bee

const QUEUE = 'charts'
/** ms between two checks for jobs of workers that are gone: that of the README. */
const STALLED_INTERVAL_MS = 5_000

async function open (url: string, options: object): Promise<Bee> {
  const { hostname: host, port } = new URL(url)
  const queue = new (requirePeer('bee-queue') as BeeConstructor)(QUEUE, { redis: { host, port: Number(port) }, storeJobs: false, ...options })
  await queue.ready()
  return queue
}

export const beeQueue: QueueSystem = {
  async openProducer (url) {
    const queue = await open(url, { isWorker: false, getEvents: false })
    return {
      add: request => queue.createJob(request).save(),
      async addBatch (requests) {
        const [error] = (await queue.saveAll(requests.map(request => queue.createJob(request)))).values()
        if (error) throw error
      },
      async close () { await queue.close() }
    }
  },

  async openWorker (url, { concurrency, onStart, onEnd }) {
    const queue = await open(url, { getEvents: false })
    queue.on('succeeded', onEnd)
    queue.process(concurrency, async ({ data }) => {
      onStart(data)
      return {}
    })
    await queue.checkStalledJobs(STALLED_INTERVAL_MS)
    return { async close () { await queue.close() } }
  },

  async openServer (url) {
    const queue = await open(url, { isWorker: false })
    // An event may come before the reply that names its job.
    const ended = new Set<string>()
    const waiting = new Map<string, () => void>()
    queue.on('job succeeded', id => {
      const tell = waiting.get(id)
      if (!tell) return ended.add(id)
      waiting.delete(id)
      tell()
    })
    return {
      async addAndWait (request) {
        const { id } = await queue.createJob(request).save()
        if (!ended.delete(id)) await new Promise<void>(resolve => waiting.set(id, resolve))
      },
      async close () { await queue.close() }
    }
  }
}
