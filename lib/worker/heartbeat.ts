import type { Logger } from '../generator.ts'
import type { Leases } from '../service/leases.ts'
import type { Attempt } from './attempt.ts'

/** ms between two extensions while hints do not arrive: their answers are then the only way to learn of a cancel within a second. */
const FEED_DOWN_INTERVAL_MS = 700

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
  #feedDown: NodeJS.Timeout | undefined
  #isBeating = false
  #isAskedAgain = false
  #hasFailed = false

  constructor (options: HeartbeatOptions) {
    this.#options = options
    this.#interval = setInterval(() => { void this.#tick() }, options.leaseDuration / 3)
  }

  /** Prolongs the leases with a command that is sent from now on: an answer that is under way may be older than what the caller knows. */
  beat (): void {
    if (this.#isBeating) this.#isAskedAgain = true
    else void this.#tick()
  }

  /** Told whether hints arrive. A cancel whose hint was lost meanwhile is learnt from an extension, at once when they arrive again. */
  feed (up: boolean): void {
    clearInterval(this.#feedDown)
    if (!up) this.#feedDown = setInterval(() => { void this.#tick() }, FEED_DOWN_INTERVAL_MS)
    this.beat()
  }

  stop (): void {
    clearInterval(this.#interval)
    clearInterval(this.#feedDown)
  }

  async #tick (): Promise<void> {
    if (this.#isBeating) return
    this.#isBeating = true
    do {
      this.#isAskedAgain = false
      await this.#extend()
    } while (this.#isAskedAgain)
    this.#isBeating = false
  }

  async #extend (): Promise<void> {
    const { leases, attempts, leaseDuration, logger } = this.#options
    const held = [...attempts].filter(attempt => attempt.holdsLease())
    if (held.length === 0) return
    const sentAt = performance.now()
    try {
      const answers = await leases.extend(held, leaseDuration)
      this.#hasFailed = false
      held.forEach((attempt, i) => {
        if (answers[i] === 'ok') attempt.confirm(sentAt)
        else attempt.abort(answers[i] === 'cancelled' ? 'CANCELLED' : 'LEASE_LOST')
      })
    } catch (error) {
      // Repeated soon while the feed is down: one warning says it all.
      if (!this.#hasFailed) logger.warn({ err: error, leases: held.length }, 'leases could not be prolonged, trying again')
      this.#hasFailed = true
    }
  }
}
