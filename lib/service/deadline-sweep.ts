import { randomUUID } from 'node:crypto'
import type { Logger } from '../generator.ts'
import type { Leases } from './leases.ts'

/** ms between two looks: a quarter of the wait, within these. */
const INTERVAL = { shortest: 100, longest: 5_000 }

/** Ends what has waited too long also where no worker is there to see it, or Redis is full: as a lease is closed. */
export class DeadlineSweep {
  readonly #leases: Leases
  readonly #leaseDuration: number
  readonly #logger: Logger
  readonly #worker_id = `sweep:${randomUUID()}`
  readonly #timer: NodeJS.Timeout
  #claim_id = randomUUID()
  #sweeping: Promise<void> | null = null

  constructor (leases: Leases, { queueTimeout, leaseDuration, logger }: { queueTimeout: number, leaseDuration: number, logger: Logger }) {
    this.#leases = leases
    this.#leaseDuration = leaseDuration
    this.#logger = logger
    this.#timer = setInterval(() => { this.#sweep() }, Math.min(Math.max(queueTimeout / 4, INTERVAL.shortest), INTERVAL.longest)).unref()
  }

  /** No more looks; waits for the one under way. */
  async stop (): Promise<void> {
    clearInterval(this.#timer)
    await this.#sweeping
  }

  #sweep (): void {
    // Repeated as it was until it is answered: what it has ended is told once at least.
    const claim = { worker_id: this.#worker_id, claim_id: this.#claim_id, count: 0, leaseDuration: this.#leaseDuration }
    this.#sweeping ??= this.#leases.settle([], claim).then(
      () => { this.#claim_id = randomUUID() },
      error => this.#logger.debug({ err: error }, 'tasks that have waited too long could not be looked for')
    ).finally(() => { this.#sweeping = null })
  }
}
