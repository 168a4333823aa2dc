import { ChartStatus, isFinished, type ChartTask } from '../task.ts'
import { Bell } from './memory/bell.ts'
import { decide, type View } from './memory/decide.ts'
import { attemptOf, backoff, failureFields, frozen, toTaken, type Entry } from './memory/entry.ts'
import { FairQueue } from './memory/fair-queue.ts'
import { IndexOf } from './memory/index-of.ts'
import { Reads } from './memory/reads.ts'
import { SortedSet } from './memory/sorted-set.ts'
import { TenantCounts } from './memory/tenant-counts.ts'
import { newTask } from './new-task.ts'
import type {
  AttemptRecord, BatchOutcome, Closed, Closing, EnqueuedTask, EnqueueOutcome, HintListener, MessageTasks, Outlook, ProgressReport, QueueStats,
  Take, Taken, TakenTask, TaskDetails, TaskDraft, TaskFilter, TaskPage, TaskStore
} from './task-store.ts'

/** Steps that a task can show. */
const MOST_STEPS = 64
/** Expired leases, due retries and waits that are over, of each, that one call deals with. */
const MOST_DUE = 100
/** Tries that are remembered of one task. */
const MOST_TRIES = 20

export interface MemoryStoreOptions {
  /** The time in ms, for tests. */
  readonly now?: (() => number) | undefined
}

/**
 * Tasks in this process's memory: for tests, and for a first try without Redis. They end with the process.
 * The same verbs as the Lua scripts, in plain JavaScript: the model of what the scripts mean.
 */
export function memoryStore (options: MemoryStoreOptions = {}): TaskStore {
  return new MemoryStore(options.now ?? Date.now)
}

class MemoryStore implements TaskStore {
  readonly #now: () => number
  readonly #entries = new Map<string, Entry>()
  readonly #contents = new Map<string, string>()
  readonly #byMessage = new IndexOf<Entry>()
  readonly #bySame = new IndexOf<Entry>()
  readonly #byKey = new Map<string, { readonly batch_id: string | null, readonly entries: readonly Entry[], readonly body: string }>()
  readonly #batches = new Map<string, { readonly user_id: string, readonly entries: readonly Entry[] }>()
  /** Who waits for a task. */
  readonly #dependents = new Map<string, readonly string[]>()
  readonly #queue = new FairQueue()
  readonly #delayed = new SortedSet()
  readonly #processing = new SortedSet()
  /** Of what waits for its first try no longer than so. */
  readonly #deadlines = new SortedSet()
  readonly #active = new SortedSet()
  readonly #finished = new SortedSet()
  readonly #waiting = new TenantCounts()
  readonly #running = new TenantCounts()
  readonly #takes = new Map<string, { readonly take_id: string, readonly ids: string[], readonly ended: readonly Entry[], readonly expires: number }>()
  readonly #listeners = new Set<HintListener>()
  readonly #bell = new Bell()
  #ended: Entry[] = []
  #order = 0
  #paused = false

  readonly #view: View = {
    find: task_id => this.#entries.get(task_id),
    shown: entry => this.#reads.shown(entry),
    findSame: draft => this.#findSame(draft),
    activeOf: draft => this.#activeOf(draft),
    waiting: this.#waiting
  }

  readonly #reads: Reads

  constructor (now: () => number) {
    this.#now = now
    this.#reads = new Reads({
      entries: this.#entries,
      byMessage: this.#byMessage,
      batches: this.#batches,
      queue: this.#queue,
      delayed: this.#delayed,
      processing: this.#processing,
      active: this.#active,
      finished: this.#finished,
      waiting: this.#waiting
    }, now)
  }

  async enqueue (draft: TaskDraft): Promise<EnqueueOutcome> {
    const result = this.#enqueue([draft], null)
    if (!('tasks' in result)) return result
    return { ...result.tasks[0]!, superseded: result.superseded }
  }

  async enqueueBatch (batch_id: string, drafts: readonly TaskDraft[]): Promise<BatchOutcome> {
    return this.#enqueue(drafts, batch_id)
  }

  async dequeue (take: Take): Promise<Taken> {
    this.#ended = []
    return this.#take(take, new Set())
  }

  async closeLeases (closings: readonly Closing[], take: Take | null): Promise<{ closed: Closed[], taken: Taken }> {
    this.#ended = []
    const closed = closings.map(closing => this.#close(closing))
    const nothing = { worker_id: '', take_id: '', count: 0, leaseDuration: 0, runningPerTenant: 0 }
    return { closed, taken: this.#take(take ?? nothing, new Set(closings.map(({ task_id }) => task_id))) }
  }

  async progress (reports: readonly ProgressReport[]): Promise<boolean[]> {
    return reports.map(({ task_id, lease, progress, step, step_progress }) => {
      const entry = this.#current(task_id, lease)
      if (!entry) return false
      const { task } = entry
      // A map, lest a step's name be taken for something that every object has.
      const known = new Map(Object.entries(task.step_progress))
      for (const [name, percent] of Object.entries(step_progress)) {
        if (known.has(name) || known.size < MOST_STEPS) known.set(name, percent)
      }
      const steps = Object.fromEntries(known)
      const now = this.#now()
      const reached = Math.max(task.progress, progress ?? 0)
      const isNew = step !== null && step !== task.current_step
      const begun = isNew ? { current_step: step, step_at: now, step_from: reached } : {}
      if (isNew && entry.trace.length < MOST_STEPS) entry.trace = [...entry.trace, { step, at: now, from: reached }]
      const changed = isNew || reached !== task.progress || JSON.stringify(steps) !== JSON.stringify(task.step_progress)
      if (changed) this.#change(entry, { progress: reached, step_progress: steps, progress_at: now, ...begun })
      return true
    })
  }

  async checkpoint (task_id: string, lease: number, name: string, value: string, most: number): Promise<'ok' | 'stale' | 'too_large'> {
    const entry = this.#current(task_id, lease)
    if (!entry) return 'stale'
    const others = [...entry.checkpoints].filter(([other]) => other !== name).map(([, text]) => text)
    const bytes = [...others, value].reduce((sum, text) => sum + Buffer.byteLength(text), 0)
    if (most > 0 && bytes > most) return 'too_large'
    entry.checkpoints.set(name, value)
    return 'ok'
  }

  async extend (leases: ReadonlyArray<{ task_id: string, lease: number }>, leaseDuration: number): Promise<Array<'ok' | 'cancelled' | 'stale'>> {
    return leases.map(({ task_id, lease }) => {
      const entry = this.#entries.get(task_id)
      if (entry?.lease !== lease) return 'stale'
      if (entry.task.status === ChartStatus.CANCELLED) return 'cancelled'
      if (entry.task.status !== ChartStatus.PROCESSING) return 'stale'
      this.#processing.add(task_id, this.#now() + leaseDuration)
      return 'ok'
    })
  }

  async cancel (task_id: string): Promise<{ task: ChartTask, ended: ChartTask[] } | null> {
    this.#ended = []
    const entry = this.#entries.get(task_id)
    const task = entry && this.#reads.shown(entry)
    if (!task) return null
    if (isFinished(task)) return { task, ended: [] }
    this.#cancel(entry)
    return { task: entry.task, ended: this.#others(new Set()) }
  }

  async cancelAll (task_ids: readonly string[]): Promise<ChartTask[]> {
    this.#ended = []
    const cancelled: Entry[] = []
    for (const task_id of task_ids) {
      const entry = this.#entries.get(task_id)
      // Twins of a batch are one task: it is named twice, and ends once.
      if (!entry || isFinished(entry.task)) continue
      this.#putCancelled(entry)
      cancelled.push(entry)
    }
    this.#tellAll(cancelled)
    return this.#others(new Set())
  }

  async read (task_ids: readonly string[]): Promise<Array<ChartTask | null>> {
    return task_ids.map(task_id => this.#reads.shown(this.#entries.get(task_id)))
  }

  async readRequest (task_id: string): Promise<string | null> {
    const entry = this.#entries.get(task_id)
    return entry && this.#reads.shown(entry) ? entry.draft.request : null
  }

  async readContent (chart_id: string): Promise<string | null> {
    return this.#contents.get(chart_id) ?? null
  }

  async readMessage (message_id: string, user_id: string, org_id: string | null, limit: number): Promise<MessageTasks> {
    return this.#reads.message(message_id, user_id, org_id, limit)
  }

  async readActive (message_id: string, user_id: string, limit: number): Promise<ChartTask[]> {
    return this.#reads.message(message_id, user_id, null, limit).active
  }

  async readBatch (batch_id: string): Promise<{ user_id: string, tasks: ChartTask[] } | null> {
    return this.#reads.batch(batch_id)
  }

  async stats (): Promise<QueueStats> {
    return this.#reads.stats(this.#paused)
  }

  async outlook (): Promise<Outlook> {
    return this.#reads.outlook(this.#paused)
  }

  async list (filter: TaskFilter, limit: number, cursor: string | null): Promise<TaskPage> {
    return this.#reads.list(filter, limit, cursor)
  }

  async inspect (task_id: string): Promise<TaskDetails | null> {
    return this.#reads.details(task_id)
  }

  async setPaused (paused: boolean): Promise<void> {
    const resumes = this.#paused && !paused
    this.#paused = paused
    if (resumes && this.#queue.any) this.#bell.ring()
  }

  async cleanup (): Promise<number> {
    const ids = this.#finished.upTo(this.#now(), Infinity)
    for (const task_id of ids) {
      const entry = this.#entries.get(task_id)!
      const { message_id, same } = entry.draft
      this.#finished.remove(task_id)
      this.#entries.delete(task_id)
      if (entry.task.chart_id) this.#contents.delete(entry.task.chart_id)
      this.#byMessage.remove(message_id, entry)
      this.#bySame.remove(same, entry)
      this.#dependents.delete(task_id)
    }
    for (const [key, { entries }] of this.#byKey) if (entries.every(entry => this.#isGone(entry))) this.#byKey.delete(key)
    for (const [batch_id, { entries }] of this.#batches) if (entries.every(entry => this.#isGone(entry))) this.#batches.delete(batch_id)
    for (const [worker_id, { expires }] of this.#takes) if (expires <= this.#now()) this.#takes.delete(worker_id)
    return ids.length
  }

  waitForWork (timeout: number, signal: AbortSignal): Promise<void> {
    return this.#bell.wait(timeout, signal)
  }

  listen (listener: HintListener): () => void {
    this.#listeners.add(listener)
    queueMicrotask(() => { if (this.#listeners.has(listener)) listener.feed(true) })
    return () => this.#listeners.delete(listener)
  }

  async subscribe (): Promise<boolean> {
    return true
  }

  unsubscribe (): void {}

  async subscribeMessage (): Promise<boolean> {
    return true
  }

  unsubscribeMessage (): void {}

  async checkHealth (): Promise<{ store: boolean, feed: boolean }> {
    return { store: true, feed: true }
  }

  async ready (): Promise<void> {}

  async close (): Promise<void> {}

  #date (): string {
    return new Date(this.#now()).toISOString()
  }

  /** An active task like this one, else the newest finished one whose chart is there. */
  #findSame (draft: TaskDraft): Entry | null {
    const alike = this.#bySame.of(draft.same).sort((a, b) => b.order - a.order)
    const active = alike.find(({ task }) => !isFinished(task))
    if (active) return active
    const completed = alike.find(({ task }) => task.status === ChartStatus.COMPLETED)
    const task = this.#reads.shown(completed)
    if (!completed || !task || task.chart_id === draft.missing_chart) return null
    if (draft.charts_inside && !this.#contents.has(task.chart_id!)) return null
    return completed
  }

  #isGone (entry: Entry): boolean {
    return this.#entries.get(entry.draft.task_id) !== entry
  }

  #activeOf ({ message_id, user_id }: TaskDraft): Entry[] {
    const entries = this.#byMessage.of(message_id).sort((a, b) => b.order - a.order)
    return entries.filter(entry => entry.draft.user_id === user_id && !isFinished(entry.task))
  }

  /** All of the drafts, or none of them: first it is decided what becomes of each, then it is done. */
  #enqueue (drafts: readonly TaskDraft[], batch_id: string | null): BatchOutcome {
    this.#ended = []
    const [{ idempotency, user_id, task_id }] = drafts as [TaskDraft]
    const answer = (outcome: 'accepted' | 'replayed', id: string | null, tasks: Array<Pick<EnqueuedTask, 'outcome'> & { entry: Entry }>): BatchOutcome => ({
      outcome,
      batch_id: id ?? '',
      tasks: tasks.map(({ outcome, entry }) => ({ outcome, task: this.#reads.shown(entry)! })),
      superseded: this.#others(new Set())
    })
    const again = drafts.some(({ missing_chart }) => missing_chart !== null)
    const before = this.#before(task_id, batch_id, again)
    if (before) {
      return answer('accepted', batch_id, before.map((entry, i) => {
        const other = isFinished(entry.task) ? 'chart_exists' : 'already_active'
        return { outcome: entry.task.task_id === drafts[i]!.task_id ? 'queued' : other, entry }
      }))
    }
    // With a chart that was found to be lost, the key was bound a moment ago to the task that names it.
    const seen = idempotency && !again ? this.#byKey.get(idempotency.key) : undefined
    const known = seen?.entries.filter(entry => this.#reads.shown(entry)) ?? []
    if (seen && known.length > 0) {
      if (seen.body !== idempotency!.body) return { outcome: 'key_reused' }
      return answer('replayed', seen.batch_id, known.map(entry => ({ outcome: 'replayed', entry })))
    }

    const decision = decide(drafts, this.#view)
    if ('outcome' in decision) return decision
    const { becomes, fresh, older } = decision
    for (const entry of older) {
      // One that waited for another of them has ended with it.
      if (!isFinished(entry.task)) this.#cancel(entry)
    }
    for (const { draft, deps, waits } of fresh) this.#create(draft, deps, waits)
    if (fresh.length > 0) this.#bell.ring()
    const tasks = drafts.map(draft => {
      const { outcome, id } = becomes.get(draft.task_id)!
      return { outcome, entry: this.#entries.get(id)! }
    })
    const entries = tasks.map(({ entry }) => entry)
    if (batch_id !== null) this.#batches.set(batch_id, { user_id, entries })
    if (idempotency) this.#byKey.set(idempotency.key, { batch_id, entries, body: idempotency.body })
    return answer('accepted', batch_id, tasks)
  }

  /** What this very call has made, if it has been here before: its reply was lost. */
  #before (task_id: string, batch_id: string | null, again: boolean): readonly Entry[] | undefined {
    if (batch_id !== null) return again ? undefined : this.#batches.get(batch_id)?.entries
    const entry = this.#entries.get(task_id)
    return entry && [entry]
  }

  #create (draft: TaskDraft, deps: readonly string[], waits: ReadonlySet<string>): void {
    const entry: Entry = {
      draft,
      deps,
      left: waits.size,
      task: frozen(newTask(draft, this.#now(), {
        current_step: 'waiting_for_dependencies', step_at: this.#now(), queue_position: null, depends_on: deps
      })),
      lease: 0,
      closed: null,
      take_id: null,
      worker_id: '',
      retried_as: null,
      trace: [],
      tries: [],
      order: ++this.#order,
      checkpoints: new Map(),
      expires: Infinity,
      detailsExpire: Infinity
    }
    this.#entries.set(draft.task_id, entry)
    const repeated = draft.retry_of === null ? undefined : this.#entries.get(draft.retry_of)
    if (repeated) repeated.retried_as = draft.task_id
    this.#active.add(draft.task_id, this.#now())
    this.#byMessage.add(draft.message_id, entry)
    this.#bySame.add(draft.same, entry)
    this.#waiting.add(draft.tenant, 1)
    for (const dep of waits) this.#dependents.set(dep, [...this.#dependents.get(dep) ?? [], draft.task_id])
    if (waits.size === 0) entry.task = frozen({ ...entry.task, ...this.#admit(entry) })
    this.#hint(listener => listener.added(draft.message_id, draft.user_id))
  }

  /** Into the queue, or aside until its time has come; what kind of waiting that is, and since or until when. */
  #admit (entry: Entry): Pick<ChartTask, 'current_step' | 'step_at'> {
    const { task_id, run_at } = entry.draft
    if (run_at !== null && run_at > this.#now()) {
      this.#delayed.add(task_id, run_at)
      return { current_step: 'scheduled', step_at: run_at }
    }
    return this.#pushBack(entry)
  }

  #pushBack ({ draft: { task_id, tenant, priority, weight, timeInQueue } }: Entry): Pick<ChartTask, 'current_step' | 'step_at'> {
    this.#queue.pushBack(task_id, tenant, priority, weight)
    if (timeInQueue > 0) this.#deadlines.add(task_id, this.#now() + timeInQueue)
    return { current_step: 'queued', step_at: this.#now() }
  }

  #cancel (entry: Entry): void {
    this.#putCancelled(entry)
    this.#tellAll([entry])
  }

  #putCancelled (entry: Entry): void {
    const { task_id, status } = entry.task
    if (status === ChartStatus.PENDING) {
      this.#unqueue(entry)
    } else {
      this.#closeLease(entry, 'cancel')
      this.#hint(listener => listener.cancelled(task_id))
    }
    this.#putFinal(entry, ChartStatus.CANCELLED, {})
  }

  #unqueue ({ task: { task_id }, deps, draft: { tenant } }: Entry): void {
    this.#queue.remove(task_id, tenant)
    this.#delayed.remove(task_id)
    this.#deadlines.remove(task_id)
    for (const dep of deps) {
      const others = this.#dependents.get(dep)?.filter(dependent => dependent !== task_id) ?? []
      if (others.length > 0) this.#dependents.set(dep, others)
      else this.#dependents.delete(dep)
    }
    this.#waitsNoMore(tenant)
    // The place may have been freed for this very task.
    if (this.#queue.unpark(tenant)) this.#bell.ring()
  }

  /** What this call has ended, in order, but for `own`. */
  #others (own: ReadonlySet<string>): ChartTask[] {
    return this.#ended.filter(({ task }) => !own.has(task.task_id)).map(({ task }) => task)
  }

  #current (task_id: string, lease: number): Entry | null {
    const entry = this.#entries.get(task_id)
    return entry?.lease === lease && entry.task.status === ChartStatus.PROCESSING ? entry : null
  }

  #take (take: Take, own: ReadonlySet<string>): Taken {
    const { worker_id, take_id, count: wanted, leaseDuration, runningPerTenant } = take
    const before = this.#takes.get(worker_id)
    if (before?.take_id === take_id && before.expires > this.#now()) {
      const again = before.ids.map(task_id => this.#entries.get(task_id)!)
      const still = again.filter(entry => entry?.task.status === ChartStatus.PROCESSING && entry.take_id === take_id)
      const lost = [...this.#others(own), ...before.ended.filter(({ task }) => !own.has(task.task_id)).map(({ task }) => task)]
      return { tasks: still.map(toTaken), lost, due: this.#due() }
    }
    this.#expire()
    this.#promote()
    const tasks: TakenTask[] = []
    while (tasks.length < wanted && !this.#paused) {
      const head = this.#queue.pop()
      if (!head) break
      const entry = this.#entries.get(head.id)!
      const { tenant } = entry.draft
      if (runningPerTenant > 0 && this.#running.of(tenant) >= runningPerTenant) {
        this.#queue.park(head, tenant)
        continue
      }
      this.#start(entry, take)
      tasks.push(toTaken(entry))
    }
    if (worker_id !== '' && tasks.length + this.#ended.length > 0) {
      const ids = tasks.map(({ task }) => task.task_id)
      this.#takes.set(worker_id, { take_id, ids, ended: this.#ended, expires: this.#now() + leaseDuration })
    }
    // A paused queue must not wake those who would find nothing.
    if (this.#queue.any && !this.#paused) this.#bell.ring()
    return { tasks, lost: this.#others(own), due: this.#due() }
  }

  #expire (): void {
    for (const task_id of this.#processing.upTo(this.#now(), MOST_DUE)) {
      const entry = this.#entries.get(task_id)!
      this.#closeLease(entry, 'expire')
      if (entry.task.attempt < entry.task.max_attempts) {
        this.#requeue(entry, 'queued', 0, {})
      } else {
        this.#finish(entry, ChartStatus.FAILED, failureFields('CHARTS_ERR_WORKER_LOST', null))
      }
    }
    for (const task_id of this.#deadlines.upTo(this.#now(), MOST_DUE)) {
      const entry = this.#entries.get(task_id)!
      this.#unqueue(entry)
      this.#finish(entry, ChartStatus.FAILED, failureFields('CHARTS_ERR_QUEUE_TIMEOUT', null))
    }
  }

  #promote (): void {
    for (const task_id of this.#delayed.upTo(this.#now(), MOST_DUE)) {
      this.#delayed.remove(task_id)
      const entry = this.#entries.get(task_id)!
      if (entry.task.current_step === 'scheduled') {
        this.#change(entry, this.#pushBack(entry))
      } else {
        this.#queue.pushFront(task_id, this.#now())
      }
    }
  }

  #due (): number | null {
    const next = Math.min(...[this.#processing, this.#delayed, this.#deadlines].map(({ first }) => first?.score ?? Infinity))
    return next === Infinity ? null : Math.max(0, next - this.#now())
  }

  #start (entry: Entry, { worker_id, take_id, leaseDuration }: Take): void {
    const { task, draft: { tenant } } = entry
    this.#waitsNoMore(tenant)
    this.#running.add(tenant, 1)
    this.#deadlines.remove(task.task_id)
    this.#processing.add(task.task_id, this.#now() + leaseDuration)
    entry.lease++
    entry.take_id = take_id
    entry.worker_id = worker_id
    entry.closed = null
    entry.trace = [{ step: 'started', at: this.#now(), from: 0 }]
    this.#change(entry, {
      status: ChartStatus.PROCESSING,
      current_step: 'started',
      step_at: this.#now(),
      attempt: task.attempt + 1,
      started_at: task.started_at ?? this.#date()
    })
  }

  #close (closing: Closing): Closed {
    const { task_id, lease, verb } = closing
    const entry = this.#entries.get(task_id)
    if (entry?.lease !== lease) return { current: false, finished: null }
    if (entry.task.status === ChartStatus.PROCESSING) {
      this.#closeLease(entry, verb)
      this.#end(entry, closing)
    } else if (entry.closed !== verb) {
      return { current: false, finished: null }
    }
    const ended = entry.task.status === ChartStatus.COMPLETED || entry.task.status === ChartStatus.FAILED
    return { current: true, finished: ended ? this.#reads.shown(entry) : null }
  }

  #end (entry: Entry, closing: Closing): void {
    const { task, draft: { retry } } = entry
    switch (closing.verb) {
      case 'complete': {
        if (closing.content !== null) this.#contents.set(closing.chart_id, closing.content)
        this.#finish(entry, ChartStatus.COMPLETED, { chart_id: closing.chart_id, progress: 100 })
        break
      }
      case 'fail': {
        const { code, message, delay } = closing
        if (delay === 'never' || task.attempt >= task.max_attempts) this.#finish(entry, ChartStatus.FAILED, failureFields(code, message))
        else this.#requeue(entry, 'retrying', delay ?? backoff(retry.backoff, task.attempt), failureFields(code, message))
        break
      }
      case 'release': {
        this.#requeue(entry, 'queued', 0, {}, task.attempt - 1)
      }
    }
  }

  #closeLease (entry: Entry, verb: Entry['closed']): void {
    const { task, draft: { tenant } } = entry
    this.#processing.remove(task.task_id)
    entry.closed = verb
    this.#running.add(tenant, -1)
    if (this.#queue.unpark(tenant)) this.#bell.ring()
  }

  #requeue (entry: Entry, current_step: string, delay: number, failure: Partial<AttemptRecord>, attempt = entry.task.attempt): void {
    const { task_id } = entry.task
    entry.tries = [...entry.tries, attemptOf(entry, { ended_at: this.#date(), last_step: entry.task.current_step, ...failure })].slice(-MOST_TRIES)
    this.#waiting.add(entry.draft.tenant, 1)
    if (delay > 0) this.#delayed.add(task_id, this.#now() + delay)
    else this.#queue.pushFront(task_id, this.#now())
    this.#change(entry, { status: ChartStatus.PENDING, current_step, step_at: this.#now() + delay, step_from: 0, progress_at: null, progress: 0, step_progress: {}, attempt })
    this.#bell.ring()
  }

  #putFinal (entry: Entry, status: ChartStatus, fields: Partial<ChartTask>): void {
    const { retention } = entry.draft
    entry.checkpoints.clear()
    entry.order = ++this.#order
    entry.expires = this.#now() + retention.task * 1000
    entry.detailsExpire = this.#now() + retention.status * 1000
    this.#active.remove(entry.task.task_id)
    this.#finished.add(entry.task.task_id, entry.expires)
    this.#change(entry, { status, current_step: status.toLowerCase(), completed_at: this.#date(), ...fields })
    this.#ended.push(entry)
  }

  /** In rounds, not by recursion: a chain of dependents may be long. */
  #finish (entry: Entry, status: ChartStatus, fields: Partial<ChartTask>): void {
    this.#putFinal(entry, status, fields)
    this.#tellAll([entry])
  }

  #tellAll (untold: Entry[]): void {
    for (let ended = untold.pop(); ended; ended = untold.pop()) untold.push(...this.#tell(ended))
  }

  /** A dependency that completes lets its dependents run; any other end is theirs too. Those it ended. */
  #tell ({ task: { task_id, status } }: Entry): Entry[] {
    const dependents = (this.#dependents.get(task_id) ?? []).map(dependent => this.#entries.get(dependent)!)
    this.#dependents.delete(task_id)
    if (status !== ChartStatus.COMPLETED) {
      for (const dependent of dependents) {
        this.#unqueue(dependent)
        this.#putFinal(dependent, ChartStatus.FAILED, failureFields('CHARTS_ERR_DEPENDENCY_FAILED', null))
      }
      return dependents
    }
    for (const dependent of dependents) {
      if (--dependent.left > 0) continue
      this.#change(dependent, this.#admit(dependent))
      this.#bell.ring()
    }
    return []
  }

  #change (entry: Entry, fields: Partial<ChartTask>): void {
    entry.task = frozen({ ...entry.task, ...fields, version: entry.task.version + 1 })
    this.#announce(entry)
  }

  #announce ({ task }: Entry): void {
    this.#hint(listener => listener.hint(task.task_id, task))
  }

  /** After the change, as Redis does: a listener must not see a store that is half-way. */
  #hint (tell: (listener: HintListener) => void): void {
    for (const listener of this.#listeners) queueMicrotask(() => tell(listener))
  }

  #waitsNoMore (tenant: string): void {
    this.#waiting.add(tenant, -1)
    if (this.#waiting.of(tenant) === 0) this.#queue.forget(tenant)
    if (this.#waiting.all === 0) this.#queue.reset()
  }
}
