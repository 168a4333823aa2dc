import { randomUUID } from 'node:crypto'
import { withDeadline } from '../async.ts'
import type { Logger } from '../generator.ts'
import { MAX_CODES, MAX_LATEST, MINUTE_MS, OTHER_CODES } from '../monitoring-rules.ts'
import type { ClaimedTask, FailureRef, HistoryAddition, HistoryMinute, HistoryStore } from '../store/task-store.ts'
import { ChartStatus, type ChartTask } from '../task.ts'

/** Upper bounds of the buckets of a histogram, in ms. Longer durations have a bucket of their own. */
export const HISTORY_BOUNDS: readonly number[] = [
  50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 20_000, 30_000, 60_000, 120_000, 300_000, 600_000, 1_800_000, 3_600_000
]
/** The bucket above the last bound, as the store names it. */
export const UNBOUNDED = 'inf'

/** ms from the first count to when it is written. */
const FLUSH_INTERVAL_MS = 5_000
/** Maximum ms that closing waits for the last counts to be written. */
const CLOSE_GRACE_MS = 250
/** Maximum number of minutes that are kept while the store cannot be reached. */
const MAX_PENDING_MINUTES = 60

interface Durations { sum: number, readonly counts: Record<string, number> }

interface PendingMinute {
  readonly at: number
  created: number
  started: number
  completed: number
  cancelled: number
  readonly failed: Record<string, number>
  readonly latest: Record<string, FailureRef[]>
  readonly wait: Durations
  readonly run: Durations
}

const emptyMinute = (at: number): PendingMinute => ({
  at, created: 0, started: 0, completed: 0, cancelled: 0, failed: {}, latest: {}, wait: { sum: 0, counts: {} }, run: { sum: 0, counts: {} }
})

function measure (durations: Durations, ms: number): void {
  // Negative, or not a number, if the clock was set meanwhile.
  if (!(ms >= 0)) return
  const bound = HISTORY_BOUNDS.find(bound => ms <= bound) ?? UNBOUNDED
  durations.sum += ms
  durations.counts[bound] = (durations.counts[bound] ?? 0) + 1
}

/**
 * Counts the tasks that this process accepts, starts and ends, by minutes of the store's clock. The counts are written every few seconds by
 * one command, never per task. An addition that fails is sent again unchanged. A process that dies loses its last few seconds.
 */
export class History {
  readonly #store: HistoryStore
  readonly #logger: Logger
  readonly #process_id = randomUUID()
  #minutes = new Map<number, PendingMinute>()
  /** An addition that the store has not confirmed. */
  #unsent: HistoryAddition | null = null
  #flushing: Promise<void> | null = null
  #timer: NodeJS.Timeout | undefined
  #hasFailed = false

  constructor (store: HistoryStore, logger: Logger) {
    this.#store = store
    this.#logger = logger
  }

  created ({ created_at }: ChartTask): void {
    const minute = this.#minuteOf(Date.parse(created_at))
    if (minute) minute.created++
  }

  started ({ task, lease }: ClaimedTask): void {
    const at = task.step_at ?? NaN
    const minute = this.#minuteOf(at)
    if (!minute) return
    minute.started++
    if (lease === 1) measure(minute.wait, at - Date.parse(task.created_at))
  }

  ended ({ task_id, status, started_at, completed_at, error_code }: ChartTask): void {
    const at = Date.parse(completed_at ?? '')
    const minute = this.#minuteOf(at)
    if (!minute) return
    switch (status) {
      case ChartStatus.COMPLETED: {
        minute.completed++
        if (started_at !== null) measure(minute.run, at - Date.parse(started_at))
        break
      }
      case ChartStatus.CANCELLED: {
        minute.cancelled++
        break
      }
      case ChartStatus.FAILED: {
        const isApart = error_code !== null && (error_code in minute.failed || Object.keys(minute.failed).length < MAX_CODES)
        const code = isApart ? error_code : OTHER_CODES
        minute.failed[code] = (minute.failed[code] ?? 0) + 1
        minute.latest[code] = [{ task_id, at }, ...minute.latest[code] ?? []].slice(0, MAX_LATEST)
      }
    }
  }

  /** Writes what was counted; never rejects. */
  flush (): Promise<void> {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#flushing ??= this.#flush().finally(() => { this.#flushing = null })
    return this.#flushing
  }

  /** Writes the last counts. Waits only shortly, and not at all if the last addition failed. */
  async close (): Promise<void> {
    if (this.#hasFailed) {
      clearTimeout(this.#timer)
      return
    }
    await withDeadline(this.flush(), CLOSE_GRACE_MS, () => {})
    clearTimeout(this.#timer)
  }

  #minuteOf (time: number): PendingMinute | null {
    if (!Number.isFinite(time)) return null
    const at = time - time % MINUTE_MS
    let minute = this.#minutes.get(at)
    if (!minute) {
      minute = emptyMinute(at)
      this.#minutes.set(at, minute)
      if (this.#minutes.size > MAX_PENDING_MINUTES) this.#minutes.delete(Math.min(...this.#minutes.keys()))
    }
    this.#timer ??= setTimeout(() => { void this.flush() }, FLUSH_INTERVAL_MS).unref()
    return minute
  }

  async #flush (): Promise<void> {
    try {
      // First the addition that failed the last time, then the counts since.
      while (this.#unsent || this.#minutes.size > 0) {
        this.#unsent ??= this.#nextAddition()
        await this.#store.addHistory(this.#unsent)
        this.#unsent = null
      }
      this.#hasFailed = false
    } catch (error) {
      if (!this.#hasFailed) this.#logger.debug({ err: error }, 'the history could not be written, it is kept and sent again')
      this.#hasFailed = true
      this.#timer ??= setTimeout(() => { void this.flush() }, FLUSH_INTERVAL_MS).unref()
    }
  }

  #nextAddition (): HistoryAddition {
    const minutes: HistoryMinute[] = [...this.#minutes.values()]
    this.#minutes = new Map()
    return { process_id: this.#process_id, addition_id: randomUUID(), minutes }
  }
}
