import type { Logger } from '../generator.ts'
import type { Leases } from '../service/leases.ts'
import type { Attempt } from './attempt.ts'

/** ms between two batches of progress of one worker. */
const INTERVAL = 50

export interface ProgressSenderOptions {
  readonly leases: Leases
  readonly attempts: ReadonlyMap<string, Attempt>
  readonly logger: Logger
  /** Called when some lease turned out not to be current. */
  readonly onStale: () => void
}

/** Sends what running attempts report: the first at once, then one batch for all of them at a time. */
export class ProgressSender {
  readonly #options: ProgressSenderOptions
  #timer: NodeJS.Timeout | undefined
  #inFlight = false
  #pending = false
  #last = -INTERVAL

  constructor (options: ProgressSenderOptions) {
    this.#options = options
  }

  /** There is something to send. */
  soon (): void {
    this.#pending = true
    if (this.#inFlight || this.#timer) return
    const wait = Math.max(0, this.#last + INTERVAL - performance.now())
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      this.flush()
    }, wait)
  }

  /** Sends everything reported so far. */
  flush (): void {
    if (!this.#pending) return
    this.#pending = false
    const reports = [...this.#options.attempts.values()].map(attempt => attempt.takeReport()).filter(report => report !== null)
    if (reports.length === 0) return
    this.#last = performance.now()
    this.#inFlight = true
    this.#options.leases.progress(reports).then(current => {
      if (current.includes(false)) this.#options.onStale()
    }, error => {
      // The next report carries on from there: nobody waits for this one.
      this.#options.logger.debug({ err: error }, 'progress could not be stored')
    }).finally(() => {
      this.#inFlight = false
      if (this.#pending) this.soon()
    })
  }

  stop (): void {
    clearTimeout(this.#timer)
  }
}
