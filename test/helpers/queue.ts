import { randomUUID } from 'node:crypto'
import { Redis } from 'ioredis'
import {
  ChartQueueService, memoryStore, runWorker, type ChartQueueServiceOptions, type ChartTask, type ChartWorker, type CreateChartRequest,
  type GenerateChart, type Identity, type JsonValue, type RunWorkerOptions, type StoreChoice
} from '../../lib/index.ts'
import { silentLogger } from '../../lib/silent-logger.ts'
import { redisUrl, removeKeys, uniquePrefix } from './redis.ts'

export const stores: ReadonlyArray<'memory' | 'redis'> = process.env['TEST_STORES'] === 'memory' ? ['memory'] : ['memory', 'redis']

interface Test {
  readonly name: string
  teardown (ended: () => unknown): unknown
}

export interface QueueOptions extends Omit<ChartQueueServiceOptions, keyof StoreChoice> {
  /** Another Redis than the one all tests share. */
  url?: string
}

const FINAL: readonly string[] = ['COMPLETED', 'FAILED', 'CANCELLED']

/** A queue for tests of workers: its service, and workers that end with the test. Attempts follow each other at once. */
export async function startQueue (t: Test, kind: typeof stores[number], options: QueueOptions = {}): Promise<Queue> {
  const { url, ...given } = options
  const keyPrefix = uniquePrefix(t)
  const redis = kind === 'redis' ? new Redis(url ?? await redisUrl()) : null
  redis?.on('error', () => {})
  const place: StoreChoice = redis ? { redis } : { store: memoryStore() }
  const queue = new Queue(keyPrefix, redis, place, given)
  t.teardown(async () => {
    await queue.close()
    if (!redis) return
    await removeKeys(redis, keyPrefix).catch(() => {})
    redis.disconnect()
  })
  // Where many files share a process, to connect may take longer than a call has.
  if (redis) await queue.service.ready(15_000)
  return queue
}

export class Queue {
  readonly keyPrefix: string
  /** A connection of the host's own; null where tasks live in memory. */
  readonly redis: Redis | null
  readonly place: StoreChoice
  readonly service: ChartQueueService
  /** What is closed after the workers have stopped. */
  readonly closing: Array<() => Promise<unknown>> = []
  readonly #options: QueueOptions
  readonly #workers: ChartWorker[] = []

  constructor (keyPrefix: string, redis: Redis | null, place: StoreChoice, options: QueueOptions) {
    this.keyPrefix = keyPrefix
    this.redis = redis
    this.place = place
    this.#options = options
    this.service = new ChartQueueService({
      ...place, keyPrefix, ...options, retry: { ...options.retry, backoff: { delay: 0, ...options.retry?.backoff } }
    })
  }

  async work (generate: GenerateChart | URL, options: Partial<RunWorkerOptions> = {}): Promise<ChartWorker> {
    const { chartStore, limits } = this.#options
    const place = options.redis || options.store ? {} : this.place
    const worker = await runWorker({
      ...place, keyPrefix: this.keyPrefix, chartStore, limits, generate, handleSignals: false, shutdownTimeout: 0, logger: silentLogger, ...options
    })
    this.#workers.push(worker)
    return worker
  }

  async enqueue (request: Partial<CreateChartRequest> = {}, identity: Identity = { user_id: 'ada' }): Promise<ChartTask> {
    const { task } = await this.service.enqueueChartTask({ message_id: randomUUID(), ...request }, identity)
    return task
  }

  /** The first state of the task that is as wanted; fails when the task ends otherwise. */
  async state (task_id: string, wanted: (task: ChartTask) => boolean): Promise<ChartTask> {
    let last
    for await (const task of this.service.watchTask(task_id)) {
      if (wanted(task)) return task
      last = task
    }
    throw new Error(`never as wanted: ${JSON.stringify(last)}`)
  }

  ended (task_id: string): Promise<ChartTask> {
    return this.state(task_id, task => FINAL.includes(task.status))
  }

  /** One task from its creation to its end. */
  async run (request: Partial<CreateChartRequest> = {}, identity?: Identity): Promise<ChartTask> {
    const { task_id } = await this.enqueue(request, identity)
    return this.ended(task_id)
  }

  async content (task: ChartTask): Promise<JsonValue | undefined> {
    const chart = await this.service.getChart(task)
    return chart?.content
  }

  async close (): Promise<void> {
    await Promise.all(this.#workers.map(worker => worker.stop()))
    await this.service.close()
    await Promise.all(this.closing.map(close => close()))
  }
}

/** The ids of the package's own connections for one purpose, whoever holds them. */
export async function connections (redis: Redis, purpose: 'commands' | 'subscriber' | 'blocking'): Promise<number[]> {
  const list = String(await redis.client('LIST'))
  return list.split('\n').filter(line => line.includes(`name=async-charts:${purpose}`)).map(line => Number(/id=(\d+)/.exec(line)![1]))
}
