import { setImmediate } from 'node:timers/promises'
import { ChartStatus, isFinished, type ChartTask } from '../task.ts'
import { Bell } from './memory/bell.ts'
import { bytesOf, MOST_MOVED, mustRunAlone, toTaken, type Entry } from './memory/entry.ts'
import { Hints } from './memory/hints.ts'
import { Intake } from './memory/intake.ts'
import { Lifecycle } from './memory/lifecycle.ts'
import { Monitoring } from './memory/monitoring.ts'
import { Reads } from './memory/reads.ts'
import { Shelves } from './memory/shelves.ts'
import type { SortedSet } from './memory/sorted-set.ts'
import type {
  BatchOutcome, Cancelled, Closed, Closing, EndedTasks, EnqueueOutcome, ExpiredLease, HintListener, HistoryAddition, HistoryMinute, MessageTasks, Outlook, ProgressReport,
  QueueStats, Take, Taken, TaskDetails, TaskDraft, TaskFilter, TaskPage, TaskRef, TaskStore, WorkerList, WorkerRegistration
} from './task-store.ts'

/** Expired leases, waits that are over and due retries, all together, that one call deals with. */
const MOST_DUE = 25
/** Tasks that one call puts aside, and hands out. */
const MOST_ASIDE = 100
const MOST_HANDED = 500
/** ms until a worker goes on with what earlier calls have left. Their caller does so at once: this is for one that has died. */
const SETTLE_IN = 100
/** Finished tasks that are removed before anybody else is served. */
const PAGE = 100

/** Bytes of requests and checkpoints after which a take hands out no more: what is left over wakes the next. */
const MOST_TAKEN = 4 * 2 ** 20

/** ms between two looks at a clock that no timer follows. */
const LOOK_AT_CLOCK = 10

/** What has ended, but for what the caller knows the end of. */
const lostOf = (ended: readonly Entry[], own: ReadonlySet<string>): ChartTask[] =>
  ended.map(({ task }) => task).filter(({ task_id }) => !own.has(task_id))

export interface MemoryStoreOptions {
  /**
   * The time in ms since the epoch, for tests; default `Date.now`. Workers that have a free slot notice within some 10 ms of real
   * time that it has moved on.
   */
  readonly now?: (() => number) | undefined
}

/**
 * Tasks in this process's memory: for tests, and for a first try without Redis. They end with the process.
 * The same verbs as the Lua scripts, in plain JavaScript: the model of what the scripts mean.
 */
export function memoryStore (options: MemoryStoreOptions = {}): TaskStore {
  return new MemoryStore(options.now)
}

class MemoryStore implements TaskStore {
  readonly #now: () => number
  /** What leases are measured by: the wall clock may be set while they run. */
  readonly #monotonic: () => number
  /** Whether the host moves the clock: then no timer knows when something is due. */
  readonly #movesByHand: boolean
  readonly #shelves = new Shelves()
  readonly #hints = new Hints()
  readonly #bell = new Bell()
  readonly #lifecycle: Lifecycle
  readonly #reads: Reads
  readonly #intake: Intake
  readonly #monitoring: Monitoring

  constructor (given: (() => number) | undefined) {
    const now = given ?? Date.now
    const monotonic = given ?? (() => performance.now())
    this.#now = now
    this.#monotonic = monotonic
    this.#movesByHand = given !== undefined
    this.#lifecycle = new Lifecycle(this.#shelves, this.#hints, this.#bell, now, monotonic)
    this.#reads = new Reads(this.#shelves, now)
    this.#intake = new Intake(this.#shelves, this.#lifecycle, this.#reads, this.#bell, now)
    this.#monitoring = new Monitoring(this.#shelves, now)
  }

  async enqueue (draft: TaskDraft): Promise<EnqueueOutcome> {
    const result = this.#intake.accept([draft], null)
    if (!('tasks' in result)) return result
    const { tasks: [enqueued], superseded, unsettled } = result
    return { ...enqueued!, superseded, ...(unsettled ? { unsettled } : {}) }
  }

  async enqueueBatch (batch_id: string, drafts: readonly TaskDraft[]): Promise<BatchOutcome> {
    return this.#intake.accept(drafts, batch_id)
  }

  async dequeue (take: Take): Promise<Taken> {
    return this.#take(take, new Set())
  }

  async closeLeases (closings: readonly Closing[], take: Take | null): Promise<{ closed: Closed[], taken: Taken }> {
    const closed = closings.map(closing => this.#close(closing, take?.runningPerTenant ?? null))
    const own = new Set(closings.filter((_closing, i) => closed[i]!.current).map(({ task_id }) => task_id))
    if (take) return { closed, taken: this.#take(take, own) }
    // Without a take, nothing else is collected: were the reply lost, what has ended could not be asked for again.
    const unsettled = this.#lifecycle.settle(false)
    return { closed, taken: this.#taken([], lostOf(this.#lifecycle.drain(), own), [], unsettled) }
  }

  async progress (reports: readonly ProgressReport[]): Promise<boolean[]> {
    return reports.map(report => {
      const entry = this.#running(report.task_id, report.lease)
      if (entry) this.#lifecycle.report(entry, report)
      return entry !== null
    })
  }

  async checkpoint (task_id: string, lease: number, name: string, value: string, most: number): Promise<'ok' | 'stale' | 'too_large'> {
    const entry = this.#running(task_id, lease)
    if (!entry) return 'stale'
    const others = [...entry.checkpoints].filter(([other]) => other !== name).map(([, text]) => text)
    const bytes = [...others, value].reduce((sum, text) => sum + Buffer.byteLength(text), 0)
    if (most > 0 && bytes > most) return 'too_large'
    entry.checkpoints.set(name, value)
    return 'ok'
  }

  async extend (leases: ReadonlyArray<{ task_id: string, lease: number }>, leaseDuration: number): Promise<Array<'ok' | 'cancelled' | 'stale'>> {
    return leases.map(({ task_id, lease }) => {
      const entry = this.#shelves.entries.get(task_id)
      if (entry?.lease !== lease) return 'stale'
      if (entry.task.status === ChartStatus.CANCELLED) return 'cancelled'
      if (entry.task.status !== ChartStatus.PROCESSING) return 'stale'
      this.#shelves.processing.add(task_id, this.#monotonic() + leaseDuration)
      return 'ok'
    })
  }

  async cancel (task_id: string): Promise<Cancelled | null> {
    const entry = this.#shelves.entries.get(task_id)
    const task = entry && this.#reads.shown(entry)
    if (!task) return null
    if (isFinished(task)) return { task, ended: [] }
    this.#lifecycle.cancel([entry])
    const unsettled = this.#lifecycle.settle(false)
    return { task: entry.task, ended: this.#ended(), ...(unsettled ? { unsettled } : {}) }
  }

  async cancelAll (task_ids: readonly string[]): Promise<ChartTask[]> {
    // Twins of a batch are one task: it is named twice, and ends once.
    const entries = [...new Set(task_ids)].map(task_id => this.#shelves.entries.get(task_id))
    this.#lifecycle.cancel(entries.filter(entry => entry !== undefined && !isFinished(entry.task)) as Entry[])
    this.#lifecycle.settle(false)
    return this.#ended()
  }

  async read (task_ids: readonly string[], bytes = Infinity): Promise<Array<ChartTask | null>> {
    return this.#reads.tasks(task_ids, bytes)
  }

  async readRequest (task_id: string): Promise<string | null> {
    const entry = this.#shelves.entries.get(task_id)
    return entry && this.#reads.shown(entry) ? entry.draft.request : null
  }

  async readContent (chart_id: string): Promise<string | null> {
    return this.#shelves.contents.get(chart_id) ?? null
  }

  async readContents (chart_ids: readonly string[], bytes: number): Promise<Array<string | number | null>> {
    return this.#reads.contents(chart_ids, bytes)
  }

  async readMessage (message_id: string, user_id: string, org_id: string | null, limit: number): Promise<MessageTasks> {
    return this.#reads.message(message_id, user_id, org_id, limit)
  }

  async readActive (message_id: string, user_id: string, limit: number): Promise<TaskRef[]> {
    return this.#reads.message(message_id, user_id, null, limit).active
  }

  async readEnded (message_id: string, user_id: string, since: number, limit: number): Promise<EndedTasks> {
    return this.#reads.ended(message_id, user_id, since, limit)
  }

  async readBatch (batch_id: string): Promise<{ user_id: string, tasks: TaskRef[] } | null> {
    return this.#reads.batch(batch_id)
  }

  async stats (): Promise<QueueStats> {
    return this.#reads.stats()
  }

  async outlook (): Promise<Outlook> {
    return this.#reads.outlook()
  }

  async list (filter: TaskFilter, limit: number, cursor: string | null): Promise<TaskPage> {
    return this.#reads.list(filter, limit, cursor)
  }

  async inspect (task_id: string): Promise<TaskDetails | null> {
    return this.#reads.details(task_id)
  }

  async setPaused (paused: boolean): Promise<void> {
    const resumes = this.#shelves.paused && !paused
    this.#shelves.paused = paused
    if (resumes && this.#shelves.queue.any) this.#bell.ring()
  }

  async cleanup (): Promise<number> {
    const now = this.#now()
    let removed = 0
    for (let ids: string[]; (ids = this.#shelves.finished.upTo(now, PAGE)).length > 0; removed += ids.length) {
      for (const task_id of ids) this.#shelves.forget(this.#shelves.entries.get(task_id)!)
      if (ids.length === PAGE) await setImmediate()
    }
    this.#shelves.tidy(now)
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
    if (!this.#movesByHand) return this.#bell.wait(timeout, signal)
    const look = setInterval(() => { if (this.#due(false) === 0) this.#bell.ring() }, LOOK_AT_CLOCK)
    await this.#bell.wait(timeout, signal).finally(() => clearInterval(look))
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

  #running (task_id: string, lease: number): Entry | null {
    const entry = this.#shelves.entries.get(task_id)
    return entry?.lease === lease && entry.task.status === ChartStatus.PROCESSING ? entry : null
  }

  #ended (): ChartTask[] {
    return this.#lifecycle.drain().map(({ task }) => task)
  }

  #close (closing: Closing, cap: number | null): Closed {
    const { task_id, lease, verb } = closing
    const entry = this.#shelves.entries.get(task_id)
    if (entry?.lease !== lease) return { current: false, finished: null }
    if (this.#lifecycle.endReplaced(entry)) return { current: false, finished: null }
    if (entry.task.status === ChartStatus.PROCESSING) this.#lifecycle.close(entry, closing, cap)
    else if (entry.closed !== verb) return { current: false, finished: null }
    const ended = entry.task.status === ChartStatus.COMPLETED || entry.task.status === ChartStatus.FAILED
    return { current: true, finished: ended ? this.#reads.shown(entry) : null }
  }

  /** Collects what is due, then hands out tasks. `own`: what the caller knows the end of. */
  #take (take: Take, own: ReadonlySet<string>): Taken {
    const { worker_id, take_id, lane = 0 } = take
    const before = this.#shelves.takes.get(`${worker_id}:${lane}`)
    if (before?.take_id === take_id && before.expires > this.#now()) {
      const again = before.ids.map(task_id => this.#shelves.entries.get(task_id)!)
      const still = again.filter(entry => entry?.task.status === ChartStatus.PROCESSING && entry.take_id === take_id)
      const unsettled = this.#lifecycle.settle(false)
      return this.#taken(still, lostOf([...this.#lifecycle.drain(), ...before.ended], own), before.expired, unsettled)
    }
    const expired = this.#collect(take.runningPerTenant)
    this.#lifecycle.settle(true)
    const started = this.#start(take)
    const unsettled = this.#lifecycle.settle(true)
    const ended = this.#lifecycle.drain()
    if (started.length + ended.length + expired.length > 0) {
      const ids = started.map(({ task }) => task.task_id)
      this.#shelves.takes.set(`${worker_id}:${lane}`, { take_id, ids, ended, expired, expires: this.#now() + take.leaseDuration })
    }
    // A paused queue must not wake those who would find nothing.
    if (this.#shelves.queue.any && !this.#shelves.paused) this.#bell.ring()
    return this.#taken(started, lostOf(ended, own), expired, unsettled)
  }

  #taken (started: readonly Entry[], lost: ChartTask[], expired: readonly ExpiredLease[], unsettled: boolean): Taken {
    return { tasks: started.map(toTaken), lost, due: this.#due(unsettled), expired, ...(unsettled ? { unsettled } : {}) }
  }

  /** Expired leases, waits that are over, and what may go on now. The attempts whose leases have expired. */
  #collect (cap: number): ExpiredLease[] {
    const { entries, processing, deadlines, delayed } = this.#shelves
    const expired: ExpiredLease[] = []
    let room = MOST_DUE
    const collect = (due: SortedSet, time: number, handle: (entry: Entry) => void) => {
      const ids = due.upTo(time, room)
      room -= ids.length
      for (const task_id of ids) handle(entries.get(task_id)!)
    }
    collect(processing, this.#monotonic(), entry => {
      const { task: { task_id, attempt }, worker_id } = entry
      if (this.#lifecycle.expire(entry, cap)) expired.push({ task_id, attempt, worker_id })
    })
    collect(deadlines, this.#now(), entry => this.#lifecycle.timeOut(entry))
    collect(delayed, this.#now(), entry => this.#lifecycle.promote(entry))
    return expired
  }

  #start (take: Take): Entry[] {
    const { entries, queue, running, paused } = this.#shelves
    const started: Entry[] = []
    if (paused) return started
    let aside = 0
    let bytes = 0
    const most = Math.min(take.count, MOST_HANDED)
    while (started.length < most && aside < MOST_ASIDE && this.#lifecycle.moved < 2 * MOST_MOVED && bytes < MOST_TAKEN) {
      const head = queue.pop()
      if (!head) break
      let entry = entries.get(head.id)!
      const { tenant } = entry.draft
      if (this.#shelves.replaced.has(entry)) {
        queue.putBack(head)
        this.#lifecycle.endReplaced(entry)
        aside++
        continue
      }
      const capped = take.runningPerTenant > 0
      if (capped && running.of(tenant) >= take.runningPerTenant) {
        queue.park(head, tenant)
        aside++
        continue
      }
      // What has run before goes first all the same.
      const other = capped && head.queue !== 'again' ? queue.prefer(tenant) : null
      if (other !== null && !this.#lifecycle.endReplaced(entries.get(other)!)) {
        queue.park(head, tenant)
        entry = entries.get(other)!
      }
      const alone = mustRunAlone(entry, entry.task.attempt + 1)
      this.#lifecycle.start(entry, take, alone && take.beside + started.length > 0 ? 'queued' : 'started')
      started.push(entry)
      bytes += bytesOf(entry)
      if (alone) break
    }
    return started
  }

  #due (unsettled: boolean): number | null {
    const { processing, delayed, deadlines } = this.#shelves
    const next = (set: typeof processing) => set.first?.score ?? Infinity
    const left = Math.min(next(processing) - this.#monotonic(), next(delayed) - this.#now(), next(deadlines) - this.#now())
    const due = Math.min(Math.max(0, left), unsettled ? SETTLE_IN : Infinity)
    return due === Infinity ? null : due
  }
}
