import { merge, type Report } from '../service/progress.ts'

/** The progress that an attempt has reported and that was not sent yet, merged into one report. */
export class ReportBuffer {
  #unsent: Report | null = null
  #sent: Report | null = null

  /** Adds a report. True: it is the first one since the last `take`. */
  add (report: Report): boolean {
    if (this.#unsent) {
      merge(this.#unsent, report)
      return false
    }
    this.#unsent = report
    return true
  }

  /** Takes out what is to be sent; null: nothing was reported since the last call. */
  take (): Report | null {
    const report = this.#unsent
    if (report) this.#sent = report
    this.#unsent = null
    return report
  }

  /** Puts back a report that could not be stored, unless a later one was sent meanwhile. */
  putBack (report: Report): void {
    if (report !== this.#sent) return
    if (this.#unsent) merge(report, this.#unsent)
    this.#unsent = report
  }
}
