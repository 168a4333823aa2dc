import type { Logger } from '../generator.ts'
import type { Claim, Claimed, ClaimedTask, LeaseStore, ProgressReport, Settled, Settlement } from '../store/task-store.ts'
import type { QueueTelemetry } from '../telemetry/queue-telemetry.ts'
import type { Endings } from './endings.ts'

/** Maximum number of tasks that a log line names. */
const MAX_NAMED = 20

/** What a worker claims; the limit per tenant is the service's. Without `beside`, no other attempts run in the worker. */
export type LeasesClaim = Omit<Claim, 'runningPerTenant' | 'beside'> & Partial<Pick<Claim, 'beside'>>

export interface LeasesOptions {
  readonly store: LeaseStore
  /** 0 = off. */
  readonly limits: { readonly checkpointBytes: number, readonly runningPerTenant: number }
  readonly endings: Pick<Endings, 'ended' | 'settled'>
  readonly telemetry: QueueTelemetry
  readonly logger: Logger
  /** Called for each claimed task. */
  readonly started: (claimed: ClaimedTask) => void
}

/** What a worker does with leases: claims, reports, extends, settles. */
export class Leases {
  readonly #options: LeasesOptions

  constructor (options: LeasesOptions) {
    this.#options = options
  }

  async claim (claim: LeasesClaim): Promise<Claimed> {
    const { store, telemetry } = this.#options
    return this.#claimed(await telemetry.claim(claim, () => store.claim(this.#limited(claim))))
  }

  /** Settles attempts and claims tasks in the same round trip. `settled` has the order of the settlements. */
  async settle (settlements: readonly Settlement[], claim: LeasesClaim | null): Promise<{ settled: Settled[], claimed: Claimed }> {
    const { store, telemetry, endings } = this.#options
    const { settled, claimed } = await telemetry.settle(settlements, () => store.settleAttempts(settlements, claim && this.#limited(claim)))
    endings.settled(settlements, settled)
    return { settled, claimed: this.#claimed(claimed) }
  }

  progress (reports: readonly ProgressReport[]): Promise<boolean[]> {
    return this.#options.store.progress(reports)
  }

  /** Stores the result of a step for later attempts. */
  checkpoint (task_id: string, lease: number, name: string, value: string): Promise<'ok' | 'stale' | 'too_large'> {
    const { store, limits } = this.#options
    return store.checkpoint({ task_id, lease, name, value, maxBytes: limits.checkpointBytes })
  }

  /** Extends leases to `leaseDuration` ms from now. */
  extend (leases: ReadonlyArray<{ task_id: string, lease: number }>, leaseDuration: number): Promise<Array<'ok' | 'cancelled' | 'stale'>> {
    return this.#options.store.extend(leases, leaseDuration)
  }

  #limited (claim: LeasesClaim): Claim {
    return { beside: 0, ...claim, runningPerTenant: this.#options.limits.runningPerTenant }
  }

  #claimed (claimed: Claimed): Claimed {
    const { telemetry, endings, started } = this.#options
    telemetry.claimed(claimed)
    if (claimed.expired.length > 0) this.#logExpired(claimed)
    for (const task of claimed.tasks) started(task)
    for (const task of claimed.lost) endings.ended(task)
    return claimed
  }

  /** Names the tasks that ran in a process which has ended: that process could not log it. */
  #logExpired ({ expired, lost }: Claimed): void {
    const ended = new Set(lost.map(({ task_id }) => task_id))
    for (const { task_id, attempt, worker_id } of expired) {
      const others = expired.filter(other => other.worker_id === worker_id && other.task_id !== task_id)
      const beside = others.slice(0, MAX_NAMED).map(other => other.task_id)
      const next = ended.has(task_id) ? 'no attempts are left' : 'the task will be retried'
      this.#options.logger.warn({ task_id, attempt, worker_id, beside }, `lease expired, the worker has ended or cannot reach the store: ${next}`)
    }
  }
}
