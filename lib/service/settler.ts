import { randomUUID } from 'node:crypto'
import { setImmediate } from 'node:timers/promises'
import type { Logger } from '../generator.ts'
import type { Leases } from './leases.ts'

/**
 * Goes on with what a call of this process has decided and not ended: of a large message that was superseded, or of many dependents. A
 * part at a time, so that the store serves others in between. Should the process die, workers go on with it.
 */
export class Settler {
  readonly #leases: Leases
  readonly #leaseDuration: number
  readonly #logger: Logger
  readonly #worker_id = `settler:${randomUUID()}`
  #settling: Promise<void> | null = null
  #again = false
  #stopped = false

  constructor (leases: Leases, { leaseDuration, logger }: { leaseDuration: number, logger: Logger }) {
    this.#leases = leases
    this.#leaseDuration = leaseDuration
    this.#logger = logger
  }

  /** Starts, where it is not under way; nobody waits for it. */
  start (): void {
    this.#again = true
    this.#settling ??= this.#settle().catch(error => {
      this.#logger.debug({ err: error }, 'the rest of what has been cancelled or superseded is left to the workers')
    }).finally(() => { this.#settling = null })
  }

  /** No more parts; waits for the one under way. */
  async stop (): Promise<void> {
    this.#stopped = true
    await this.#settling
  }

  async #settle (): Promise<void> {
    while (this.#again && !this.#stopped) {
      this.#again = false
      // As a settlement, because that is accepted where Redis is full.
      const claim = { worker_id: this.#worker_id, claim_id: randomUUID(), count: 0, leaseDuration: this.#leaseDuration }
      const { claimed } = await this.#leases.settle([], claim)
      if (claimed.deferred) this.#again = true
      await setImmediate()
    }
  }
}
