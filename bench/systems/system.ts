import { randomUUID } from 'node:crypto'

/** What every system is asked for: the body of our create route, and to the peers just data. */
export interface BenchRequest {
  readonly message_id: string
  readonly force_create: true
  readonly adjustment_query: string
}

export interface Producer {
  add (request: BenchRequest): Promise<unknown>
  /** The best call of the system for up to `MAX_BATCH` requests. */
  addBatch (requests: readonly BenchRequest[]): Promise<unknown>
  close (): Promise<void>
}

export interface WorkerOptions {
  readonly concurrency: number
  /** The handler of a request begins; it does nothing else. */
  readonly onStart: (request: Pick<BenchRequest, 'message_id'>) => void
  /** The worker knows that Redis has the result. */
  readonly onEnd: () => void
}

export interface Server {
  /** Resolves when this process, which does not work tasks, sees that the task has ended. */
  addAndWait (request: BenchRequest): Promise<unknown>
  close (): Promise<void>
}

/** One queue, as its documentation says to use it. What is opened is connected, and ready before the clock starts. */
export interface QueueSystem {
  openProducer (url: string): Promise<Producer>
  openWorker (url: string, options: WorkerOptions): Promise<{ close (): Promise<void> }>
  openServer (url: string): Promise<Server>
}

export const MAX_BATCH = 100
/** Every request is as long as this, as JSON. */
const REQUEST_BYTES = 500

export function makeRequest (i: number): BenchRequest {
  const request = { message_id: randomUUID(), force_create: true as const, adjustment_query: `${i}: ` }
  const missing = REQUEST_BYTES - Buffer.byteLength(JSON.stringify(request))
  return { ...request, adjustment_query: request.adjustment_query + 'revenue by quarter and region '.repeat(20).slice(0, missing) }
}
