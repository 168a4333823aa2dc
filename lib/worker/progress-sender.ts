import type { Logger } from '../generator.ts'
import type { Leases } from '../service/leases.ts'
import type { Attempt } from './attempt.ts'

/** Minimum ms between two batches of progress of a worker. */
const MIN_INTERVAL_MS = 50
/** ms before reports that could not be stored are sent again. */
const RETRY_DELAY_MS = 1_000

export interface ProgressSenderOptions {
  readonly leases: Pick<Leases, 'progress'>
  readonly attempts: ReadonlySet<Attempt>
  readonly logger: Logger
  /** Called when the store has refused a report because its lease is not current any more. */
  readonly onStale: () => void
}

/** Sends what the attempts of a worker report: a first report at once, later ones in batches, one batch at a time. */
export class ProgressSender {
  readonly #options: ProgressSenderOptions
  #timer: NodeJS.Timeout | undefined
  #isSending = false
  #hasReports = false
  #hasStopped = false
  #sentAt = -MIN_INTERVAL_MS

  constructor (options: ProgressSenderOptions) {
    this.#options = options
  }

  /** There are reports to send. */
  soon (): void {
    this.#hasReports = true
    if (!this.#isSending) this.#flushAfter(Math.max(0, this.#sentAt + MIN_INTERVAL_MS - performance.now()))
  }

  /** Sends all reports now, also while an earlier batch is under way. */
  flush (): void {
    if (!this.#hasReports) return
    this.#hasReports = false
    const batch = [...this.#options.attempts].flatMap(attempt => {
      const report = attempt.takeReport()
      return report ? [{ attempt, report }] : []
    })
    if (batch.length === 0) return
    this.#sentAt = performance.now()
    this.#isSending = true
    this.#options.leases.progress(batch.map(({ report }) => report)).then(current => {
      this.#isSending = false
      if (current.includes(false)) this.#options.onStale()
      if (this.#hasReports) this.soon()
    }, error => {
      this.#isSending = false
      this.#options.logger.debug({ err: error }, 'progress could not be stored, trying again')
      for (const { attempt, report } of batch) attempt.putBack(report)
      this.#hasReports = true
      this.#flushAfter(RETRY_DELAY_MS)
    })
  }

  stop (): void {
    this.#hasStopped = true
    clearTimeout(this.#timer)
  }

  #flushAfter (wait: number): void {
    if (this.#hasStopped) return
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      this.flush()
    }, wait)
  }
}
