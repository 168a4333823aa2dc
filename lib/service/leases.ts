import { setTimeout as delay } from 'node:timers/promises'
import type { Logger } from '../generator.ts'
import type { Closed, Closing, ProgressReport, Take, Taken, TaskStore } from '../store/task-store.ts'
import { isFinished, type ChartTask } from '../task.ts'
import { chartIdOf } from './chart-identity.ts'
import type { ChartStore } from './chart-store.ts'
import { failureOf, serializeContent, type Outcome } from './outcome.ts'

/** ms between two tries to save a chart: doubled each time, up to the second. */
const SAVE_RETRY = { first: 100, longest: 5_000 }

/** A store of the host that never answers must not hold the attempt for ever. */
async function unlessAborted (saved: Promise<unknown>, signal: AbortSignal): Promise<void> {
  let giveUp: () => void = () => {}
  const aborted = new Promise<never>((_resolve, reject) => {
    giveUp = () => reject(signal.reason)
    signal.addEventListener('abort', giveUp)
  })
  await Promise.race([saved, aborted]).finally(() => signal.removeEventListener('abort', giveUp))
}

/** A worker's wish for tasks; the cap per tenant is the service's. */
export type LeasesTake = Omit<Take, 'runningPerTenant'>

export interface LeasesOptions {
  readonly store: TaskStore
  readonly chartStore: ChartStore | undefined
  readonly limits: { readonly chartBytes: number, readonly runningPerTenant: number }
  readonly logger: Logger
  readonly finished: (task: ChartTask) => void
}

/** What the holder of a lease may do: take tasks, report, prolong, and end the lease for good. */
export class Leases {
  readonly #store: TaskStore
  readonly #chartStore: ChartStore | undefined
  readonly #limits: LeasesOptions['limits']
  readonly #logger: Logger
  readonly #finished: (task: ChartTask) => void

  constructor (options: LeasesOptions) {
    this.#store = options.store
    this.#chartStore = options.chartStore
    this.#limits = options.limits
    this.#logger = options.logger
    this.#finished = options.finished
  }

  async take (take: LeasesTake): Promise<Taken> {
    return this.#taken(await this.#store.dequeue(this.#capped(take)))
  }

  waitForWork (timeout: number, signal: AbortSignal): Promise<void> {
    return this.#store.waitForWork(timeout, signal)
  }

  progress (reports: readonly ProgressReport[]): Promise<boolean[]> {
    return this.#store.progress(reports)
  }

  extend (leases: ReadonlyArray<{ task_id: string, lease: number }>, leaseDuration: number): Promise<Array<'ok' | 'cancelled' | 'stale'>> {
    return this.#store.extend(leases, leaseDuration)
  }

  cleanup (): Promise<number> {
    return this.#store.cleanup()
  }

  /**
   * Turns an outcome into what ends the lease. With a host's chart store the chart is saved first, again and again with the
   * content at hand until it is or `signal` is aborted: generating it anew would cost more.
   */
  async prepare (task: ChartTask, lease: number, outcome: Outcome, signal: AbortSignal): Promise<Closing> {
    const { task_id } = task
    if ('error' in outcome) return { task_id, lease, verb: 'fail', ...failureOf(outcome.error) }
    let json
    try {
      json = serializeContent(outcome.content, this.#limits.chartBytes)
    } catch (error) {
      this.#logger.warn({ err: error, task_id }, 'the generator returned no usable chart')
      return { task_id, lease, verb: 'fail', ...failureOf(error) }
    }
    const chart_id = chartIdOf(task_id, lease)
    if (!this.#chartStore) return { task_id, lease, verb: 'complete', chart_id, content: json }
    await this.#save(this.#chartStore, task, chart_id, json, signal)
    return { task_id, lease, verb: 'complete', chart_id, content: null }
  }

  /** Ends leases, and takes the next tasks in the same round trip. */
  async close (closings: readonly Closing[], take: LeasesTake | null): Promise<{ closed: Closed[], taken: Taken }> {
    const { closed, taken } = await this.#store.closeLeases(closings, take && this.#capped(take))
    closed.forEach(({ current, finished }, i) => {
      if (finished) this.#finished(finished)
      this.#forgetOthers(closings[i]!, current)
    })
    return { closed, taken: this.#taken(taken) }
  }

  #capped (take: LeasesTake): Take {
    return { ...take, runningPerTenant: this.#limits.runningPerTenant }
  }

  #taken (taken: Taken): Taken {
    for (const task of taken.lost) this.#finished(task)
    return taken
  }

  async #save (chartStore: ChartStore, task: ChartTask, chart_id: string, json: string, signal: AbortSignal): Promise<void> {
    const { task_id, message_id, user_id, org_id, visibility, adjustment_query } = task
    const chart = {
      chart_id,
      task_id,
      message_id,
      user_id,
      org_id,
      visibility,
      adjustment_query,
      created_at: new Date().toISOString(),
      content: JSON.parse(json)
    }
    for (let wait = SAVE_RETRY.first; ; wait = Math.min(wait * 2, SAVE_RETRY.longest)) {
      try {
        await unlessAborted(chartStore.save(chart), signal)
        return
      } catch (error) {
        signal.throwIfAborted()
        this.#logger.warn({ err: error, task_id, chart_id }, 'the chart could not be saved, trying again')
        await delay(wait, undefined, { signal })
      }
    }
  }

  /** Charts in the host's store that no task names: of earlier leases once this one has completed, of this one if it was refused. */
  #forgetOthers (closing: Closing, current: boolean): void {
    if (closing.verb !== 'complete' || !this.#chartStore?.delete) return
    const { task_id, lease, chart_id } = closing
    const forget = async () => {
      if (current) {
        for (let earlier = 1; earlier < lease; earlier++) await this.#chartStore!.delete!(chartIdOf(task_id, earlier))
        return
      }
      const [task] = await this.#store.read([task_id])
      if (task && task.chart_id !== chart_id) await this.#chartStore!.delete!(chart_id)
    }
    forget().catch(error => this.#logger.warn({ err: error, task_id }, 'a chart that no task names could not be deleted'))
  }

  /** Whether a completion by this lease has already been stored: its reply may have been lost. */
  async isCompletedBy (task_id: string, lease: number): Promise<boolean> {
    const [task] = await this.#store.read([task_id])
    return task != null && isFinished(task) && task.chart_id === chartIdOf(task_id, lease)
  }
}
