import type { Logger } from './generator.ts'
import { resolveOptions } from './options/resolve.ts'
import { ServiceOptionsSchema } from './options/schemas.ts'
import type { LimitsOptions, RetentionOptions, RetryOptions } from './options/types.ts'
import type { ChartStore } from './service/chart-store.ts'
import { QueueService } from './service/queue-service.ts'
import { silentLogger } from './silent-logger.ts'
import type { RedisClient } from './store/redis/connections.ts'
import { RedisStore } from './store/redis/redis-store.ts'
import type { TaskStore } from './store/task-store.ts'
import type { ChartTask, Identity } from './task.ts'
import type { Telemetry } from './telemetry/channels.ts'

/** Where tasks live: exactly one of the two. */
export interface StoreChoice {
  /** An ioredis `Redis` or `Cluster`. It stays yours: the package works on duplicates of it. */
  redis?: RedisClient | undefined
  /** Instead of `redis`: `memoryStore()`, or a store of your own that passes the store conformance suite. */
  store?: TaskStore | undefined
}

/** What every process of a queue is given: web processes, workers and programs. */
export interface QueueOptions<Content = any> extends StoreChoice {
  /**
   * Start of every Redis key and channel; becomes the hash tag `{async-charts}`. Processes with the same one share a queue.
   * @default 'async-charts'
   */
  keyPrefix?: string | undefined
  /** What one tenant, one request and one chart may take. */
  limits?: LimitsOptions | undefined
  /** Where finished charts live: `{ save, get, findByMessage, delete? }`. Without it: beside the tasks. Give the same one to every process. */
  chartStore?: ChartStore<Content> | undefined
  /**
   * `(task) => unknown`: called after a task has ended, in the process that ended it. Best effort: it may be called twice, and is missed if the process
   * dies first. An error that it throws is only logged.
   */
  onFinished?: ((task: ChartTask) => unknown) | undefined
  /** What is told of the queue: `otel()` of `fastify-async-charts/otel`, or a listener of your own. */
  telemetry?: Telemetry | undefined
  /**
   * A pino-compatible logger. Without it, the plugin writes to `fastify.log`, `runWorker` writes warnings and errors to the console, and
   * `ChartQueueService` is silent.
   */
  logger?: Logger | undefined
}

/** What is given to the processes that create tasks: it is stored with each task, or decides whether there is one. */
export interface CreatorOptions {
  /** How long finished tasks are kept. Nothing unfinished ever expires. */
  retention?: RetentionOptions | undefined
  /** How often a chart is attempted. */
  retry?: RetryOptions | undefined
  /**
   * JSON Schema of `params`, your own input to your generator, of draft-07 or, where its `$schema` says so, 2020-12. Without it, a request with `params`
   * is refused.
   */
  paramsSchema?: object | undefined
  /**
   * `(identity) => number`: turns of the tenant in a round, a whole number from 1 to 60. A tenant with more turns waits less. Without it all tenants
   * have one. Stored with each task when it is created.
   */
  tenantWeight?: ((identity: Identity) => number) | undefined
}

export interface ChartQueueServiceOptions extends QueueOptions, CreatorOptions {
  /**
   * ms that a lease of `dequeueChartTask` lasts unless it is extended.
   * @default 10000
   */
  leaseDuration?: number | undefined
  /**
   * ms between two reads of watched tasks while pub/sub is down.
   * @default 2000
   */
  pollInterval?: number | undefined
  /** @deprecated Renamed to `pollInterval`. Accepted until the next minor version, with the warning `CHARTS_DEP002`. */
  poll?: number | undefined
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
