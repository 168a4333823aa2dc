import type { Logger } from '../generator.ts'
import type { LeaseStore, Settlement } from '../store/task-store.ts'
import type { ChartTask, StoredTask } from '../task.ts'
import { chartIdOf } from './chart-identity.ts'
import type { HostCharts } from './host-charts.ts'
import { AttemptError, failureOf, serializeContent, type Outcome } from './outcome.ts'
import type { FailedAttempt } from './task-log.ts'

/** The name of the checkpoint that holds a chart which the host's `chartStore` has not saved yet, as JSON. No step can have this name. */
export const UNSAVED_CHART = ''

export interface SettlementsOptions {
  readonly store: Pick<LeaseStore, 'checkpoint'>
  /** Null: charts are kept beside the tasks. */
  readonly hostCharts: HostCharts | null
  /** ms until saving a chart in the host's store is given up. */
  readonly saveTimeout: number
  /** Bytes, 0 = off. */
  readonly limits: { readonly chartBytes: number, readonly checkpointBytes: number }
  readonly logger: Logger
}

/** Turns outcomes of attempts into settlements. */
export class Settlements {
  readonly #options: SettlementsOptions
  /** The store is not told what was thrown. It is logged once the store has said what becomes of the task. */
  readonly #failed = new WeakMap<Settlement, FailedAttempt>()

  constructor (options: SettlementsOptions) {
    this.#options = options
  }

  /**
   * The settlement of an attempt. With a `chartStore` of the host, the chart is saved there first. If that fails it is repeated with the same
   * content, because to generate the chart again would cost more.
   * `aborting`: its `signal` is read only if the chart must be saved. `startedAt`: when the attempt began, on this process's monotonic clock.
   * @throws the reason of the signal once it is aborted; AttemptError CHARTS_ERR_CHART_NOT_SAVED after `saveTimeout`
   */
  async prepare (task: StoredTask, lease: number, outcome: Outcome, aborting: { readonly signal: AbortSignal }, startedAt?: number): Promise<Settlement> {
    const { task_id } = task
    if ('error' in outcome) return this.#failure(task, lease, outcome.error, startedAt)
    let json
    try {
      json = serializeContent(outcome.content, this.#options.limits.chartBytes)
    } catch (error) {
      return this.#failure(task, lease, error, startedAt)
    }
    const chart_id = chartIdOf(task_id, lease)
    const { hostCharts } = this.#options
    if (!hostCharts) return { task_id, lease, verb: 'complete', chart_id, content: json, claimed: task }
    await this.#save(hostCharts, task, lease, json, aborting.signal)
    return { task_id, lease, verb: 'complete', chart_id, content: null, claimed: task }
  }

  /** What the attempt has thrown, if the settlement says that it failed. */
  thrownOf (settlement: Settlement): unknown {
    return this.#failed.get(settlement)?.error
  }

  failedAttemptOf (settlement: Settlement): FailedAttempt | undefined {
    return this.#failed.get(settlement)
  }

  #failure (task: ChartTask, lease: number, error: unknown, startedAt: number | undefined): Settlement {
    const settlement: Settlement = { task_id: task.task_id, lease, verb: 'fail', ...failureOf(error) }
    this.#failed.set(settlement, { task, error, duration: startedAt === undefined ? null : Math.round(performance.now() - startedAt) })
    return settlement
  }

  async #save (hostCharts: HostCharts, task: ChartTask, lease: number, json: string, signal: AbortSignal): Promise<void> {
    const giveUp = new AbortController()
    const abort = () => giveUp.abort(signal.reason)
    const timeout = setTimeout(() => giveUp.abort(new AttemptError('CHARTS_ERR_CHART_NOT_SAVED', { retryable: true })), this.#options.saveTimeout)
    signal.addEventListener('abort', abort)
    try {
      await hostCharts.save(task, lease, json, giveUp.signal, () => this.#keepUnsaved(task.task_id, lease, json))
    } finally {
      clearTimeout(timeout)
      signal.removeEventListener('abort', abort)
    }
  }

  /** Keeps the chart for the next attempt. Best effort: without it, that attempt generates the chart again. */
  async #keepUnsaved (task_id: string, lease: number, json: string): Promise<void> {
    const { store, limits, logger } = this.#options
    try {
      const answer = await store.checkpoint({ task_id, lease, name: UNSAVED_CHART, value: json, maxBytes: limits.checkpointBytes })
      if (answer === 'too_large') logger.info({ task_id }, 'the unsaved chart exceeds limits.checkpointBytes: another attempt would generate it again')
    } catch (error) {
      logger.warn({ err: error, task_id }, 'the unsaved chart could not be kept: another attempt would generate it again')
    }
  }
}
