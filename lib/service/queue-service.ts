import { randomUUID } from 'node:crypto'
import type { Logger, ProgressUpdate } from '../generator.ts'
import { errors } from '../errors.ts'
import type { EnqueuedTask, QueueStats, RetryPolicy, Retention, TaskDetails, TaskPage, TaskStore, TraceContext, WorkerList } from '../store/task-store.ts'
import { ChartStatus, isFinished, type BatchedChartRequest, type Chart, type ChartRequest, type ChartTask, type CreateChartRequest, type Identity, type StoredTask } from '../task.ts'
import { hostIdOf, idOf, leaseOf, messageIdOf } from './arguments.ts'
import { BulkOperations, type BulkFilter, type BulkOptions, type BulkResult } from './bulk.ts'
import { Charts, toContent } from './charts.ts'
import type { ChartStore } from './chart-store.ts'
import { DeadlineSweep } from './deadline-sweep.ts'
import { Estimates } from './estimates.ts'
import { Finishing } from './finishing.ts'
import { History } from './history.ts'
import { CHART_STORE_TIMEOUTS, HostCharts, type ChartStoreTimeouts } from './host-charts.ts'
import { LargeReads } from './large-reads.ts'
import type { ListedChart, MessageCharts, MessageChartsOptions } from './listed-charts.ts'
import { OpenAnswers, collect } from './open-answers.ts'
import { watchGroup, type GroupSource, type GroupState } from './group-feed.ts'
import { Intake, checkIdentity } from './intake.ts'
import { Leases } from './leases.ts'
import { Monitoring, type QueueFailures, type QueueHistory } from './monitoring.ts'
import type { Outcome } from './outcome.ts'
import { toReport } from './progress.ts'
import { Settler } from './settler.ts'
import { TaskFeed } from './task-feed.ts'
import type { Telemetry } from '../telemetry/channels.ts'
import { QueueTelemetry } from '../telemetry/queue-telemetry.ts'
import { TaskLog, type FailedAttempt } from './task-log.ts'
import { checkList, type ListTasksOptions } from './task-list.ts'
import { WorkerRegistry } from './worker-registry.ts'

export interface QueueServiceOptions {
  readonly store: TaskStore
  /** What the queue is called where it is told of. */
  readonly keyPrefix: string
  readonly telemetry?: Telemetry | undefined
  readonly retention: Retention
  readonly retry: RetryPolicy
  readonly limits: {
    readonly waitingPerTenant: number
    readonly runningPerTenant: number
    readonly scheduledPerTenant: number
    readonly queueLength: number
    readonly queueTimeout: number
    readonly requestBytes: number
    readonly chartBytes: number
    readonly checkpointBytes: number
  }
  readonly leaseDuration: number
  readonly pollInterval: number
  readonly chartStore?: ChartStore | undefined
  /** For tests. Default: 10 seconds for a call, a minute for a chart to be saved. */
  readonly chartStoreTimeouts?: ChartStoreTimeouts | undefined
  readonly paramsSchema?: object | undefined
  readonly tenantWeight?: ((identity: Identity) => number) | undefined
  readonly onFinished?: ((task: ChartTask) => unknown) | undefined
  readonly logger: Logger
}

/** What came of asking for a chart; `replayed`: the Idempotency-Key was seen before, the task is as it is now. */
export interface EnqueueResult extends Pick<EnqueuedTask, 'outcome'> {
  readonly task: ChartTask
}

export interface EnqueueOptions {
  readonly idempotencyKey?: string | undefined
  readonly trace?: TraceContext | null | undefined
}

/** What came of asking for many, in the order asked. */
export interface EnqueueBatchResult {
  readonly batch_id: string
  readonly outcome: 'accepted' | 'replayed'
  readonly tasks: EnqueueResult[]
}

/** Most unfinished tasks that one list for a stream of a message has, and most ended ones where it begins with them all. */
const MOST_LISTED = 100
/** Most ended tasks that a list catches up with. */
const MOST_MISSED = 1_000

/** Most active tasks of a message that are listed for a program, and the bytes of their requests. */
const MOST_ACTIVE = 1_000
const MAX_ACTIVE_BYTES = 8 * 2 ** 20

/**
 * The queue: accepts chart tasks, hands them out under leases, tells everybody how they do. It knows no HTTP and asks
 * nobody's permission: identity is given, ownership is the caller's business.
 */
export class QueueService {
  /** For workers: many leases in one round trip. @internal */
  readonly leases: Leases
  /** For workers: who was cancelled. @internal */
  readonly feed: TaskFeed
  /** For workers: operators see those that are registered. @internal */
  readonly workers: WorkerRegistry
  /** For workers: written when they drain. @internal */
  readonly history: History
  /** For workers and routes: what they do is told of. @internal */
  readonly telemetry: QueueTelemetry
  /** For routes: what is read while it is sent. @internal */
  readonly answers: OpenAnswers
  /** For the plugin: what waits for the host ends when it closes. @internal */
  readonly hostCharts: HostCharts | null
  readonly #store: TaskStore
  readonly #options: QueueServiceOptions
  readonly #reads: LargeReads
  readonly #charts: Charts
  readonly #intake: Intake
  readonly #estimates: Estimates
  readonly #finishing: Finishing
  readonly #log: TaskLog
  readonly #sweep: DeadlineSweep | null
  readonly #settler: Settler
  readonly #monitoring: Monitoring
  readonly #bulk: BulkOperations
  readonly #worker_id = randomUUID()

  constructor (options: QueueServiceOptions) {
    const { store, chartStore, limits, leaseDuration, logger } = options
    const { paramsSchema, tenantWeight, retention, retry, chartStoreTimeouts: timeouts = CHART_STORE_TIMEOUTS } = options
    this.#options = options
    this.#store = store
    this.telemetry = new QueueTelemetry(options)
    this.#finishing = new Finishing(options.onFinished, logger)
    this.#log = new TaskLog(logger)
    const hostCharts = chartStore ? new HostCharts(chartStore, store, logger, timeouts.call) : null
    this.hostCharts = hostCharts
    this.#reads = new LargeReads(store)
    this.history = new History(store, logger)
    this.#monitoring = new Monitoring({ store, reads: this.#reads, history: this.history })
    this.workers = new WorkerRegistry(store, logger)
    this.#charts = new Charts(store, hostCharts, this.#reads)
    this.leases = new Leases({
      store,
      hostCharts,
      charts: this.#charts,
      saveTimeout: timeouts.save,
      limits,
      telemetry: this.telemetry,
      logger,
      started: taken => this.history.started(taken),
      finished: (task, failed) => this.#tell(task, failed)
    })
    this.feed = new TaskFeed({ store, pollInterval: options.pollInterval, logger })
    this.feed.onFeed(up => this.telemetry.feed(up))
    this.#estimates = new Estimates(store, logger, this.telemetry)
    this.#settler = new Settler(this.leases, { leaseDuration, logger })
    const after = { ended: (task: ChartTask) => this.#ended(task), deferred: () => this.#settler.start() }
    this.answers = new OpenAnswers({ store, reads: this.#reads, charts: this.#charts, estimates: this.#estimates, ...after })
    this.#intake = new Intake({ store, hostCharts, paramsSchema, tenantWeight, retention, retry, limits, created: task => this.history.created(task), ...after })
    this.#bulk = new BulkOperations({ store, reads: this.#reads, retry: task_id => this.#retryOnce(task_id), ...after })
    const { queueTimeout } = limits
    this.#sweep = queueTimeout > 0 ? new DeadlineSweep(this.leases, { queueTimeout, leaseDuration, logger }) : null
  }

  /**
   * Accepts a chart task, or answers with the one that there is already: same message, user, org, visibility,
   * adjustment and params, unless `force_create`.
   * @param options.idempotencyKey a key of the caller's choice: repeated with it, the same request is the same task.
   * @param options.trace where the request came from, for a program that traces without being in an active span; used where somebody listens
   * @throws CHARTS_ERR_INVALID_REQUEST, CHARTS_ERR_REQUEST_TOO_LARGE, CHARTS_ERR_TOO_MANY_TASKS, CHARTS_ERR_QUEUE_FULL,
   * CHARTS_ERR_IDEMPOTENCY_KEY_REUSED, CHARTS_ERR_DEPENDENCY_UNKNOWN, CHARTS_ERR_DEPENDENCY_FAILED, CHARTS_ERR_STORE_UNAVAILABLE (then it may have been queued all the same)
   */
  async enqueueChartTask (request: CreateChartRequest, identity: Identity, options: EnqueueOptions = {}): Promise<EnqueueResult> {
    const enqueuing = this.telemetry.send(1, options.trace, trace => this.#intake.one(request, identity, options.idempotencyKey, trace))
    this.#estimates.prepare()
    const { task, outcome } = await enqueuing
    return { task: await this.#estimates.of(task), outcome }
  }

  /**
   * Accepts up to 100 chart tasks, all of them or none. Each may have a `ref`, by which others of the batch depend on it.
   * @throws what `enqueueChartTask` throws; a circle or an unknown ref is a CHARTS_ERR_INVALID_REQUEST that names it
   */
  async enqueueChartTasks (requests: readonly BatchedChartRequest[], identity: Identity, options: EnqueueOptions = {}): Promise<EnqueueBatchResult> {
    const enqueuing = this.telemetry.send(Array.isArray(requests) ? requests.length : 0, options.trace, trace => this.#intake.many(requests, identity, options.idempotencyKey, trace))
    this.#estimates.prepare()
    const { tasks, ...batch } = await enqueuing
    const estimated = await this.#estimates.ofAll(tasks.map(({ task }) => task))
    return { ...batch, tasks: tasks.map(({ outcome }, i) => ({ outcome, task: estimated[i]! })) }
  }

  /** The tasks of a batch in the order asked, those that are still kept; null when it is unknown or no longer kept. */
  async getBatch (batch_id: string): Promise<{ user_id: string, tasks: ChartTask[] } | null> {
    const batch = await this.answers.batch(batch_id)
    return batch && { user_id: batch.user_id, tasks: await collect(batch.tasks()) }
  }

  /**
   * Takes the next task with a lease of `leaseDuration` ms; null when nothing waits. The lease must be prolonged with
   * `extendLease` before it ends, else the task is handed to another.
   */
  async dequeueChartTask (worker_id: string = this.#worker_id): Promise<{ task: ChartTask, request: ChartRequest, lease: number } | null> {
    const { leaseDuration } = this.#options
    const { tasks } = await this.leases.claim({ worker_id: hostIdOf(worker_id, 'worker_id'), claim_id: randomUUID(), count: 1, leaseDuration })
    return tasks[0] ?? null
  }

  /** Stores and announces progress. False: not the current lease, nothing was changed. */
  async updateTaskProgress (task_id: string, lease: number, update: ProgressUpdate): Promise<boolean> {
    const [current] = await this.#store.progress([toReport(idOf(task_id), leaseOf(lease), update)])
    return current!
  }

  /**
   * Ends a task with its chart, or a try with an error (retried where that may help). False: not the current lease, nothing
   * was changed. Repeated with the same lease it answers the same.
   */
  async completeTask (task_id: string, lease: number, outcome: Outcome): Promise<boolean> {
    const { leaseDuration } = this.#options
    leaseOf(lease)
    if (typeof outcome !== 'object' || outcome === null || !('content' in outcome || 'error' in outcome)) {
      throw new errors.CHARTS_ERR_INVALID_REQUEST('outcome must have content or error')
    }
    const [task] = await this.#store.read([idOf(task_id)])
    if (!task) return false
    if (this.hostCharts && 'content' in outcome) {
      // The chart goes to the host's store first: only the current lease may put one there.
      const [answer] = await this.#store.extend([{ task_id: task.task_id, lease }], leaseDuration)
      if (answer !== 'ok') return this.leases.isCompletedBy(task.task_id, lease)
    }
    const settlement = await this.leases.prepare(task, lease, outcome, { signal: AbortSignal.timeout(leaseDuration) })
    const { settled, claimed } = await this.leases.settle([settlement], null)
    if (claimed.deferred) this.#settler.start()
    return settled[0]!.current
  }

  /** Prolongs a lease by `leaseDuration` ms from now. False: not the current lease. */
  async extendLease (task_id: string, lease: number): Promise<boolean> {
    const [answer] = await this.#store.extend([{ task_id: idOf(task_id), lease: leaseOf(lease) }], this.#options.leaseDuration)
    return answer === 'ok'
  }

  /** Hands a task back: it runs again at once, and the try is not counted. False: not the current lease. */
  async releaseTask (task_id: string, lease: number): Promise<boolean> {
    const { settled } = await this.leases.settle([{ task_id: idOf(task_id), lease: leaseOf(lease), verb: 'release' }], null)
    return settled[0]!.current
  }

  /** The task as it is now; null when it is unknown or no longer kept. */
  async getTaskStatus (task_id: string): Promise<ChartTask | null> {
    const [task] = await this.#store.read([idOf(task_id)])
    return task ? this.#estimates.of(task) : null
  }

  /** Whole seconds after which it is worth asking for an unfinished task again: when its chart is expected, 30 at most. */
  askAgainIn (task: ChartTask): Promise<number> {
    return this.#estimates.askAgainIn(task)
  }

  /**
   * Whole seconds after which a queue that refuses tasks may have a place for one, 60 at most.
   * @param refusal the error of the refusal: a place for what waits for a time is free only when such a time comes
   */
  placeIn (refusal: object = {}): Promise<number> {
    return this.#estimates.placeIn('scheduled' in refusal)
  }

  /**
   * The raw request, byte for byte as it was stored; null when it is unknown or no longer kept. Of a cancelled task, one of more than
   * 1,024 bytes has no `params` any more, and null for an `adjustment_query` that is longer than that.
   */
  async getTaskData (task_id: string): Promise<string | null> {
    return this.#store.readRequest(idOf(task_id))
  }

  /** Ends a task that nobody wants any more. A finished one is returned as it is; null: unknown. */
  async cancelTask (task_id: string): Promise<ChartTask | null> {
    const id = idOf(task_id)
    const cancelled = await this.telemetry.cancel(id, () => this.#store.cancel(id))
    for (const task of cancelled?.ended ?? []) this.#ended(task)
    if (cancelled?.deferred) this.#settler.start()
    return cancelled && cancelled.task
  }

  /** Ends what has not ended of a batch; its tasks after that, null: unknown. */
  async cancelBatch (batch_id: string): Promise<readonly ChartTask[] | null> {
    const batch = await this.answers.cancelledBatch(batch_id)
    return batch && collect(batch.tasks())
  }

  /** The caller's unfinished tasks of a message, newest first, at most 1,000, and 8 MiB of what they ask for. */
  async getActiveTasksByMessageId (message_id: string, user_id: string): Promise<ChartTask[]> {
    const refs = await this.#store.readActive({ message_id: messageIdOf(message_id), user_id: hostIdOf(user_id, 'user_id'), limit: MOST_ACTIVE })
    const active: ChartTask[] = []
    let bytes = 0
    for await (const tasks of this.answers.tasks(refs)) {
      for (const task of tasks) {
        // What has ended since it was listed is not active any more.
        if (isFinished(task)) continue
        bytes += Buffer.byteLength(task.adjustment_query ?? '')
        if (bytes > MAX_ACTIVE_BYTES) return active
        active.push(task)
      }
    }
    return active
  }

  /**
   * What a chat shows of a message: finished charts, running and failed tasks, newest first, at most `limit` of each, and contents of
   * 8 MiB at most.
   */
  async getMessageCharts (message_id: string, identity: Identity, options: MessageChartsOptions): Promise<MessageCharts> {
    const listing = await this.answers.message(message_id, identity, options)
    const active_tasks = await this.#estimates.ofAll(await collect(listing.active()))
    const failed_tasks = await collect(listing.failed())
    const charts: ListedChart[] = []
    for await (const { chart, content } of listing.charts()) charts.push(content === undefined ? chart : { ...chart, ...toContent(content) })
    return { charts, active_tasks, failed_tasks, content_complete: listing.contentComplete, cursor: listing.cursor }
  }

  /** The chart that a finished task names; null when it has none, or it is gone. */
  getChart (task: ChartTask): Promise<Chart | null> {
    return this.#charts.of(task)
  }

  /** How busy the queue is. */
  getQueueStats (): Promise<QueueStats> {
    return this.#store.stats()
  }

  /** Hands out no more tasks until `resumeQueue`, in all processes. What runs goes on to its end; tasks are accepted as before. */
  async pauseQueue (): Promise<void> {
    await this.#store.setPaused(true)
  }

  /** Goes on after `pauseQueue`. Harmless where the queue is not paused. */
  async resumeQueue (): Promise<void> {
    await this.#store.setPaused(false)
  }

  /**
   * Tasks of anybody, unfinished ones first, each kind newest first, a page at a time. A page may have fewer tasks than `limit`
   * and others follow: the last one has no cursor.
   * @throws CHARTS_ERR_INVALID_REQUEST for what is no cursor, limit, status or id
   */
  async listTasks (options: ListTasksOptions = {}): Promise<TaskPage> {
    const page = await this.#store.list(checkList(options))
    return { tasks: await this.#estimates.ofAll(page.tasks), cursor: page.cursor }
  }

  /** All that is known of a task, with the history of its tries; null when it is unknown or no longer kept. */
  async getTaskDetails (task_id: string): Promise<TaskDetails | null> {
    const details = await this.#store.inspect(idOf(task_id))
    return details && { ...details, task: await this.#estimates.of(details.task) }
  }

  /**
   * Asks for the chart of a failed task again, for its owner: a new task, whose `retry_of` names the failed one, or the one
   * that there is already. The failed one stays as it is. Null: unknown.
   * @throws CHARTS_ERR_TASK_NOT_FAILED, CHARTS_ERR_REQUEST_NOT_KEPT, and what `enqueueChartTask` throws
   */
  async retryTask (task_id: string): Promise<EnqueueResult | null> {
    const details = await this.#store.inspect(idOf(task_id))
    if (!details) return null
    if (details.task.status !== ChartStatus.FAILED) throw new errors.CHARTS_ERR_TASK_NOT_FAILED()
    if (details.shortened) throw new errors.CHARTS_ERR_REQUEST_NOT_KEPT()
    const { task, outcome } = await this.telemetry.send(1, null, trace => this.#intake.again(details, trace))
    return { task: await this.#estimates.of(task), outcome }
  }

  /**
   * Runs all FAILED tasks that fit the filter again, as `retryTask` does: at most `limit` of them, and for about a second. If `cursor` is
   * not null, call again with it. Harmless when repeated: a task whose retry is in progress or has its chart is skipped.
   * @throws CHARTS_ERR_INVALID_REQUEST, also for a filter that names nothing
   */
  retryTasks (filter: BulkFilter, options: BulkOptions = {}): Promise<BulkResult> {
    return this.#bulk.retry(filter, options)
  }

  /** Cancels all PENDING and PROCESSING tasks that fit, in the same way. @throws CHARTS_ERR_INVALID_REQUEST */
  cancelTasks (filter: BulkFilter, options: BulkOptions = {}): Promise<BulkResult> {
    return this.#bulk.cancel(filter, options)
  }

  /** The workers that there are, 1,000 at most, with what runs in each. */
  getWorkers (): Promise<WorkerList> {
    return this.#monitoring.workers()
  }

  /**
   * What has become of tasks, minute by minute.
   * @param options.minutes 1 to 1,440, default 60
   * @throws CHARTS_ERR_INVALID_REQUEST
   */
  getQueueHistory (options: { minutes?: number | undefined } = {}): Promise<QueueHistory> {
    return this.#monitoring.history(options)
  }

  /** The failures of the latest minutes by their error codes; default 1,440 minutes. @throws CHARTS_ERR_INVALID_REQUEST */
  getFailures (options: { minutes?: number | undefined } = {}): Promise<QueueFailures> {
    return this.#monitoring.failures(options)
  }

  /** Removes what its retention has passed; how many tasks that was. Every worker does this from time to time. */
  cleanupExpiredTasks (): Promise<number> {
    return this.#store.cleanup()
  }

  /**
   * The states of a task as they come, each newer than the one before; ends after the finished one, or when the task is gone.
   * @param options.after a version already seen: only newer ones follow.
   */
  async * watchTask (task_id: string, options: { after?: number | undefined, signal?: AbortSignal | undefined } = {}): AsyncGenerator<ChartTask, void, void> {
    for await (const task of this.feed.watch(idOf(task_id), options)) yield await this.#estimates.shared(task)
  }

  /**
   * The states of all of a user's tasks of a message over one iteration, new tasks included; it does not end by itself.
   * @param options.after a cursor given before: what has ended until then is left out.
   */
  watchMessage (message_id: string, identity: Identity, options: { after?: string | undefined, signal: AbortSignal }): AsyncIterable<GroupState> {
    const { user_id } = checkIdentity(identity)
    const message = messageIdOf(message_id)
    const list = async (since: number) => {
      const active = await this.#store.readActive({ message_id: message, user_id, limit: MOST_LISTED })
      // Asked after: what ends in between is in both, not in neither.
      const { tasks: ended, read_at } = await this.#store.readEnded({ message_id: message, user_id, since, limit: since === 0 ? MOST_LISTED : MOST_MISSED })
      const tasks = new Map([...active, ...ended].map(task => [task.task_id, task]))
      return { tasks: [...tasks.values()].sort((a, b) => a.created_at - b.created_at), read_at, complete: active.length < MOST_LISTED }
    }
    const onMore = (more: () => void) => this.feed.onMore(message, user_id, more)
    return this.#watchGroup({ list, onMore, closed: false }, options)
  }

  /** The states of all tasks of a batch over one iteration, which ends when the last of them has ended. */
  watchBatch (batch_id: string, options: { after?: string | undefined, signal: AbortSignal }): AsyncIterable<GroupState> {
    const list = async (since: number) => ({ tasks: (await this.#store.readBatch(idOf(batch_id, 'batch_id')))?.tasks ?? [], read_at: since, complete: true })
    const onMore = async () => () => {}
    return this.#watchGroup({ list, onMore, closed: true }, options)
  }

  /**
   * For the host's readiness probe: whether the store answers, whether live updates arrive without polling, and whether charts
   * can be accepted and stored. A Redis that is full, read-only, or forbids the writes is not `writable`. Never rejects.
   */
  checkHealth (): Promise<{ store: boolean, feed: boolean, writable: boolean }> {
    return this.#store.checkHealth()
  }

  /** Waits until the store answers, `timeout` ms at most. */
  ready (timeout: number): Promise<void> {
    return this.#store.ready(timeout)
  }

  /** Ends all watches and waits for `onFinished`, a second at most. A store that the host has given stays open. */
  async close (): Promise<void> {
    this.hostCharts?.close()
    this.feed.close()
    this.telemetry.close()
    await Promise.all([this.#sweep?.stop(), this.#settler.stop()])
    await Promise.all([this.#finishing.settle(), this.history.close()])
  }

  /** After a task has ended; `failed`: the attempt that has ended it, where it failed in this process. */
  #tell (task: ChartTask, failed?: FailedAttempt): void {
    this.#log.ended(task, failed)
    this.history.ended(task)
    this.telemetry.taskEnded(task)
    this.#finishing.tell(task)
  }

  /** For many: what is run again already is told apart from what this call has done. */
  async #retryOnce (task_id: string): Promise<void> {
    const result = await this.retryTask(task_id)
    if (!result) throw new errors.CHARTS_ERR_TASK_NOT_FOUND()
    if (result.outcome !== 'queued') throw new errors.CHARTS_ERR_TASK_RETRIED()
  }

  /** After a task has ended without its worker. */
  #ended (task: ChartTask): void {
    this.#tell(task)
    this.hostCharts?.forgetAll(task)
  }

  #watchGroup (source: Pick<GroupSource, 'list' | 'onMore' | 'closed'>, options: { after?: string | undefined, signal: AbortSignal }): AsyncIterable<GroupState> {
    const read = (task_ids: readonly string[]) => this.#reads.tasks(task_ids)
    return this.#estimated(watchGroup({ ...source, read, over: this.feed.closing }, (task_id, options) => this.feed.watch(task_id, options), options))
  }

  async * #estimated (states: AsyncIterable<GroupState<StoredTask>>): AsyncGenerator<GroupState, void, void> {
    const seen = new Map<string, StoredTask>()
    for await (const { task, cursor } of states) {
      // Whether others wait for it does not depend on what was asked for, which may be large.
      seen.set(task.task_id, { ...task, adjustment_query: null })
      yield { task: await this.#estimates.shared(task, seen), cursor }
    }
  }
}
