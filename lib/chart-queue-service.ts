import type { Logger } from './generator.ts'
import { resolveOptions, ServiceOptionsSchema, type Given, type ResolvedLimits } from './options.ts'
import type { ChartStore } from './service/chart-store.ts'
import { QueueService } from './service/queue-service.ts'
import { silentLogger } from './silent-logger.ts'
import type { RedisClient } from './store/redis/connections.ts'
import { RedisStore } from './store/redis/redis-store.ts'
import type { Retention, RetryPolicy, TaskStore } from './store/task-store.ts'
import type { ChartTask, Identity } from './task.ts'
import type { Telemetry } from './telemetry/channels.ts'

/** Where tasks live: exactly one of the two. */
export interface StoreChoice {
  /** An ioredis `Redis` or `Cluster` that the host owns; the package works on duplicates of it. */
  redis?: RedisClient | undefined
  /** Instead of `redis`: `memoryStore()`, or any object that passes the store conformance suite. */
  store?: TaskStore | undefined
}

export interface ChartQueueServiceOptions extends StoreChoice {
  /** Start of every Redis key and channel, as one hash tag. Default `async-charts`. */
  keyPrefix?: string | undefined
  /** Seconds from the end of the task. Default `{ task: 86400, status: 3600, messageIndex: 86400 }`. */
  retention?: Given<Retention> | undefined
  /** Default `{ attempts: 3, backoff: { type: 'exponential', delay: 1000, max: 60000, jitter: 0.5 } }`. */
  retry?: { attempts?: number | undefined, backoff?: Given<RetryPolicy['backoff']> | undefined } | undefined
  limits?: Given<ResolvedLimits> | undefined
  chartStore?: ChartStore | undefined
  /** ms that a lease of `dequeueChartTask` lasts. Default 10,000. */
  leaseDuration?: number | undefined
  /** ms between reads of watched tasks while hints do not arrive. Default 2,000. */
  poll?: number | undefined
  /** JSON Schema of `params`; without it, `params` is refused. */
  paramsSchema?: object | undefined
  /** Turns of a tenant in a round, a whole number from 1 to 60: who pays more, waits less. Default 1 for all. */
  tenantWeight?: ((identity: Identity) => number) | undefined
  /** After a task has ended, in the process that ended it; at least once, its errors only logged. */
  onFinished?: ((task: ChartTask) => unknown) | undefined
  /** What is told of the queue: `otel()` of `fastify-async-charts/otel`, or a listener of your own. */
  telemetry?: Telemetry | undefined
  /** Default: silent. */
  logger?: Logger | undefined
}

/** The queue on Redis or in memory, for code without Fastify. @throws CHARTS_ERR_INVALID_OPTIONS */
export class ChartQueueService extends QueueService {
  readonly #closeStore: () => Promise<void>

  constructor (options: ChartQueueServiceOptions) {
    const resolved = resolveOptions(ServiceOptionsSchema, options)
    const logger = options.logger ?? silentLogger
    const store = options.store ?? new RedisStore({ redis: options.redis!, keyPrefix: resolved.keyPrefix, logger })
    super({
      ...resolved,
      chartStore: options.chartStore,
      onFinished: options.onFinished,
      tenantWeight: options.tenantWeight,
      paramsSchema: options.paramsSchema,
      telemetry: options.telemetry,
      logger,
      store
    })
    this.#closeStore = options.store ? async () => {} : () => store.close()
  }

  /** Ends all watches, waits for `onFinished`, and closes the service's own connections; never the host's. */
  override async close (): Promise<void> {
    await super.close()
    await this.#closeStore()
  }
}
