import type { Logger } from '../generator.ts'
import type { Leases } from '../service/leases.ts'
import type { Attempt } from './attempt.ts'

export interface HeartbeatOptions {
  readonly leases: Leases
  readonly attempts: ReadonlySet<Attempt>
  readonly leaseDuration: number
  readonly logger: Logger
}

/** Prolongs all the leases of a worker in one command, three times within a lease, and learns which are not its own any more. */
export class Heartbeat {
  readonly #options: HeartbeatOptions
  readonly #interval: NodeJS.Timeout
  #beating: Promise<void> | null = null

  constructor (options: HeartbeatOptions) {
    this.#options = options
    this.#interval = setInterval(() => { this.beat() }, options.leaseDuration / 3)
  }

  /** Resolves when the leases have been prolonged, or the store has not answered. */
  beat (): Promise<void> {
    this.#beating ??= this.#extend().finally(() => { this.#beating = null })
    return this.#beating
  }

  stop (): void {
    clearInterval(this.#interval)
  }

  async #extend (): Promise<void> {
    const { leases, attempts, leaseDuration, logger } = this.#options
    const held = [...attempts].filter(attempt => attempt.holdsLease())
    if (held.length === 0) return
    const sentAt = performance.now()
    try {
      const answers = await leases.extend(held, leaseDuration)
      held.forEach((attempt, i) => {
        if (answers[i] === 'ok') attempt.confirm(sentAt)
        else attempt.abort(answers[i] === 'cancelled' ? 'CANCELLED' : 'LEASE_LOST')
      })
    } catch (error) {
      logger.warn({ err: error, leases: held.length }, 'leases could not be prolonged')
    }
  }
}
