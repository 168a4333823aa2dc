import type { HistoryAddition, HistoryMinute, WorkerList, WorkerRegistration } from '../task-store.ts'
import { additionArguments, toMinutes, toWorkers, type RawAttempt } from './monitoring.ts'
import type { ScriptRunner } from './script-runner.ts'
import { toWord } from './words.ts'

/** Parts of the running attempts that are read, each of 500. */
const MAX_WORKER_PARTS = 24
/** Hours of the history that one script reads: Redis serves nobody else meanwhile. */
const MAX_HOURS = { counts: 6, latest: 2 }

/** Runs `register.lua`; its header describes the arguments. */
export async function registerWorkers (
  runner: ScriptRunner, expires: number, indexExpires: number, channel: string, workers: readonly WorkerRegistration[]
): Promise<void> {
  await runner.run('register', [expires, indexExpires, channel, ...workers.flatMap(worker => [toWord(worker.worker_id), JSON.stringify(worker)])])
}

export async function readWorkers (runner: ScriptRunner, limit: number): Promise<WorkerList> {
  type Part = [now: string, workers: string[], more: number, running: RawAttempt[], next: number]
  const read = (maxWorkers: number, from: number) => runner.run<Part>('workers', [maxWorkers, from])
  const [now, workers, more, running, second] = await read(limit, 0)
  let next = second
  for (let parts = 1; next >= 0 && parts < MAX_WORKER_PARTS; parts++) {
    const part = await read(0, next)
    running.push(...part[3])
    next = part[4]
  }
  return { workers: toWorkers(workers, running), complete: more === 0 && next < 0, updated_at: new Date(Number(now)).toISOString() }
}

export async function addHistory (runner: ScriptRunner, addition: HistoryAddition): Promise<void> {
  await runner.run('historyAdd', additionArguments(addition))
}

export async function readHistory (runner: ScriptRunner, minutes: number, latest: boolean): Promise<{ now: number, minutes: HistoryMinute[] }> {
  const counts: string[] = []
  const failures: string[] = []
  let now = 0
  // One more: the range mostly begins within an hour.
  const hours = Math.ceil(minutes / 60) + 1
  const part = latest ? MAX_HOURS.latest : MAX_HOURS.counts
  for (let first = 0; first < hours; first += part) {
    const args = [first, Math.min(part, hours - first), latest ? 1 : 0]
    const [time, counted, failed] = await runner.run<[now: string, counts: string[], latest: string[]]>('history', args)
    now ||= Number(time)
    counts.push(...counted)
    failures.push(...failed)
  }
  return { now, minutes: toMinutes(counts, failures, now, minutes) }
}
