import { HISTORY_MS, MAX_SHOWN_ATTEMPTS, MINUTE_MS, byHostAndStart } from '../../monitoring-rules.ts'
import type { FailureRef, HistoryAddition, HistoryMinute, RunningAttempt, WorkerEntry, WorkerRegistration } from '../task-store.ts'
import { fromWord } from './words.ts'

/** What `workers.lua` says of one running attempt. */
export type RawAttempt = [task_id: string, message_id: string, worker_id: string, attempt: string, step: string, progress: string, began: string]

const dateOf = (ms: string | number) => new Date(Number(ms)).toISOString()

/** What a worker has said of itself; null for what no worker has written. */
function toWorker (text: string): WorkerRegistration & { last_seen_at: string } | null {
  const space = text.indexOf(' ')
  try {
    const { worker_id, host, pid, version, concurrency, state, started_at } = JSON.parse(text.slice(space + 1)) as WorkerRegistration
    const isText = [worker_id, host, version, started_at].every(value => typeof value === 'string')
    if (!isText || !Number.isInteger(pid) || !Number.isInteger(concurrency) || !(state === 'running' || state === 'draining')) return null
    return { worker_id, host, pid, version, concurrency, state, started_at, last_seen_at: dateOf(text.slice(0, space)) }
  } catch {
    return null
  }
}

/** The workers and what each of them runs, by host and then by when they started. */
export function toWorkers (texts: readonly string[], attempts: readonly RawAttempt[]): WorkerEntry[] {
  // An attempt whose lease was extended between two parts may be in both.
  const byTask = new Map(attempts.map(attempt => [attempt[0], attempt]))
  const byWorker = new Map<string, RawAttempt[]>()
  for (const attempt of byTask.values()) {
    const worker_id = fromWord(attempt[2])
    const others = byWorker.get(worker_id)
    if (others) others.push(attempt)
    else byWorker.set(worker_id, [attempt])
  }
  const workers = texts.map(toWorker).filter(worker => worker !== null).map(worker => {
    const running = byWorker.get(worker.worker_id) ?? []
    return { ...worker, running: running.slice(0, MAX_SHOWN_ATTEMPTS).map(toAttempt), running_count: running.length }
  })
  return workers.sort(byHostAndStart)
}

function toAttempt ([task_id, message_id,, attempt, step, progress, began]: RawAttempt): RunningAttempt {
  return { task_id, message_id, attempt: Number(attempt), current_step: fromWord(step), progress: Number(progress), started_at: dateOf(began) }
}

const COUNTED = ['created', 'started', 'completed', 'cancelled'] as const
const MEASURED = ['wait', 'run'] as const
/** ms that what is counted of a minute is kept from the latest addition on: those of its hash are an hour. */
const KEPT_MS = HISTORY_MS + 3_600_000

/** What was counted, as the arguments of `history-add.lua`. */
export function additionArguments ({ process_id, addition_id, minutes }: HistoryAddition): Array<string | number> {
  return [process_id, addition_id, KEPT_MS, ...minutes.flatMap(minute => [minute.at, countsOf(minute), latestOf(minute)])]
}

const toText = (values: ReadonlyArray<readonly [name: string, value: number | string]>) => values.map(([name, value]) => `${name}=${value}`).join(' ')

const countsOf = (minute: HistoryMinute): string => toText([
  ...COUNTED.map(name => [name, minute[name]] as const),
  ...Object.entries(minute.failed).map(([code, count]) => [`failed:${code}`, count] as const),
  ...MEASURED.flatMap(name => Object.entries({ sum: minute[name].sum, ...minute[name].counts }).map(([bound, count]) => [`${name}:${bound}`, count] as const))
].filter(([, number]) => number > 0))

const latestOf = ({ latest }: HistoryMinute): string =>
  toText(Object.entries(latest).map(([code, tasks]) => [code, tasks.map(({ task_id, at }) => `${task_id},${at}`).join(';')] as const))

const emptyMinute = (at: number) => ({
  at,
  created: 0,
  started: 0,
  completed: 0,
  cancelled: 0,
  failed: {} as Record<string, number>,
  latest: {} as Record<string, FailureRef[]>,
  wait: { sum: 0, counts: {} as Record<string, number> },
  run: { sum: 0, counts: {} as Record<string, number> }
})

const COUNT = /(?:(created|started|completed|cancelled)|failed:([\w.]{1,64})|(wait|run):(sum|inf|\d{1,16}))=(\d{1,15})(?: |$)/gy
const LATEST = /([\w.]{1,64})=(\S*)/g
const FAILURE = /([\da-f-]{36}),(\d{1,15})/g

function readCounts (minute: ReturnType<typeof emptyMinute>, text: string): void {
  for (const [, counted, code, measured, bound, digits] of text.matchAll(COUNT)) {
    const number = Number(digits)
    if (counted) minute[counted as typeof COUNTED[number]] = number
    else if (code) minute.failed[code] = number
    else if (bound === 'sum') minute[measured as typeof MEASURED[number]].sum = number
    else minute[measured as typeof MEASURED[number]].counts[bound!] = number
  }
}

function readLatest (minute: ReturnType<typeof emptyMinute>, text: string): void {
  for (const [, code, entries] of text.matchAll(LATEST)) {
    minute.latest[code!] = [...entries!.matchAll(FAILURE)].map(([, task_id, at]) => ({ task_id: task_id!, at: Number(at) }))
  }
}

/** What the hashes say of the latest minutes, the oldest first. What nobody of ours has written is left out. */
export function toMinutes (counts: readonly string[], latest: readonly string[], now: number, minutes: number): HistoryMinute[] {
  const oldest = now - now % MINUTE_MS - (minutes - 1) * MINUTE_MS
  const found = new Map<number, ReturnType<typeof emptyMinute>>()
  const readAll = (fields: readonly string[], read: (minute: ReturnType<typeof emptyMinute>, text: string) => void) => {
    for (let i = 0; i < fields.length; i += 2) {
      const at = Number(fields[i])
      if (!(at >= oldest && at <= now && at % MINUTE_MS === 0)) continue
      const minute = found.get(at) ?? emptyMinute(at)
      found.set(at, minute)
      read(minute, fields[i + 1]!)
    }
  }
  readAll(counts, readCounts)
  readAll(latest, readLatest)
  return [...found.values()].sort((a, b) => a.at - b.at)
}
