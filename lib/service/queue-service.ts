import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { Logger, ProgressUpdate } from '../generator.ts'
import type { EnqueuedTask, QueueStats, RetryPolicy, Retention, TaskStore } from '../store/task-store.ts'
import type { BatchedChartRequest, Chart, ChartRequest, ChartTask, CreateChartRequest, Identity } from '../task.ts'
import { Charts, type MessageCharts } from './charts.ts'
import type { ChartStore } from './chart-store.ts'
import { watchGroup, type GroupState } from './group-feed.ts'
import { Intake, checkIdentity } from './intake.ts'
import { Leases } from './leases.ts'
import type { Outcome } from './outcome.ts'
import { toReport } from './progress.ts'
import { TaskFeed } from './task-feed.ts'

export interface QueueServiceOptions {
  readonly store: TaskStore
  readonly retention: Retention
  readonly retry: RetryPolicy
  readonly limits: {
    readonly waitingPerTenant: number
    readonly runningPerTenant: number
    readonly queueLength: number
    readonly requestBytes: number
    readonly chartBytes: number
    readonly checkpointBytes: number
  }
  readonly leaseDuration: number
  readonly poll: number
  readonly chartStore?: ChartStore | undefined
  readonly paramsSchema?: object | undefined
  readonly onFinished?: ((task: ChartTask) => unknown) | undefined
  readonly logger: Logger
}

/** What came of asking for a chart; `replayed`: the Idempotency-Key was seen before, the task is as it is now. */
export type EnqueueResult = EnqueuedTask

/** What came of asking for many, in the order asked. */
export interface EnqueueBatchResult {
  readonly batch_id: string
  readonly outcome: 'accepted' | 'replayed'
  readonly tasks: EnqueueResult[]
}

/** ms that `onFinished` gets to return when the service closes. */
const FINISHED_GRACE = 1_000

/** Most tasks of each kind that a stream of a message begins with. */
const MOST_LISTED = 100

/** Most active tasks of a message that are read at once. */
const MOST_ACTIVE = 1_000

/**
 * The queue: accepts chart tasks, hands them out under leases, tells everybody how they do. It knows no HTTP and asks
 * nobody's permission: identity is given, ownership is the caller's business.
 */
export class QueueService {
  /** For workers: many leases in one round trip. @internal */
  readonly leases: Leases
  /** For workers: who was cancelled. @internal */
  readonly feed: TaskFeed
  readonly #store: TaskStore
  readonly #options: QueueServiceOptions
  readonly #charts: Charts
  readonly #intake: Intake
  readonly #worker_id = randomUUID()
  readonly #finishing = new Set<Promise<void>>()

  constructor (options: QueueServiceOptions) {
    const { store, chartStore, limits, logger } = options
    this.#options = options
    this.#store = store
    this.#charts = new Charts(store, chartStore)
    this.leases = new Leases({ store, chartStore, charts: this.#charts, limits, logger, finished: task => this.#finished(task) })
    this.feed = new TaskFeed({ store, poll: options.poll, logger })
    const { paramsSchema, retention, retry } = options
    this.#intake = new Intake({ store, chartStore, paramsSchema, retention, retry, limits, finished: task => this.#finished(task) })
  }

  /**
   * Accepts a chart task, or answers with the one that there is already: same message, user, org, visibility,
   * adjustment and params, unless `force_create`.
   * @param options.idempotencyKey a key of the caller's choice: repeated with it, the same request is the same task.
   * @throws CHARTS_ERR_INVALID_REQUEST, CHARTS_ERR_REQUEST_TOO_LARGE, CHARTS_ERR_TOO_MANY_TASKS, CHARTS_ERR_QUEUE_FULL,
   * CHARTS_ERR_IDEMPOTENCY_KEY_REUSED, CHARTS_ERR_DEPENDENCY_UNKNOWN, CHARTS_ERR_DEPENDENCY_FAILED, CHARTS_ERR_STORE_UNAVAILABLE (then it may have been queued all the same)
   */
  enqueueChartTask (request: CreateChartRequest, identity: Identity, options: { idempotencyKey?: string | undefined } = {}): Promise<EnqueueResult> {
    return this.#intake.one(request, identity, options.idempotencyKey)
  }

  /**
   * Accepts up to 100 chart tasks, all of them or none. Each may have a `ref`, by which others of the batch depend on it.
   * @throws what `enqueueChartTask` throws; a circle or an unknown ref is a CHARTS_ERR_INVALID_REQUEST that names it
   */
  enqueueChartTasks (requests: readonly BatchedChartRequest[], identity: Identity, options: { idempotencyKey?: string | undefined } = {}): Promise<EnqueueBatchResult> {
    return this.#intake.many(requests, identity, options.idempotencyKey)
  }

  /** The tasks of a batch in the order asked, those that are still kept; null when it is unknown or no longer kept. */
  getBatch (batch_id: string): Promise<{ user_id: string, tasks: ChartTask[] } | null> {
    return this.#store.readBatch(batch_id.toLowerCase())
  }

  /**
   * Takes the next task with a lease of `leaseDuration` ms; null when nothing waits. The lease must be prolonged with
   * `extendLease` before it ends, else the task is handed to another.
   */
  async dequeueChartTask (worker_id: string = this.#worker_id): Promise<{ task: ChartTask, request: ChartRequest, lease: number } | null> {
    const { leaseDuration } = this.#options
    const { tasks } = await this.leases.take({ worker_id, take_id: randomUUID(), count: 1, leaseDuration })
    return tasks[0] ?? null
  }

  /** Stores and announces progress. False: not the current lease, nothing was changed. */
  async updateTaskProgress (task_id: string, lease: number, update: ProgressUpdate): Promise<boolean> {
    const [current] = await this.#store.progress([toReport(task_id, lease, update)])
    return current!
  }

  /**
   * Ends a task with its chart, or a try with an error (retried where that may help). False: not the current lease, nothing
   * was changed. Repeated with the same lease it answers the same.
   */
  async completeTask (task_id: string, lease: number, outcome: Outcome): Promise<boolean> {
    const { chartStore, leaseDuration } = this.#options
    const [task] = await this.#store.read([task_id])
    if (!task) return false
    if (chartStore && 'content' in outcome) {
      // The chart goes to the host's store first: only the current lease may put one there.
      const [answer] = await this.#store.extend([{ task_id, lease }], leaseDuration)
      if (answer !== 'ok') return this.leases.isCompletedBy(task_id, lease)
    }
    const closing = await this.leases.prepare(task, lease, outcome, AbortSignal.timeout(leaseDuration))
    const { closed } = await this.leases.close([closing], null)
    return closed[0]!.current
  }

  /** Prolongs a lease by `leaseDuration` ms from now. False: not the current lease. */
  async extendLease (task_id: string, lease: number): Promise<boolean> {
    const [answer] = await this.#store.extend([{ task_id, lease }], this.#options.leaseDuration)
    return answer === 'ok'
  }

  /** Hands a task back: it runs again at once, and the try is not counted. False: not the current lease. */
  async releaseTask (task_id: string, lease: number): Promise<boolean> {
    const { closed } = await this.leases.close([{ task_id, lease, verb: 'release' }], null)
    return closed[0]!.current
  }

  /** The task as it is now; null when it is unknown or no longer kept. */
  async getTaskStatus (task_id: string): Promise<ChartTask | null> {
    const [task] = await this.#store.read([task_id.toLowerCase()])
    return task!
  }

  /** The raw request, byte for byte as it was stored; null when it is unknown or no longer kept. */
  getTaskData (task_id: string): Promise<string | null> {
    return this.#store.readRequest(task_id.toLowerCase())
  }

  /** Ends a task that nobody wants any more. A finished one is returned as it is; null: unknown. */
  async cancelTask (task_id: string): Promise<ChartTask | null> {
    const cancelled = await this.#store.cancel(task_id.toLowerCase())
    for (const task of cancelled?.ended ?? []) this.#finished(task)
    return cancelled && cancelled.task
  }

  /** Ends what has not ended of a batch, at once; its tasks after that, null: unknown. */
  async cancelBatch (batch_id: string): Promise<readonly ChartTask[] | null> {
    const batch = await this.getBatch(batch_id)
    if (!batch) return null
    const ended = await this.#store.cancelAll(batch.tasks.map(({ task_id }) => task_id))
    for (const task of ended) this.#finished(task)
    const now = new Map(ended.map(task => [task.task_id, task]))
    return batch.tasks.map(task => now.get(task.task_id) ?? task)
  }

  /** The caller's unfinished tasks of a message, newest first, at most 1,000. */
  getActiveTasksByMessageId (message_id: string, user_id: string): Promise<ChartTask[]> {
    return this.#store.readActive(message_id.toLowerCase(), user_id, MOST_ACTIVE)
  }

  /** What a chat shows of a message: finished charts, running and failed tasks, newest first, at most `limit` of each. */
  getMessageCharts (message_id: string, identity: Identity, options: { limit: number, content: boolean }): Promise<MessageCharts> {
    const { user_id, org_id } = checkIdentity(identity)
    return this.#charts.ofMessage(message_id.toLowerCase(), { ...identity, user_id, org_id }, options)
  }

  /** The chart that a finished task names; null when it has none, or it is gone. */
  getChart (task: ChartTask): Promise<Chart | null> {
    return this.#charts.of(task)
  }

  /** How busy the queue is. */
  getQueueStats (): Promise<QueueStats> {
    return this.#store.stats()
  }

  /** Removes what its retention has passed; how many tasks that was. Every worker does this from time to time. */
  cleanupExpiredTasks (): Promise<number> {
    return this.#store.cleanup()
  }

  /**
   * The states of a task as they come, each newer than the one before; ends after the finished one, or when the task is gone.
   * @param options.after a version already seen: only newer ones follow.
   */
  watchTask (task_id: string, options: { after?: number | undefined, signal?: AbortSignal | undefined } = {}): AsyncIterable<ChartTask> {
    return this.feed.watch(task_id.toLowerCase(), options)
  }

  /**
   * The states of all of a user's tasks of a message over one iteration, new tasks included; it does not end by itself.
   * @param options.after a cursor given before: what has ended until then is left out.
   */
  watchMessage (message_id: string, identity: Identity, options: { after?: string | undefined, signal: AbortSignal }): AsyncIterable<GroupState> {
    const { user_id } = checkIdentity(identity)
    const message = message_id.toLowerCase()
    const list = async () => {
      const { active, completed, failed, cancelled } = await this.#store.readMessage(message, user_id, null, MOST_LISTED)
      return [...active, ...completed, ...failed, ...cancelled].sort((a, b) => a.created_at.localeCompare(b.created_at))
    }
    const onMore = (more: () => void) => this.feed.onMore(message, user_id, more)
    return watchGroup({ list, onMore, closed: false }, (task_id, options) => this.feed.watch(task_id, options), options)
  }

  /** The states of all tasks of a batch over one iteration, which ends when the last of them has ended. */
  watchBatch (batch_id: string, options: { after?: string | undefined, signal: AbortSignal }): AsyncIterable<GroupState> {
    const list = async () => (await this.getBatch(batch_id))?.tasks ?? []
    const onMore = async () => () => {}
    return watchGroup({ list, onMore, closed: true }, (task_id, options) => this.feed.watch(task_id, options), options)
  }

  /** For the host's readiness probe: whether the store answers, and whether live updates arrive without polling. */
  checkHealth (): Promise<{ store: boolean, feed: boolean }> {
    return this.#store.checkHealth()
  }

  /** Waits until the store answers, `timeout` ms at most. */
  ready (timeout: number): Promise<void> {
    return this.#store.ready(timeout)
  }

  /** Ends all watches and waits for `onFinished`, a second at most. A store that the host has given stays open. */
  async close (): Promise<void> {
    this.feed.close()
    const timer = new AbortController()
    const late = delay(FINISHED_GRACE, true, { signal: timer.signal }).catch(() => false)
    const all = Promise.allSettled(this.#finishing).then(() => false)
    if (await Promise.race([all, late])) this.#options.logger.error({ waiting: this.#finishing.size }, 'onFinished does not return: no longer waited for')
    timer.abort()
  }

  #finished (task: ChartTask): void {
    const { onFinished, logger } = this.#options
    if (!onFinished) return
    const finishing = Promise.resolve(task).then(onFinished).then(
      () => {},
      error => logger.error({ err: error, task_id: task.task_id }, 'onFinished failed'))
    this.#finishing.add(finishing)
    finishing.then(() => this.#finishing.delete(finishing))
  }
}
