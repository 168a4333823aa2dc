import type { Logger } from '../generator.ts'
import type { Leases } from '../service/leases.ts'
import type { Attempt } from './attempt.ts'

/** ms between two extensions while hints do not arrive: a cancel is then learned from the reply, within a second. */
const FEED_DOWN_INTERVAL_MS = 700

export interface HeartbeatOptions {
  readonly leases: Pick<Leases, 'extend'>
  readonly attempts: ReadonlySet<Attempt>
  /** ms */
  readonly leaseDuration: number
  readonly logger: Logger
}

/** Extends all leases of a worker with one command, three times per lease duration. Aborts the attempts whose lease is not current any more. */
export class Heartbeat {
  readonly #options: HeartbeatOptions
  readonly #timer: NodeJS.Timeout
  #feedDownTimer: NodeJS.Timeout | undefined
  #isExtending = false
  #isExtensionDue = false
  #hasFailed = false

  constructor (options: HeartbeatOptions) {
    this.#options = options
    this.#timer = setInterval(() => { void this.#tick() }, options.leaseDuration / 3)
  }

  /** Extends the leases with a command that is sent from now on. A command under way may have been answered before the caller's reason arose. */
  beat (): void {
    if (this.#isExtending) this.#isExtensionDue = true
    else void this.#tick()
  }

  /** Extends the leases more often while hints do not arrive, and once more when they arrive again: the hint of a cancel may have been lost. */
  feed (isUp: boolean): void {
    clearInterval(this.#feedDownTimer)
    if (!isUp) this.#feedDownTimer = setInterval(() => { void this.#tick() }, FEED_DOWN_INTERVAL_MS)
    this.beat()
  }

  stop (): void {
    clearInterval(this.#timer)
    clearInterval(this.#feedDownTimer)
  }

  async #tick (): Promise<void> {
    if (this.#isExtending) return
    this.#isExtending = true
    do {
      this.#isExtensionDue = false
      await this.#extend()
    } while (this.#isExtensionDue)
    this.#isExtending = false
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
      // Logged once per outage, because extensions are repeated often.
      if (!this.#hasFailed) logger.warn({ err: error, leases: held.length }, 'leases could not be extended, trying again')
      this.#hasFailed = true
    }
  }
}
