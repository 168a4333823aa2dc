import type { Logger, ProgressUpdate } from './generator.ts'
import { resolveOptions } from './options/resolve.ts'
import { ServiceOptionsSchema } from './options/schemas.ts'
import type { LimitsOptions, RetentionOptions, RetryOptions } from './options/types.ts'
import type { EnqueueBatchResult, EnqueueOptions, EnqueueResult } from './service/admission.ts'
import { idOf } from './service/arguments.ts'
import type { BulkFilter, BulkOptions, BulkResult } from './service/bulk.ts'
import type { ChartStore } from './service/chart-store.ts'
import { collect } from './service/collect.ts'
import { activeTasks, messageCharts } from './service/collected-answers.ts'
import type { GroupState } from './service/group-feed.ts'
import type { MessageCharts, MessageChartsOptions } from './service/listed-charts.ts'
import type { QueueFailures, QueueHistory } from './service/monitoring.ts'
import type { Outcome } from './service/outcome.ts'
import { createQueue, type Queue } from './service/queue.ts'
import { checkList, type ListTasksOptions } from './service/task-list.ts'
import { silentLogger } from './silent-logger.ts'
import type { RedisClient } from './store/redis/connections.ts'
import { RedisStore } from './store/redis/redis-store.ts'
import type { QueueStats, TaskDetails, TaskPage, TaskStore, WorkerList } from './store/task-store.ts'
import type { BatchedChartRequest, Chart, ChartRequest, ChartTask, CreateChartRequest, Identity } from './task.ts'
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

/**
 * Opens the parts of a queue on Redis or in a given store, for the plugin, `runWorker` and `ChartQueueService`.
 * @throws CHARTS_ERR_INVALID_OPTIONS
 */
export function openQueue (options: ChartQueueServiceOptions): Queue {
  const resolved = resolveOptions(ServiceOptionsSchema, options)
  const { chartStore, onFinished, tenantWeight, paramsSchema, telemetry, logger = silentLogger } = options
  const store = options.store ?? new RedisStore({ redis: options.redis!, keyPrefix: resolved.keyPrefix, logger })
  const queue = createQueue({ ...resolved, chartStore, onFinished, tenantWeight, paramsSchema, telemetry, logger, store })
  // A store that was given belongs to the host.
  if (options.store) return queue
  return {
    ...queue,
    async close () {
      await queue.close()
      await store.close()
    }
  }
}

let partsOf: (service: ChartQueueService) => Queue

/** The parts of a service, for the routes and the worker of the same process. Not part of the public interface. */
export function queueOf (service: ChartQueueService): Queue {
  return partsOf(service)
}

/**
 * A queue of chart tasks, on Redis or in memory. It knows no HTTP and checks no permissions: the caller gives the identity, and compares the
 * owner of a task itself.
 */
export class ChartQueueService {
  readonly #queue: Queue

  static {
    partsOf = service => service.#queue
  }

  /** @throws CHARTS_ERR_INVALID_OPTIONS */
  constructor (options: ChartQueueServiceOptions) {
    this.#queue = openQueue(options)
  }

  /**
   * Accepts a chart task. Unless `force_create` is true, a task that asks for the same chart is returned instead: same message, user, org,
   * visibility, adjustment and params.
   * @param options.idempotencyKey a key of the caller's choice: the same request with the same key is the same task
   * @param options.trace where the request came from, for a program that is in no active span; used if something listens
   * @throws CHARTS_ERR_INVALID_REQUEST, CHARTS_ERR_REQUEST_TOO_LARGE, CHARTS_ERR_TOO_MANY_TASKS, CHARTS_ERR_QUEUE_FULL,
   * CHARTS_ERR_IDEMPOTENCY_KEY_REUSED, CHARTS_ERR_DEPENDENCY_UNKNOWN, CHARTS_ERR_DEPENDENCY_FAILED, CHARTS_ERR_STORE_UNAVAILABLE (the task
   * may have been queued all the same)
   */
  async enqueueChartTask (request: CreateChartRequest, identity: Identity, options: EnqueueOptions = {}): Promise<EnqueueResult> {
    const { telemetry, admission, estimates } = this.#queue
    const enqueuing = telemetry.send(1, options.trace, trace => admission.enqueue(request, identity, options.idempotencyKey, trace))
    estimates.prepareSoon()
    const { task, outcome } = await enqueuing
    return { task: await estimates.of(task), outcome }
  }

  /**
   * Accepts 1 to 100 chart tasks, all or none. Each may have a `ref`, by which others of the batch depend on it.
   * @throws what `enqueueChartTask` throws. Dependencies in a circle and an unknown ref are CHARTS_ERR_INVALID_REQUEST
   */
  async enqueueChartTasks (requests: readonly BatchedChartRequest[], identity: Identity, options: EnqueueOptions = {}): Promise<EnqueueBatchResult> {
    const { telemetry, admission, estimates } = this.#queue
    const count = Array.isArray(requests) ? requests.length : 0
    const enqueuing = telemetry.send(count, options.trace, trace => admission.enqueueBatch(requests, identity, options.idempotencyKey, trace))
    estimates.prepareSoon()
    const { tasks, ...batch } = await enqueuing
    const estimated = await estimates.ofAll(tasks.map(({ task }) => task))
    return { ...batch, tasks: tasks.map(({ outcome }, i) => ({ outcome, task: estimated[i]! })) }
  }

  /** The tasks of a batch that are still kept, in the order of the request; null: the batch is unknown, or no longer kept. */
  async getBatch (batch_id: string): Promise<{ user_id: string, tasks: ChartTask[] } | null> {
    const batch = await this.#queue.answers.batch(batch_id)
    return batch && { user_id: batch.user_id, tasks: await collect(batch.tasks()) }
  }

  /**
   * Claims the next task, with a lease of `leaseDuration` ms; null: there is none. Extend the lease with `extendLease` before it expires, or
   * another worker gets the task.
   * @param worker_id shown to operators; default: one for each service
   */
  dequeueChartTask (worker_id?: string): Promise<{ task: ChartTask, request: ChartRequest, lease: number } | null> {
    return this.#queue.manualWorker.claim(worker_id)
  }

  /** Stores and announces progress. False: the lease is not the current one, and nothing was changed. */
  updateTaskProgress (task_id: string, lease: number, update: ProgressUpdate): Promise<boolean> {
    return this.#queue.manualWorker.progress(task_id, lease, update)
  }

  /**
   * Ends an attempt: with `content`, the task is completed; with `error`, it is retried or fails, as if a generator had thrown the error.
   * False: the lease is not the current one, and nothing was changed. A repetition with the same lease and outcome returns the same.
   */
  completeTask (task_id: string, lease: number, outcome: Outcome): Promise<boolean> {
    return this.#queue.manualWorker.complete(task_id, lease, outcome)
  }

  /** Extends a lease to `leaseDuration` ms from now. False: the lease is not the current one. */
  extendLease (task_id: string, lease: number): Promise<boolean> {
    return this.#queue.manualWorker.extend(task_id, lease)
  }

  /** Hands a task back: it runs again at once, and the attempt is not counted. False: the lease is not the current one. */
  releaseTask (task_id: string, lease: number): Promise<boolean> {
    return this.#queue.manualWorker.release(task_id, lease)
  }

  /** The task as it is now; null: unknown, or no longer kept. */
  async getTaskStatus (task_id: string): Promise<ChartTask | null> {
    const { store, estimates } = this.#queue
    const [task] = await store.read([idOf(task_id)])
    return task ? estimates.of(task) : null
  }

  /**
   * The request as JSON, byte for byte as it was stored; null: unknown, or no longer kept. A request of more than 1,024 bytes of a cancelled
   * task has no `params` any more, and null for an `adjustment_query` that is longer than that.
   */
  async getTaskData (task_id: string): Promise<string | null> {
    return this.#queue.store.readRequest(idOf(task_id))
  }

  /** Cancels a task. Returns the task; one that had ended before is returned as it is. Null: unknown. */
  async cancelTask (task_id: string): Promise<ChartTask | null> {
    return this.#queue.cancellation.task(idOf(task_id))
  }

  /** Cancels the unfinished tasks of a batch. Returns all of its tasks that are still kept; null: the batch is unknown. */
  async cancelBatch (batch_id: string): Promise<readonly ChartTask[] | null> {
    const batch = await this.#queue.answers.cancelledBatch(batch_id)
    return batch && collect(batch.tasks())
  }

  /** The user's unfinished tasks of a message, newest first: at most 1,000, with at most 8 MiB of `adjustment_query` together. */
  getActiveTasksByMessageId (message_id: string, user_id: string): Promise<ChartTask[]> {
    return activeTasks(this.#queue, message_id, user_id)
  }

  /**
   * The charts, active tasks and failed tasks of a message, newest first: at most `limit` of each, with at most 8 MiB of contents together.
   */
  getMessageCharts (message_id: string, identity: Identity, options: MessageChartsOptions): Promise<MessageCharts> {
    return messageCharts(this.#queue.answers, message_id, identity, options)
  }

  /** The chart that a finished task names; null: it names none, or the chart is no longer kept. */
  getChart (task: ChartTask): Promise<Chart | null> {
    return this.#queue.charts.of(task)
  }

  /** How busy the queue is. */
  getQueueStats (): Promise<QueueStats> {
    return this.#queue.store.stats()
  }

  /** Stops claims in all processes until `resumeQueue`. Running attempts continue, and tasks are accepted as before. */
  pauseQueue (): Promise<void> {
    return this.#queue.store.setPaused(true)
  }

  /** Allows claims again. No effect if the queue is not paused. */
  resumeQueue (): Promise<void> {
    return this.#queue.store.setPaused(false)
  }

  /**
   * Tasks of all users, unfinished ones first, each kind newest first, one page per call. A page may have fewer tasks than `limit` although
   * others follow: the last page has no cursor.
   * @throws CHARTS_ERR_INVALID_REQUEST for an invalid cursor, limit or filter
   */
  async listTasks (options: ListTasksOptions = {}): Promise<TaskPage> {
    const { store, estimates } = this.#queue
    const page = await store.list(checkList(options))
    return { tasks: await estimates.ofAll(page.tasks), cursor: page.cursor }
  }

  /** All that is known of a task, with the history of its attempts; null: unknown, or no longer kept. */
  async getTaskDetails (task_id: string): Promise<TaskDetails | null> {
    const { store, estimates } = this.#queue
    const details = await store.inspect(idOf(task_id))
    return details && { ...details, task: await estimates.of(details.task) }
  }

  /**
   * Asks for the chart of a FAILED task again, for its owner. Returns a new task, whose `retry_of` names the failed one, or a task that asks
   * for the same chart. The failed task does not change. Null: unknown.
   * @throws CHARTS_ERR_TASK_NOT_FAILED, CHARTS_ERR_REQUEST_NOT_KEPT, and what `enqueueChartTask` throws
   */
  async retryTask (task_id: string): Promise<EnqueueResult | null> {
    return this.#queue.retries.retryFailed(idOf(task_id))
  }

  /**
   * Retries all FAILED tasks that match the filter, as `retryTask` does: at most `options.limit`, and for about a second. If `cursor` is not
   * null, call again with it. Harmless when repeated: a task whose retry is in progress or has its chart is skipped.
   * @throws CHARTS_ERR_INVALID_REQUEST, also for a filter without fields
   */
  retryTasks (filter: BulkFilter, options: BulkOptions = {}): Promise<BulkResult> {
    return this.#queue.bulk.retry(filter, options)
  }

  /** Cancels all PENDING and PROCESSING tasks that match the filter, in the same way. @throws CHARTS_ERR_INVALID_REQUEST */
  cancelTasks (filter: BulkFilter, options: BulkOptions = {}): Promise<BulkResult> {
    return this.#queue.bulk.cancel(filter, options)
  }

  /** The registered workers, at most 1,000, and their running attempts. */
  getWorkers (): Promise<WorkerList> {
    return this.#queue.monitoring.workers()
  }

  /**
   * Counts and durations of tasks, minute by minute.
   * @param options.minutes 1 to 1,440, default 60
   * @throws CHARTS_ERR_INVALID_REQUEST
   */
  getQueueHistory (options: { minutes?: number | undefined } = {}): Promise<QueueHistory> {
    return this.#queue.monitoring.history(options)
  }

  /**
   * The failures of the latest minutes, by error code.
   * @param options.minutes 1 to 1,440, default 1,440
   * @throws CHARTS_ERR_INVALID_REQUEST
   */
  getFailures (options: { minutes?: number | undefined } = {}): Promise<QueueFailures> {
    return this.#queue.monitoring.failures(options)
  }

  /** Removes tasks whose retention has passed, and returns how many. Every worker calls this once a minute. */
  cleanupExpiredTasks (): Promise<number> {
    return this.#queue.store.cleanup()
  }

  /**
   * Yields the states of a task, each newer than the one before. Ends after the finished state, or when the task is no longer kept.
   * @param options.after a version that was seen already: only newer ones are yielded
   */
  watchTask (task_id: string, options: { after?: number | undefined, signal?: AbortSignal | undefined } = {}): AsyncGenerator<ChartTask, void, void> {
    return this.#queue.watches.task(task_id, options)
  }

  /**
   * Yields the states of all of a user's tasks of a message, new tasks included. Ends only with `signal`, or when the service closes.
   * @param options.after a cursor that was yielded: tasks that had ended by then are left out
   */
  watchMessage (message_id: string, identity: Identity, options: { after?: string | undefined, signal: AbortSignal }): AsyncIterable<GroupState> {
    return this.#queue.watches.message(message_id, identity, options)
  }

  /** Yields the states of all tasks of a batch. Ends when the last of them has ended. */
  watchBatch (batch_id: string, options: { after?: string | undefined, signal: AbortSignal }): AsyncIterable<GroupState> {
    return this.#queue.watches.batch(batch_id, options)
  }

  /**
   * For a readiness probe: whether the store answers, whether live updates arrive without polling, and whether tasks can be accepted. A Redis
   * that is full, read-only or forbids writes is not `writable`. Never rejects.
   */
  checkHealth (): Promise<{ store: boolean, feed: boolean, writable: boolean }> {
    return this.#queue.store.checkHealth()
  }

  /** Waits until the store answers, at most `timeout` ms. @throws CHARTS_ERR_STORE_UNAVAILABLE: it has not */
  ready (timeout: number): Promise<void> {
    return this.#queue.store.ready(timeout)
  }

  /**
   * Ends all watches, waits a second at most for `onFinished`, and closes the service's own connections. Neither the host's Redis client nor a
   * store that was given is closed.
   */
  close (): Promise<void> {
    return this.#queue.close()
  }
}
