import { randomUUID } from 'node:crypto'
import type { Logger } from '../generator.ts'
import type { Leases } from './leases.ts'

/** Bounds of the time between two sweeps, which is a quarter of the queue timeout. */
const MIN_INTERVAL_MS = 100
const MAX_INTERVAL_MS = 5_000

/** Fails tasks whose queue timeout has passed, also while there is no worker or Redis is full. */
export class QueueTimeoutSweep {
  readonly #leases: Leases
  readonly #leaseDuration: number
  readonly #logger: Logger
  readonly #worker_id = `sweep:${randomUUID()}`
  readonly #timer: NodeJS.Timeout
  #claim_id = randomUUID()
  #sweeping: Promise<void> | null = null

  /** `queueTimeout`, `leaseDuration`: ms. */
  constructor (leases: Leases, { queueTimeout, leaseDuration, logger }: { queueTimeout: number, leaseDuration: number, logger: Logger }) {
    this.#leases = leases
    this.#leaseDuration = leaseDuration
    this.#logger = logger
    this.#timer = setInterval(() => { this.#sweep() }, Math.min(Math.max(queueTimeout / 4, MIN_INTERVAL_MS), MAX_INTERVAL_MS)).unref()
  }

  /** Starts no further sweep, and waits for the one under way. */
  async stop (): Promise<void> {
    clearInterval(this.#timer)
    await this.#sweeping
  }

  #sweep (): void {
    // Repeated with the same claim_id until the store answers, so that the tasks that it has ended are reported.
    const claim = { worker_id: this.#worker_id, claim_id: this.#claim_id, count: 0, leaseDuration: this.#leaseDuration }
    this.#sweeping ??= this.#leases.settle([], claim).then(
      () => { this.#claim_id = randomUUID() },
      error => this.#logger.debug({ err: error }, 'queue timeouts could not be looked for, the sweep will be repeated')
    ).finally(() => { this.#sweeping = null })
  }
}
