import type { Logger } from '../generator.ts'
import type { Claim, Claimed, ClaimedTask, LeaseStore, ProgressReport, QueueAdmin, Settled, Settlement, TaskReader } from '../store/task-store.ts'
import { isFinished, type Chart, type ChartTask, type StoredTask } from '../task.ts'
import { chartIdOf } from './chart-identity.ts'
import type { Charts } from './charts.ts'
import { CHART_STORE_TIMEOUTS, type HostCharts } from './host-charts.ts'
import { AttemptError, failureOf, serializeContent, type Outcome } from './outcome.ts'
import type { QueueTelemetry } from '../telemetry/queue-telemetry.ts'
import { TaskLog, type FailedAttempt } from './task-log.ts'

/**
 * The checkpoint of a chart that the host's store has not taken yet, as JSON: another attempt saves it, and does not generate it again.
 * No step may have this name.
 */
export const UNSAVED_CHART = ''

/** Tasks that a log line names at most. */
const MAX_NAMED = 20

/** A worker's wish for tasks; the cap per tenant is the service's. Without `beside`, nothing runs beside what is taken. */
export type LeasesClaim = Omit<Claim, 'runningPerTenant' | 'beside'> & Partial<Pick<Claim, 'beside'>>

export interface LeasesOptions {
  readonly store: LeaseStore & TaskReader & Pick<QueueAdmin, 'cleanup'>
  /** null: charts are kept beside the tasks. */
  readonly hostCharts: HostCharts | null
  readonly charts: Charts
  /** ms in which a chart must be saved in the host's store. Default a minute. */
  readonly saveTimeout?: number | undefined
  readonly limits: { readonly chartBytes: number, readonly checkpointBytes: number, readonly runningPerTenant: number }
  readonly telemetry: QueueTelemetry
  readonly logger: Logger
  readonly started?: (claimed: ClaimedTask) => void
  /** `failed`: the attempt that has ended the task, where it failed in this process. */
  readonly finished: (task: ChartTask, failed?: FailedAttempt) => void
}

/** What the holder of a lease may do: take tasks, report, prolong, and end the lease for good. */
export class Leases {
  readonly #store: LeaseStore & TaskReader & Pick<QueueAdmin, 'cleanup'>
  readonly #hostCharts: HostCharts | null
  readonly #charts: Charts
  readonly #saveTimeout: number
  readonly #limits: LeasesOptions['limits']
  readonly #telemetry: QueueTelemetry
  readonly #logger: Logger
  readonly #log: TaskLog
  readonly #started: LeasesOptions['started']
  readonly #finished: LeasesOptions['finished']
  /** What was thrown is not for the store, and logged only once that has said what becomes of the task. */
  readonly #failures = new WeakMap<Settlement, FailedAttempt>()

  constructor (options: LeasesOptions) {
    this.#store = options.store
    this.#hostCharts = options.hostCharts
    this.#charts = options.charts
    this.#saveTimeout = options.saveTimeout ?? CHART_STORE_TIMEOUTS.save
    this.#limits = options.limits
    this.#telemetry = options.telemetry
    this.#logger = options.logger
    this.#log = new TaskLog(options.logger)
    this.#started = options.started
    this.#finished = options.finished
  }

  async claim (claim: LeasesClaim): Promise<Claimed> {
    return this.#claimed(await this.#telemetry.claim(claim, () => this.#store.claim(this.#capped(claim))))
  }

  waitForWork (timeout: number, signal: AbortSignal): Promise<void> {
    return this.#store.waitForWork(timeout, signal)
  }

  progress (reports: readonly ProgressReport[]): Promise<boolean[]> {
    return this.#store.progress(reports)
  }

  /**
   * The charts that a task was told to wait for, in the order asked; null when one of them is no longer kept. One after the other: they
   * are 20 at most, each as large as `limits.chartBytes` of the worker that made it.
   */
  async dependencies ({ depends_on }: ChartTask): Promise<Chart[] | null> {
    if (depends_on.length === 0) return []
    const charts: Chart[] = []
    for (const task of await this.#store.read(depends_on)) {
      const chart = task && await this.#charts.of(task)
      if (!chart) return null
      charts.push(chart)
    }
    return charts
  }

  /** Remembers what a step of a try returned. */
  checkpoint (task_id: string, lease: number, name: string, value: string): Promise<'ok' | 'stale' | 'too_large'> {
    return this.#store.checkpoint({ task_id, lease, name, value, maxBytes: this.#limits.checkpointBytes })
  }

  extend (leases: ReadonlyArray<{ task_id: string, lease: number }>, leaseDuration: number): Promise<Array<'ok' | 'cancelled' | 'stale'>> {
    return this.#store.extend(leases, leaseDuration)
  }

  cleanup (): Promise<number> {
    return this.#store.cleanup()
  }

  /**
   * Turns an outcome into what ends the lease. With a host's chart store the chart is saved first, again and again with the
   * content at hand: generating it anew would cost more.
   * `startedAt`: when the attempt began, on this process's monotonic clock.
   * `aborting.signal` is read only where the chart takes its time to save.
   * @throws the reason of that signal once it is aborted; AttemptError CHARTS_ERR_CHART_NOT_SAVED where the host's store has not taken it
   */
  async prepare (task: StoredTask, lease: number, outcome: Outcome, aborting: { readonly signal: AbortSignal }, startedAt?: number): Promise<Settlement> {
    const { task_id } = task
    if ('error' in outcome) return this.#fail(task, lease, outcome.error, startedAt)
    let json
    try {
      json = serializeContent(outcome.content, this.#limits.chartBytes)
    } catch (error) {
      return this.#fail(task, lease, error, startedAt)
    }
    const chart_id = chartIdOf(task_id, lease)
    if (!this.#hostCharts) return { task_id, lease, verb: 'complete', chart_id, content: json, claimed: task }
    const { signal } = aborting
    const giveUp = new AbortController()
    const abort = () => giveUp.abort(signal.reason)
    const deadline = setTimeout(() => giveUp.abort(new AttemptError('CHARTS_ERR_CHART_NOT_SAVED', { retryable: true })), this.#saveTimeout)
    signal.addEventListener('abort', abort)
    if (signal.aborted) abort()
    try {
      await this.#hostCharts.save(task, lease, json, giveUp.signal, () => this.#rememberUnsaved(task_id, lease, json))
    } finally {
      clearTimeout(deadline)
      signal.removeEventListener('abort', abort)
    }
    return { task_id, lease, verb: 'complete', chart_id, content: null, claimed: task }
  }

  /** Best effort: where this fails, or there is no room for it, another attempt generates the chart again. */
  async #rememberUnsaved (task_id: string, lease: number, json: string): Promise<void> {
    try {
      const answer = await this.checkpoint(task_id, lease, UNSAVED_CHART, json)
      if (answer === 'too_large') this.#logger.info({ task_id }, 'the unsaved chart exceeds limits.checkpointBytes: another attempt would generate it again')
    } catch (error) {
      this.#logger.warn({ err: error, task_id }, 'the unsaved chart could not be kept: another attempt would generate it again')
    }
  }

  /** Ends leases, and takes the next tasks in the same round trip. */
  async settle (settlements: readonly Settlement[], claim: LeasesClaim | null): Promise<{ settled: Settled[], claimed: Claimed }> {
    const { settled, claimed } = await this.#telemetry.settle(settlements, () => this.#store.settleAttempts(settlements, claim && this.#capped(claim)))
    this.#telemetry.settled(settlements, settled)
    settled.forEach((end, i) => {
      const settlement = settlements[i]!
      const failed = this.#failures.get(settlement)
      if (end.finished) this.#finished(end.finished, failed)
      else if (failed && settlement.verb === 'fail') this.#log.attemptFailed(settlement, end, failed)
      this.#hostCharts?.forgetOthers(settlement, end)
    })
    return { settled, claimed: this.#claimed(claimed) }
  }

  /** What was thrown, where a closing says that an attempt has failed. */
  thrownOf (settlement: Settlement): unknown {
    return this.#failures.get(settlement)?.error
  }

  #fail (task: ChartTask, lease: number, error: unknown, startedAt: number | undefined): Settlement {
    const settlement: Settlement = { task_id: task.task_id, lease, verb: 'fail', ...failureOf(error) }
    this.#failures.set(settlement, { task, error, duration: startedAt === undefined ? null : Math.round(performance.now() - startedAt) })
    return settlement
  }

  #capped (claim: LeasesClaim): Claim {
    return { beside: 0, ...claim, runningPerTenant: this.#limits.runningPerTenant }
  }

  #claimed (claimed: Claimed): Claimed {
    this.#telemetry.claimed(claimed)
    if (claimed.expired.length > 0) this.#logExpired(claimed)
    if (this.#started) claimed.tasks.forEach(this.#started)
    for (const task of claimed.lost) {
      this.#finished(task)
      this.#hostCharts?.forgetAll(task)
    }
    return claimed
  }

  /** Which tasks ran when a process ended: it could not say so itself. */
  #logExpired ({ expired, lost }: Claimed): void {
    const ended = new Set(lost.map(({ task_id }) => task_id))
    for (const { task_id, attempt, worker_id } of expired) {
      const others = expired.filter(other => other.worker_id === worker_id && other.task_id !== task_id)
      const beside = others.slice(0, MAX_NAMED).map(other => other.task_id)
      const next = ended.has(task_id) ? 'no attempts are left' : 'the task will be retried'
      this.#logger.warn({ task_id, attempt, worker_id, beside }, `lease expired, the worker has ended or cannot reach the store: ${next}`)
    }
  }

  /** Whether a completion by this lease has already been stored: its reply may have been lost. */
  async isCompletedBy (task_id: string, lease: number): Promise<boolean> {
    const [task] = await this.#store.read([task_id])
    return task != null && isFinished(task) && task.chart_id === chartIdOf(task_id, lease)
  }
}
