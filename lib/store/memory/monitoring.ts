import { HISTORY_MS, MAX_CODES, MAX_LATEST, MAX_SHOWN_ATTEMPTS, MINUTE_MS, OTHER_CODES, byHostAndStart } from '../../monitoring-rules.ts'
import { ChartStatus } from '../../task.ts'
import type { Durations, FailureRef, HistoryAddition, HistoryMinute, RunningAttempt, WorkerList, WorkerRegistration } from '../task-store.ts'
import type { Entry } from './entry.ts'
import type { MemoryState } from './memory-state.ts'

/** Processes whose latest addition is known: those of services that have been closed are forgotten in the end. */
const MAX_PROCESSES = 1_000

interface Minute {
  readonly at: number
  readonly failed: Map<string, { count: number, latest: FailureRef[] }>
  readonly sums: { created: number, started: number, completed: number, cancelled: number }
  readonly wait: { sum: number, readonly counts: Map<string, number> }
  readonly run: { sum: number, readonly counts: Map<string, number> }
}

const emptyMinute = (at: number): Minute => ({
  at,
  failed: new Map(),
  sums: { created: 0, started: 0, completed: 0, cancelled: 0 },
  wait: { sum: 0, counts: new Map() },
  run: { sum: 0, counts: new Map() }
})

const shown = ({ sum, counts }: Minute['wait']): Durations => ({ sum, counts: Object.fromEntries(counts) })

/** Which workers there are, and what has happened lately. A worker of this process is there until it says that it is not. */
export class Monitoring {
  readonly #state: MemoryState
  readonly #now: () => number
  readonly #workers = new Map<string, WorkerRegistration>()
  readonly #minutes = new Map<number, Minute>()
  readonly #additions = new Map<string, string>()

  constructor (state: MemoryState, now: () => number) {
    this.#state = state
    this.#now = now
  }

  register (worker: WorkerRegistration): void {
    this.#workers.set(worker.worker_id, worker)
  }

  remove (worker_id: string): void {
    this.#workers.delete(worker_id)
  }

  workers (limit: number): WorkerList {
    const updated_at = new Date(this.#now()).toISOString()
    const { entries, processing } = this.#state
    const running = new Map<string, RunningAttempt[]>()
    for (const task_id of processing.head(processing.size)) {
      const entry = entries.get(task_id)!
      if (entry.task.status !== ChartStatus.PROCESSING || !this.#workers.has(entry.worker_id)) continue
      const attempts = running.get(entry.worker_id) ?? []
      attempts.push(toAttempt(entry))
      running.set(entry.worker_id, attempts)
    }
    const workers = [...this.#workers.values()].slice(0, limit).map(worker => {
      const attempts = running.get(worker.worker_id) ?? []
      return { ...worker, last_seen_at: updated_at, running: attempts.slice(0, MAX_SHOWN_ATTEMPTS), running_count: attempts.length }
    })
    workers.sort(byHostAndStart)
    return { workers, complete: workers.length === this.#workers.size, updated_at }
  }

  add ({ process_id, addition_id, minutes }: HistoryAddition): void {
    if (this.#additions.get(process_id) === addition_id) return
    this.#additions.delete(process_id)
    this.#additions.set(process_id, addition_id)
    if (this.#additions.size > MAX_PROCESSES) this.#additions.delete(this.#additions.keys().next().value!)
    for (const minute of minutes) this.#addMinute(minute)
    for (const at of this.#minutes.keys()) if (at <= this.#now() - HISTORY_MS) this.#minutes.delete(at)
  }

  history (minutes: number): { now: number, minutes: HistoryMinute[] } {
    const now = this.#now()
    const oldest = now - now % MINUTE_MS - (minutes - 1) * MINUTE_MS
    const found = [...this.#minutes.values()].filter(({ at }) => at >= oldest && at <= now).sort((a, b) => a.at - b.at)
    return {
      now,
      minutes: found.map(({ at, sums, failed, wait, run }) => ({
        at,
        ...sums,
        failed: Object.fromEntries([...failed].map(([code, { count }]) => [code, count])),
        latest: Object.fromEntries([...failed].map(([code, { latest }]) => [code, [...latest]])),
        wait: shown(wait),
        run: shown(run)
      }))
    }
  }

  #addMinute (added: HistoryMinute): void {
    const minute = this.#minutes.get(added.at) ?? emptyMinute(added.at)
    this.#minutes.set(added.at, minute)
    for (const name of ['created', 'started', 'completed', 'cancelled'] as const) minute.sums[name] += added[name]
    for (const name of ['wait', 'run'] as const) {
      const { sum, counts } = minute[name]
      minute[name].sum = sum + added[name].sum
      for (const [bound, count] of Object.entries(added[name].counts)) counts.set(bound, (counts.get(bound) ?? 0) + count)
    }
    for (const [given, count] of Object.entries(added.failed)) {
      const apart = [...minute.failed.keys()].filter(code => code !== OTHER_CODES).length
      const code = minute.failed.has(given) || apart < MAX_CODES ? given : OTHER_CODES
      const known = minute.failed.get(code) ?? { count: 0, latest: [] }
      const latest = [...added.latest[given] ?? [], ...known.latest].sort((a, b) => b.at - a.at)
      minute.failed.set(code, { count: known.count + count, latest: latest.slice(0, MAX_LATEST) })
    }
  }
}

function toAttempt ({ task, trace }: Entry): RunningAttempt {
  const { task_id, message_id, attempt, current_step, progress } = task
  return { task_id, message_id, attempt, current_step, progress, started_at: new Date(trace[0]!.at).toISOString() }
}
