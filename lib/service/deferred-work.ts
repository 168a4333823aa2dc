import { randomUUID } from 'node:crypto'
import { setImmediate } from 'node:timers/promises'
import type { Logger } from '../generator.ts'
import type { Leases } from './leases.ts'

/**
 * Continues what calls of this process have deferred: the rest of a large message that was superseded, or of many dependents. One part per
 * round trip, so that the store serves other callers in between. If this process dies, the workers continue.
 */
export class DeferredWork {
  readonly #leases: Leases
  readonly #leaseDuration: number
  readonly #logger: Logger
  readonly #worker_id = `deferred-work:${randomUUID()}`
  #running: Promise<void> | null = null
  #hasMore = false
  #stopped = false

  constructor (leases: Leases, { leaseDuration, logger }: { leaseDuration: number, logger: Logger }) {
    this.#leases = leases
    this.#leaseDuration = leaseDuration
    this.#logger = logger
  }

  /** Starts in the background unless it is running. */
  start (): void {
    this.#hasMore = true
    this.#running ??= this.#run().catch(error => {
      this.#logger.debug({ err: error }, 'deferred work failed, the workers will continue it')
    }).finally(() => { this.#running = null })
  }

  /** Starts no further part, and waits for the one under way. */
  async stop (): Promise<void> {
    this.#stopped = true
    await this.#running
  }

  async #run (): Promise<void> {
    while (this.#hasMore && !this.#stopped) {
      this.#hasMore = false
      // A settlement without attempts, because Redis accepts that while it is full.
      const claim = { worker_id: this.#worker_id, claim_id: randomUUID(), count: 0, leaseDuration: this.#leaseDuration }
      const { claimed } = await this.#leases.settle([], claim)
      if (claimed.deferred) this.#hasMore = true
      await setImmediate()
    }
  }
}
