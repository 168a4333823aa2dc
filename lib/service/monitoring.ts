import { errors } from '../errors.ts'
import { MAX_LATEST, MINUTE_MS } from '../monitoring-rules.ts'
import type { FailureRef, HistoryMinute, HistoryStore, WorkerDirectory, WorkerList } from '../store/task-store.ts'
import type { ChartTask } from '../task.ts'
import { collect } from './collect.ts'
import { HISTORY_BOUNDS, UNBOUNDED, type History } from './history.ts'
import type { LargeReads } from './large-reads.ts'

/** Number of minutes of a history: the maximum, and the default. */
export const HISTORY_MINUTES = { max: 1_440, usual: 60 }
const MAX_WORKERS = 1_000
/** Maximum number of error codes in an answer. */
const MAX_GROUPS = 100

/** Durations: one bucket for each of the `bounds`, and one for longer durations. */
export interface Histogram {
  readonly count: number
  /** ms, of all durations together. */
  readonly sum: number
  readonly buckets: readonly number[]
}

/** Median and 95th percentile in ms, estimated from a histogram; null: it is empty. */
export interface Percentiles {
  readonly p50: number | null
  readonly p95: number | null
}

export interface QueueHistoryMinute {
  /** When the minute began, ISO 8601. */
  readonly at: string
  readonly created: number
  /** Attempts, not tasks. */
  readonly started: number
  readonly completed: number
  readonly cancelled: number
  /** By error code. */
  readonly failed: Readonly<Record<string, number>>
  /** From the creation of a task to its first attempt. */
  readonly wait: Histogram
  /** From the first attempt of a task to its completion. */
  readonly run: Histogram
}

export interface QueueHistory {
  /** Every minute of the range, oldest first; the last is the current one. */
  readonly minutes: readonly QueueHistoryMinute[]
  /** Upper bounds of the buckets, in ms. */
  readonly bounds: readonly number[]
  readonly totals: {
    readonly created: number
    readonly started: number
    readonly completed: number
    readonly cancelled: number
    readonly failed: number
    readonly wait: Percentiles
    readonly run: Percentiles
  }
  readonly updated_at: string
}

export interface FailureGroup {
  readonly error_code: string
  readonly count: number
  readonly last_failed_at: string
  /** The latest five tasks that are still kept, latest first. */
  readonly tasks: ReadonlyArray<Pick<ChartTask, 'task_id' | 'message_id' | 'error_message' | 'completed_at'>>
}

export interface QueueFailures {
  /** By count, highest first; at most 100 codes. */
  readonly failures: readonly FailureGroup[]
  readonly updated_at: string
}

const sumOf = (numbers: readonly number[]) => numbers.reduce((sum, number) => sum + number, 0)
const dateOf = (ms: number) => new Date(ms).toISOString()

function toHistogram ({ sum, counts }: HistoryMinute['wait']): Histogram {
  const buckets = Array<number>(HISTORY_BOUNDS.length + 1).fill(0)
  for (const [bound, count] of Object.entries(counts)) {
    // Counts may come from another version with other bounds.
    const index = bound === UNBOUNDED ? -1 : HISTORY_BOUNDS.findIndex(ours => Number(bound) <= ours)
    buckets[index < 0 ? HISTORY_BOUNDS.length : index]! += count
  }
  return { count: sumOf(buckets), sum, buckets }
}

/** Assumes that durations are spread evenly within a bucket, and that those above the last bound are equal to it. */
function percentileOf (buckets: readonly number[], share: number): number | null {
  const rank = share * sumOf(buckets)
  if (rank === 0) return null
  let below = 0
  for (const [i, count] of buckets.entries()) {
    const upper = HISTORY_BOUNDS[i]
    if (upper === undefined) break
    if (below + count >= rank) {
      const lower = HISTORY_BOUNDS[i - 1] ?? 0
      return Math.round(lower + (upper - lower) * (rank - below) / count)
    }
    below += count
  }
  return HISTORY_BOUNDS.at(-1)!
}

/** The percentiles of several histograms together. */
export function percentilesOf (histograms: readonly Histogram[]): Percentiles {
  const buckets = Array.from({ length: HISTORY_BOUNDS.length + 1 }, (_, i) => sumOf(histograms.map(histogram => histogram.buckets[i]!)))
  return { p50: percentileOf(buckets, 0.5), p95: percentileOf(buckets, 0.95) }
}

function toMinute ({ at, created, started, completed, cancelled, failed, wait, run }: HistoryMinute): QueueHistoryMinute {
  return { at: dateOf(at), created, started, completed, cancelled, failed, wait: toHistogram(wait), run: toHistogram(run) }
}

const emptyMinute = (at: number): HistoryMinute => ({
  at, created: 0, started: 0, completed: 0, cancelled: 0, failed: {}, latest: {}, wait: { sum: 0, counts: {} }, run: { sum: 0, counts: {} }
})

/** @throws CHARTS_ERR_INVALID_REQUEST */
function minutesOf (minutes: number): number {
  const { max } = HISTORY_MINUTES
  if (!Number.isInteger(minutes) || minutes < 1 || minutes > max) throw new errors.CHARTS_ERR_INVALID_REQUEST(`minutes must be a whole number from 1 to ${max}`)
  return minutes
}

interface MonitoringOptions {
  readonly store: WorkerDirectory & HistoryStore
  readonly reads: LargeReads
  readonly history: History
}

/** Workers, history and failures of the queue. */
export class Monitoring {
  readonly #store: WorkerDirectory & HistoryStore
  readonly #reads: LargeReads
  readonly #history: History

  constructor ({ store, reads, history }: MonitoringOptions) {
    this.#store = store
    this.#reads = reads
    this.#history = history
  }

  workers (): Promise<WorkerList> {
    return this.#store.readWorkers(MAX_WORKERS)
  }

  async history ({ minutes = HISTORY_MINUTES.usual }: { minutes?: number | undefined } = {}): Promise<QueueHistory> {
    const range = minutesOf(minutes)
    // The counts of this process are part of the history.
    await this.#history.flush()
    const { now, minutes: counted } = await this.#store.readHistory(range, { latest: false })
    const byTime = new Map(counted.map(minute => [minute.at, minute]))
    const current = now - now % MINUTE_MS
    const all = Array.from({ length: range }, (_, i) => current - (range - 1 - i) * MINUTE_MS).map(at => toMinute(byTime.get(at) ?? emptyMinute(at)))
    const total = (name: 'created' | 'started' | 'completed' | 'cancelled') => sumOf(all.map(minute => minute[name]))
    return {
      minutes: all,
      bounds: [...HISTORY_BOUNDS],
      totals: {
        created: total('created'),
        started: total('started'),
        completed: total('completed'),
        cancelled: total('cancelled'),
        failed: sumOf(all.map(({ failed }) => sumOf(Object.values(failed)))),
        wait: percentilesOf(all.map(({ wait }) => wait)),
        run: percentilesOf(all.map(({ run }) => run))
      },
      updated_at: dateOf(now)
    }
  }

  async failures ({ minutes = HISTORY_MINUTES.max }: { minutes?: number | undefined } = {}): Promise<QueueFailures> {
    const range = minutesOf(minutes)
    await this.#history.flush()
    const { now, minutes: counted } = await this.#store.readHistory(range, { latest: true })
    const byCode = new Map<string, { count: number, at: number, latest: FailureRef[] }>()
    for (const { at, failed, latest } of counted) {
      for (const [code, count] of Object.entries(failed)) {
        const known = byCode.get(code) ?? { count: 0, at, latest: [] }
        byCode.set(code, { count: known.count + count, at, latest: [...latest[code] ?? [], ...known.latest].slice(0, MAX_LATEST) })
      }
    }
    const groups = [...byCode].sort(([, a], [, b]) => b.count - a.count || b.at - a.at).slice(0, MAX_GROUPS)
    const named = groups.flatMap(([, { latest }]) => latest.map(({ task_id }) => task_id))
    const tasks = new Map((await collect(this.#reads.slices(named))).map(task => [task.task_id, task]))
    return {
      failures: groups.map(([error_code, { count, at, latest }]) => ({
        error_code,
        count,
        // If the tasks of the minute are no longer kept, only the minute is known.
        last_failed_at: dateOf(latest[0]?.at ?? at),
        tasks: latest.map(({ task_id }) => tasks.get(task_id)).filter(task => task !== undefined).map(({ task_id, message_id, error_message, completed_at }) =>
          ({ task_id, message_id, error_message, completed_at }))
      })),
      updated_at: dateOf(now)
    }
  }
}
