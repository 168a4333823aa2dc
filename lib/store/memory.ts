import { setImmediate } from 'node:timers/promises'
import { isFinished, type StoredTask } from '../task.ts'
import { Enqueuer } from './memory/enqueue.ts'
import type { Entry } from './memory/entry.ts'
import { Hints } from './memory/hints.ts'
import { MemoryLeases } from './memory/leases.ts'
import { Lifecycle } from './memory/lifecycle.ts'
import { MemoryState } from './memory/memory-state.ts'
import { Monitoring } from './memory/monitoring.ts'
import { Reads } from './memory/reads.ts'
import { WorkSignal } from './memory/work-signal.ts'
import type {
  BatchOutcome, Cancelled, Checkpoint, Claim, Claimed, EndedTasks, EnqueueOutcome, HintListener, HistoryAddition, HistoryMinute, ListQuery, MessageQuery, MessageTasks,
  ProgressReport, QueueSnapshot, QueueStats, Settled, Settlement, TaskDetails, TaskDraft, TaskPage, TaskRef, TaskStore, WorkerList, WorkerRegistration
} from './task-store.ts'

/** Finished tasks that are removed before anybody else is served. */
const CLEANUP_PAGE = 100
/** ms between two checks of a clock that a test moves: no timer follows it. */
const CLOCK_INTERVAL_MS = 10

export interface MemoryStoreOptions {
  /**
   * The time in ms since the epoch, for tests; default `Date.now`. Workers that have a free slot notice within some 10 ms of real
   * time that it has moved on.
   */
  readonly now?: (() => number) | undefined
}

/**
 * Tasks in this process's memory: for tests, and for a start without Redis. They end with the process.
 * It does what the Lua scripts do, in plain JavaScript: it is the model that tests compare them with.
 */
export function memoryStore (options: MemoryStoreOptions = {}): TaskStore {
  return new MemoryStore(options.now)
}

class MemoryStore implements TaskStore {
  readonly #now: () => number
  /** A test moves the clock: no timer knows when something is due. */
  readonly #hasTestClock: boolean
  readonly #state = new MemoryState()
  readonly #hints = new Hints()
  readonly #workSignal = new WorkSignal()
  readonly #lifecycle: Lifecycle
  readonly #reads: Reads
  readonly #enqueuer: Enqueuer
  readonly #leases: MemoryLeases
  readonly #monitoring: Monitoring

  constructor (testClock: (() => number) | undefined) {
    const now = testClock ?? Date.now
    // Leases are measured by a clock that nobody sets.
    const monotonic = testClock ?? (() => performance.now())
    this.#now = now
    this.#hasTestClock = testClock !== undefined
    this.#lifecycle = new Lifecycle(this.#state, this.#hints, this.#workSignal, now, monotonic)
    this.#reads = new Reads(this.#state, now)
    this.#enqueuer = new Enqueuer(this.#state, this.#lifecycle, this.#reads, this.#workSignal, now)
    this.#leases = new MemoryLeases({ state: this.#state, lifecycle: this.#lifecycle, reads: this.#reads, workSignal: this.#workSignal, now, monotonic })
    this.#monitoring = new Monitoring(this.#state, now)
  }

  async enqueue (draft: TaskDraft): Promise<EnqueueOutcome> {
    const result = this.#enqueuer.accept([draft], null)
    if (!('tasks' in result)) return result
    const { tasks: [enqueued], superseded, deferred } = result
    return { ...enqueued!, superseded, ...(deferred ? { deferred } : {}) }
  }

  async enqueueBatch (batch_id: string, drafts: readonly TaskDraft[]): Promise<BatchOutcome> {
    return this.#enqueuer.accept(drafts, batch_id)
  }

  async claim (claim: Claim): Promise<Claimed> {
    return this.#leases.claim(claim)
  }

  async settleAttempts (settlements: readonly Settlement[], claim: Claim | null): Promise<{ settled: Settled[], claimed: Claimed }> {
    return this.#leases.settle(settlements, claim)
  }

  async progress (reports: readonly ProgressReport[]): Promise<boolean[]> {
    return this.#leases.progress(reports)
  }

  async checkpoint (checkpoint: Checkpoint): Promise<'ok' | 'stale' | 'too_large'> {
    return this.#leases.checkpoint(checkpoint)
  }

  async extend (leases: ReadonlyArray<{ task_id: string, lease: number }>, leaseDuration: number): Promise<Array<'ok' | 'cancelled' | 'stale'>> {
    return this.#leases.extend(leases, leaseDuration)
  }

  async cancel (task_id: string): Promise<Cancelled | null> {
    const entry = this.#state.entries.get(task_id)
    const task = entry && this.#reads.shown(entry)
    if (!task) return null
    if (isFinished(task)) return { task, ended: [] }
    this.#lifecycle.cancel([entry])
    const deferred = this.#lifecycle.propagate(false)
    return { task: entry.task, ended: this.#ended(), ...(deferred ? { deferred } : {}) }
  }

  async cancelAll (task_ids: readonly string[]): Promise<StoredTask[]> {
    // A batch names a task twice if two of its drafts were duplicates.
    const entries = [...new Set(task_ids)].map(task_id => this.#state.entries.get(task_id))
    this.#lifecycle.cancel(entries.filter(entry => entry !== undefined && !isFinished(entry.task)) as Entry[])
    this.#lifecycle.propagate(false)
    return this.#ended()
  }

  async read (task_ids: readonly string[], bytes = Infinity): Promise<Array<StoredTask | null>> {
    return this.#reads.tasks(task_ids, bytes)
  }

  async readRequest (task_id: string): Promise<string | null> {
    const entry = this.#state.entries.get(task_id)
    return entry && this.#reads.shown(entry) ? entry.draft.request : null
  }

  async readContent (chart_id: string): Promise<string | null> {
    return this.#state.contents.get(chart_id) ?? null
  }

  async readContents (chart_ids: readonly string[], bytes: number): Promise<Array<string | number | null>> {
    return this.#reads.contents(chart_ids, bytes)
  }

  async readMessage (query: MessageQuery & { readonly org_id: string | null }): Promise<MessageTasks> {
    return this.#reads.message(query)
  }

  async readActive (query: MessageQuery): Promise<TaskRef[]> {
    return this.#reads.message({ ...query, org_id: null }).active
  }

  async readEnded (query: MessageQuery & { readonly since: number }): Promise<EndedTasks> {
    return this.#reads.ended(query)
  }

  async readBatch (batch_id: string): Promise<{ user_id: string, tasks: TaskRef[] } | null> {
    return this.#reads.batch(batch_id)
  }

  async stats (): Promise<QueueStats> {
    return this.#reads.stats()
  }

  async snapshot (): Promise<QueueSnapshot> {
    return this.#reads.snapshot()
  }

  async list (query: ListQuery): Promise<TaskPage<StoredTask>> {
    return this.#reads.list(query)
  }

  async inspect (task_id: string): Promise<TaskDetails<StoredTask> | null> {
    return this.#reads.details(task_id)
  }

  async setPaused (paused: boolean): Promise<void> {
    const resumes = this.#state.paused && !paused
    this.#state.paused = paused
    if (resumes && this.#state.queue.any) this.#workSignal.notify()
  }

  async cleanup (): Promise<number> {
    const now = this.#now()
    let removed = 0
    for (let ids: string[]; (ids = this.#state.finished.upTo(now, CLEANUP_PAGE)).length > 0; removed += ids.length) {
      for (const task_id of ids) this.#state.forget(this.#state.entries.get(task_id)!)
      if (ids.length === CLEANUP_PAGE) await setImmediate()
    }
    this.#state.tidy(now)
    return removed
  }

  async registerWorker (worker: WorkerRegistration): Promise<void> {
    this.#monitoring.register(worker)
  }

  async removeWorker (worker_id: string): Promise<void> {
    this.#monitoring.remove(worker_id)
  }

  async readWorkers (limit: number): Promise<WorkerList> {
    return this.#monitoring.workers(limit)
  }

  async addHistory (addition: HistoryAddition): Promise<void> {
    this.#monitoring.add(addition)
  }

  async readHistory (minutes: number): Promise<{ now: number, minutes: HistoryMinute[] }> {
    return this.#monitoring.history(minutes)
  }

  async waitForWork (timeout: number, signal: AbortSignal): Promise<void> {
    if (!this.#hasTestClock) return this.#workSignal.wait(timeout, signal)
    const timer = setInterval(() => { if (this.#leases.due(false) === 0) this.#workSignal.notify() }, CLOCK_INTERVAL_MS)
    await this.#workSignal.wait(timeout, signal).finally(() => clearInterval(timer))
  }

  now (): number {
    return this.#now()
  }

  listen (listener: HintListener): () => void {
    return this.#hints.listen(listener)
  }

  async subscribe (): Promise<boolean> {
    return true
  }

  unsubscribe (): void {}

  async subscribeMessage (): Promise<boolean> {
    return true
  }

  unsubscribeMessage (): void {}

  async checkHealth (): Promise<{ store: boolean, feed: boolean, writable: boolean }> {
    return { store: true, feed: true, writable: true }
  }

  async ready (): Promise<void> {}

  async close (): Promise<void> {}

  #ended (): StoredTask[] {
    return this.#lifecycle.drain().map(({ task }) => task)
  }
}
