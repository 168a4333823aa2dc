import { setImmediate } from 'node:timers/promises'
import { ChartStatus, isFinished, type ChartTask } from '../task.ts'
import { WorkSignal } from './memory/work-signal.ts'
import { bytesOf, mustRunAlone, toClaimed, type Entry } from './memory/entry.ts'
import { Hints } from './memory/hints.ts'
import { Intake } from './memory/enqueue.ts'
import { Lifecycle } from './memory/lifecycle.ts'
import { Monitoring } from './memory/monitoring.ts'
import { Reads } from './memory/reads.ts'
import { MemoryState } from './memory/memory-state.ts'
import type { SortedSet } from './memory/sorted-set.ts'
import { DEFERRED_DUE_MS, MAX_ASIDE, MAX_CLAIMED, MAX_CLAIMED_BYTES, MAX_DUE, MAX_MOVED } from './rules.ts'
import type {
  BatchOutcome, Cancelled, Checkpoint, ListQuery, MessageQuery, Settled, Settlement, EndedTasks, EnqueueOutcome, ExpiredLease, HintListener, HistoryAddition, HistoryMinute, MessageTasks, QueueSnapshot, ProgressReport,
  QueueStats, Claim, Claimed, TaskDetails, TaskDraft, TaskPage, TaskRef, TaskStore, WorkerList, WorkerRegistration
} from './task-store.ts'

/** Finished tasks that are removed before anybody else is served. */
const CLEANUP_PAGE = 100
/** ms between two checks of a clock that a test moves: no timer follows it. */
const CLOCK_INTERVAL_MS = 10

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
  readonly #state = new MemoryState()
  readonly #hints = new Hints()
  readonly #workSignal = new WorkSignal()
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
    this.#lifecycle = new Lifecycle(this.#state, this.#hints, this.#workSignal, now, monotonic)
    this.#reads = new Reads(this.#state, now)
    this.#intake = new Intake(this.#state, this.#lifecycle, this.#reads, this.#workSignal, now)
    this.#monitoring = new Monitoring(this.#state, now)
  }

  async enqueue (draft: TaskDraft): Promise<EnqueueOutcome> {
    const result = this.#intake.accept([draft], null)
    if (!('tasks' in result)) return result
    const { tasks: [enqueued], superseded, deferred } = result
    return { ...enqueued!, superseded, ...(deferred ? { deferred } : {}) }
  }

  async enqueueBatch (batch_id: string, drafts: readonly TaskDraft[]): Promise<BatchOutcome> {
    return this.#intake.accept(drafts, batch_id)
  }

  async claim (claim: Claim): Promise<Claimed> {
    return this.#claim(claim, new Set())
  }

  async settleAttempts (settlements: readonly Settlement[], claim: Claim | null): Promise<{ settled: Settled[], claimed: Claimed }> {
    const settled = settlements.map(settlement => this.#close(settlement, claim?.runningPerTenant ?? null))
    const own = new Set(settlements.filter((_closing, i) => settled[i]!.current).map(({ task_id }) => task_id))
    if (claim) return { settled, claimed: this.#claim(claim, own) }
    // Without a take, nothing else is collected: were the reply lost, what has ended could not be asked for again.
    const deferred = this.#lifecycle.propagate(false)
    return { settled, claimed: this.#claimed([], lostOf(this.#lifecycle.drain(), own), [], deferred) }
  }

  async progress (reports: readonly ProgressReport[]): Promise<boolean[]> {
    return reports.map(report => {
      const entry = this.#running(report.task_id, report.lease)
      if (entry) this.#lifecycle.report(entry, report)
      return entry !== null
    })
  }

  async checkpoint ({ task_id, lease, name, value, maxBytes }: Checkpoint): Promise<'ok' | 'stale' | 'too_large'> {
    const entry = this.#running(task_id, lease)
    if (!entry) return 'stale'
    const others = [...entry.checkpoints].filter(([other]) => other !== name).map(([, text]) => text)
    const bytes = [...others, value].reduce((sum, text) => sum + Buffer.byteLength(text), 0)
    if (maxBytes > 0 && bytes > maxBytes) return 'too_large'
    entry.checkpoints.set(name, value)
    return 'ok'
  }

  async extend (leases: ReadonlyArray<{ task_id: string, lease: number }>, leaseDuration: number): Promise<Array<'ok' | 'cancelled' | 'stale'>> {
    return leases.map(({ task_id, lease }) => {
      const entry = this.#state.entries.get(task_id)
      if (entry?.lease !== lease) return 'stale'
      if (entry.task.status === ChartStatus.CANCELLED) return 'cancelled'
      if (entry.task.status !== ChartStatus.PROCESSING) return 'stale'
      this.#state.processing.add(task_id, this.#monotonic() + leaseDuration)
      return 'ok'
    })
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

  async cancelAll (task_ids: readonly string[]): Promise<ChartTask[]> {
    // Twins of a batch are one task: it is named twice, and ends once.
    const entries = [...new Set(task_ids)].map(task_id => this.#state.entries.get(task_id))
    this.#lifecycle.cancel(entries.filter(entry => entry !== undefined && !isFinished(entry.task)) as Entry[])
    this.#lifecycle.propagate(false)
    return this.#ended()
  }

  async read (task_ids: readonly string[], bytes = Infinity): Promise<Array<ChartTask | null>> {
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

  async list (query: ListQuery): Promise<TaskPage> {
    return this.#reads.list(query)
  }

  async inspect (task_id: string): Promise<TaskDetails | null> {
    return this.#reads.details(task_id)
  }

  async setPaused (paused: boolean): Promise<void> {
    const resumes = this.#state.paused && !paused
    this.#state.paused = paused
    if (resumes && this.#state.queue.any) this.#workSignal.ring()
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
    if (!this.#movesByHand) return this.#workSignal.wait(timeout, signal)
    const look = setInterval(() => { if (this.#due(false) === 0) this.#workSignal.ring() }, CLOCK_INTERVAL_MS)
    await this.#workSignal.wait(timeout, signal).finally(() => clearInterval(look))
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
    const entry = this.#state.entries.get(task_id)
    return entry?.lease === lease && entry.task.status === ChartStatus.PROCESSING ? entry : null
  }

  #ended (): ChartTask[] {
    return this.#lifecycle.drain().map(({ task }) => task)
  }

  #close (settlement: Settlement, cap: number | null): Settled {
    const { task_id, lease, verb } = settlement
    const entry = this.#state.entries.get(task_id)
    if (entry?.lease !== lease) return { current: false, finished: null }
    if (this.#lifecycle.endReplaced(entry)) return { current: false, finished: null }
    if (entry.task.status === ChartStatus.PROCESSING) this.#lifecycle.close(entry, settlement, cap)
    else if (entry.settled !== verb) return { current: false, finished: null }
    const ended = entry.task.status === ChartStatus.COMPLETED || entry.task.status === ChartStatus.FAILED
    return { current: true, finished: ended ? this.#reads.shown(entry) : null }
  }

  /** Collects what is due, then hands out tasks. `own`: what the caller knows the end of. */
  #claim (claim: Claim, own: ReadonlySet<string>): Claimed {
    const { worker_id, claim_id, lane = 0 } = claim
    const before = this.#state.claims.get(`${worker_id}:${lane}`)
    if (before?.claim_id === claim_id && before.expires > this.#now()) {
      const again = before.ids.map(task_id => this.#state.entries.get(task_id)!)
      const still = again.filter(entry => entry?.task.status === ChartStatus.PROCESSING && entry.claim_id === claim_id)
      const deferred = this.#lifecycle.propagate(false)
      return this.#claimed(still, lostOf([...this.#lifecycle.drain(), ...before.ended], own), before.expired, deferred)
    }
    const expired = this.#collect(claim.runningPerTenant)
    this.#lifecycle.propagate(true)
    const started = this.#start(claim)
    const deferred = this.#lifecycle.propagate(true)
    const ended = this.#lifecycle.drain()
    if (started.length + ended.length + expired.length > 0) {
      const ids = started.map(({ task }) => task.task_id)
      this.#state.claims.set(`${worker_id}:${lane}`, { claim_id, ids, ended, expired, expires: this.#now() + claim.leaseDuration })
    }
    // A paused queue must not wake those who would find nothing.
    if (this.#state.queue.any && !this.#state.paused) this.#workSignal.ring()
    return this.#claimed(started, lostOf(ended, own), expired, deferred)
  }

  #claimed (started: readonly Entry[], lost: ChartTask[], expired: readonly ExpiredLease[], deferred: boolean): Claimed {
    return { tasks: started.map(toClaimed), lost, due: this.#due(deferred), expired, ...(deferred ? { deferred } : {}) }
  }

  /** Expired leases, waits that are over, and what may go on now. The attempts whose leases have expired. */
  #collect (cap: number): ExpiredLease[] {
    const { entries, processing, deadlines, delayed } = this.#state
    const expired: ExpiredLease[] = []
    let room = MAX_DUE
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

  #start (claim: Claim): Entry[] {
    const { entries, queue, running, paused } = this.#state
    const started: Entry[] = []
    if (paused) return started
    let aside = 0
    let bytes = 0
    const most = Math.min(claim.count, MAX_CLAIMED)
    while (started.length < most && aside < MAX_ASIDE && this.#lifecycle.moved < 2 * MAX_MOVED && bytes < MAX_CLAIMED_BYTES) {
      const head = queue.pop()
      if (!head) break
      let entry = entries.get(head.id)!
      const { tenant } = entry.draft
      if (this.#state.replaced.has(entry)) {
        queue.putBack(head)
        this.#lifecycle.endReplaced(entry)
        aside++
        continue
      }
      const capped = claim.runningPerTenant > 0
      if (capped && running.of(tenant) >= claim.runningPerTenant) {
        queue.park(head, tenant)
        aside++
        continue
      }
      // What has run before goes first all the same.
      const other = capped && head.queue !== 'requeued' ? queue.prefer(tenant) : null
      if (other !== null && !this.#lifecycle.endReplaced(entries.get(other)!)) {
        queue.park(head, tenant)
        entry = entries.get(other)!
      }
      const alone = mustRunAlone(entry, entry.task.attempt + 1)
      this.#lifecycle.start(entry, claim, alone && claim.beside + started.length > 0 ? 'queued' : 'started')
      started.push(entry)
      bytes += bytesOf(entry)
      if (alone) break
    }
    return started
  }

  #due (deferred: boolean): number | null {
    const { processing, delayed, deadlines } = this.#state
    const next = (set: typeof processing) => set.first?.score ?? Infinity
    const left = Math.min(next(processing) - this.#monotonic(), next(delayed) - this.#now(), next(deadlines) - this.#now())
    const due = Math.min(Math.max(0, left), deferred ? DEFERRED_DUE_MS : Infinity)
    return due === Infinity ? null : due
  }
}
