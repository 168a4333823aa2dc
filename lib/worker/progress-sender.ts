import type { Logger } from '../generator.ts'
import type { Leases } from '../service/leases.ts'
import type { Attempt } from './attempt.ts'

/** ms between two batches of progress of one worker. */
const INTERVAL = 50
/** ms before what could not be stored is sent again. */
const RETRY = 1_000

export interface ProgressSenderOptions {
  readonly leases: Leases
  readonly attempts: ReadonlySet<Attempt>
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
  #stopped = false
  #last = -INTERVAL

  constructor (options: ProgressSenderOptions) {
    this.#options = options
  }

  /** There is something to send. */
  soon (): void {
    this.#pending = true
    if (!this.#inFlight) this.#send(Math.max(0, this.#last + INTERVAL - performance.now()))
  }

  /** Sends everything reported so far. */
  flush (): void {
    if (!this.#pending) return
    this.#pending = false
    const sent = [...this.#options.attempts].flatMap(attempt => {
      const report = attempt.takeReport()
      return report ? [{ attempt, report }] : []
    })
    if (sent.length === 0) return
    this.#last = performance.now()
    this.#inFlight = true
    this.#options.leases.progress(sent.map(({ report }) => report)).then(current => {
      this.#inFlight = false
      if (current.includes(false)) this.#options.onStale()
      if (this.#pending) this.soon()
    }, error => {
      this.#inFlight = false
      this.#options.logger.debug({ err: error }, 'progress could not be stored')
      for (const { attempt, report } of sent) attempt.putBack(report)
      this.#pending = true
      this.#send(RETRY)
    })
  }

  stop (): void {
    this.#stopped = true
    clearTimeout(this.#timer)
  }

  #send (wait: number): void {
    if (this.#stopped) return
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      this.flush()
    }, wait)
  }
}
