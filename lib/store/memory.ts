import { failures, type FailureCode } from '../errors.ts'
import { ChartStatus, isFinished, type ChartRequest, type ChartTask } from '../task.ts'
import { SortedSet } from './sorted-set.ts'
import type {
  Closed, Closing, EnqueueOutcome, HintListener, MessageTasks, ProgressReport, QueueStats, Take, Taken, TakenTask, TaskDraft, TaskStore
} from './task-store.ts'

/** Steps that a task can show. */
const MOST_STEPS = 64
/** Expired leases and due retries that one call deals with. */
const MOST_DUE = 100
/** Far before every time of day: what has run before goes ahead of everything new. */
const AHEAD = 1e15

interface Entry {
  readonly draft: TaskDraft
  task: ChartTask
  lease: number
  /** The verb that closed the current lease; null while it is open. */
  closed: Closing['verb'] | 'expire' | 'cancel' | null
  /** The take that gave the current lease. */
  take_id: string | null
  /** When it was created and, once finished, ended: later is greater, also within one millisecond. */
  order: number
  readonly keys: string[]
  expires: number
  detailsExpire: number
}

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
  readonly #byMessage = new Map<string, Set<Entry>>()
  readonly #bySame = new Map<string, Set<Entry>>()
  readonly #byKey = new Map<string, { readonly entry: Entry, readonly body: string }>()
  readonly #queue = new SortedSet()
  readonly #delayed = new SortedSet()
  readonly #processing = new SortedSet()
  readonly #finished = new SortedSet()
  readonly #capped = new Map<string, SortedSet>()
  readonly #waiting = new Map<string, number>()
  readonly #running = new Map<string, number>()
  readonly #takes = new Map<string, { readonly take_id: string, readonly ids: string[], readonly expires: number }>()
  readonly #listeners = new Set<HintListener>()
  readonly #waiters = new Set<() => void>()
  #marker = false
  #order = 0

  constructor (now: () => number) {
    this.#now = now
  }

  async enqueue (draft: TaskDraft): Promise<EnqueueOutcome> {
    const repeated = this.#entries.get(draft.task_id)
    if (repeated) return { outcome: 'queued', task: this.#shown(repeated)! }
    const { idempotency, same, tenant } = draft
    if (idempotency) {
      const seen = this.#byKey.get(idempotency.key)
      const task = seen && this.#shown(seen.entry)
      if (task) return seen.body === idempotency.body ? { outcome: 'replayed', task } : { outcome: 'key_reused' }
    }
    if (!draft.force) {
      const found = this.#findSame(draft)
      if (found) {
        this.#remember(draft, found)
        return { outcome: isFinished(found.task) ? 'chart_exists' : 'already_active', task: this.#shown(found)! }
      }
    }
    if (draft.waitingPerTenant > 0 && (this.#waiting.get(tenant) ?? 0) >= draft.waitingPerTenant) return { outcome: 'tenant_full' }
    if (draft.queueLength > 0 && (this.#waiting.get('') ?? 0) >= draft.queueLength) return { outcome: 'queue_full' }

    const request = JSON.parse(draft.request) as ChartRequest
    const entry: Entry = {
      draft,
      task: {
        task_id: draft.task_id,
        message_id: request.message_id,
        chart_id: null,
        status: ChartStatus.PENDING,
        progress: 0,
        current_step: 'queued',
        step_progress: {},
        error_message: null,
        error_code: null,
        created_at: this.#date(),
        started_at: null,
        completed_at: null,
        estimated_completion: null,
        visibility: request.visibility,
        adjustment_query: request.adjustment_query,
        attempt: 0,
        max_attempts: draft.retry.attempts,
        version: 1,
        user_id: request.user_id,
        org_id: request.org_id
      },
      lease: 0,
      closed: null,
      take_id: null,
      order: ++this.#order,
      keys: [],
      expires: Infinity,
      detailsExpire: Infinity
    }
    this.#entries.set(draft.task_id, entry)
    this.#remember(draft, entry)
    add(this.#byMessage, draft.message_id, entry)
    add(this.#bySame, same, entry)
    this.#queue.add(draft.task_id, Math.max(this.#now(), (this.#queue.last?.score ?? 0) + 1))
    count(this.#waiting, tenant, 1)
    this.#announce(entry)
    this.#wake()
    return { outcome: 'queued', task: entry.task }
  }

  async dequeue (take: Take): Promise<Taken> {
    return this.#take(take)
  }

  async closeLeases (closings: readonly Closing[], take: Take | null): Promise<{ closed: Closed[], taken: Taken }> {
    const closed = closings.map(closing => this.#close(closing))
    const nothing = { worker_id: '', take_id: '', count: 0, leaseDuration: 0, runningPerTenant: 0 }
    return { closed, taken: this.#take(take ?? nothing) }
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
      const next = { progress: Math.max(task.progress, progress ?? 0), current_step: step ?? task.current_step, step_progress: steps }
      const changed = next.progress !== task.progress || next.current_step !== task.current_step ||
        JSON.stringify(steps) !== JSON.stringify(task.step_progress)
      if (changed) this.#change(entry, next)
      return true
    })
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

  async cancel (task_id: string): Promise<{ task: ChartTask, changed: boolean } | null> {
    const entry = this.#entries.get(task_id)
    const task = entry && this.#shown(entry)
    if (!task) return null
    if (isFinished(task)) return { task, changed: false }
    const { tenant } = entry.draft
    if (task.status === ChartStatus.PENDING) {
      this.#queue.remove(task_id)
      this.#delayed.remove(task_id)
      this.#capped.get(tenant)?.remove(task_id)
      count(this.#waiting, tenant, -1)
      this.#uncap(tenant)
    } else {
      this.#closeLease(entry, 'cancel')
      this.#hint(listener => listener.cancelled(task_id))
    }
    this.#finish(entry, ChartStatus.CANCELLED, {})
    return { task: entry.task, changed: true }
  }

  async read (task_ids: readonly string[]): Promise<Array<ChartTask | null>> {
    return task_ids.map(task_id => this.#shown(this.#entries.get(task_id)))
  }

  async readRequest (task_id: string): Promise<string | null> {
    const entry = this.#entries.get(task_id)
    return entry && this.#shown(entry) ? entry.draft.request : null
  }

  async readContent (chart_id: string): Promise<string | null> {
    return this.#contents.get(chart_id) ?? null
  }

  async readMessage (message_id: string, user_id: string, org_id: string | null, limit: number): Promise<MessageTasks> {
    const entries = [...this.#byMessage.get(message_id) ?? []].sort((a, b) => b.order - a.order)
    const tasks = (wanted: (entry: Entry) => boolean) =>
      entries.filter(wanted).map(entry => this.#shown(entry)).filter(task => task !== null).slice(0, limit)
    const own = (entry: Entry) => entry.draft.user_id === user_id
    const visible = (entry: Entry) => own(entry) || (org_id !== null && entry.draft.shared_with === org_id)
    return {
      active: tasks(entry => own(entry) && !isFinished(entry.task)),
      completed: tasks(entry => visible(entry) && entry.task.status === ChartStatus.COMPLETED),
      failed: tasks(entry => own(entry) && entry.task.status === ChartStatus.FAILED)
    }
  }

  async readActive (message_id: string, user_id: string, limit: number): Promise<ChartTask[]> {
    const { active } = await this.readMessage(message_id, user_id, null, limit)
    return active
  }

  async stats (): Promise<QueueStats> {
    const head = this.#queue.first && this.#entries.get(this.#queue.first.id)
    return {
      queue_length: this.#waiting.get('') ?? 0,
      processing_count: this.#processing.size,
      retrying_count: this.#delayed.size,
      oldest_waiting_at: head?.task.created_at ?? null,
      updated_at: this.#date()
    }
  }

  async cleanup (): Promise<number> {
    const ids = this.#finished.upTo(this.#now(), Infinity)
    for (const task_id of ids) {
      const entry = this.#entries.get(task_id)!
      const { message_id, same } = entry.draft
      this.#finished.remove(task_id)
      this.#entries.delete(task_id)
      if (entry.task.chart_id) this.#contents.delete(entry.task.chart_id)
      remove(this.#byMessage, message_id, entry)
      remove(this.#bySame, same, entry)
      for (const key of entry.keys) if (this.#byKey.get(key)?.entry === entry) this.#byKey.delete(key)
    }
    for (const [worker_id, { expires }] of this.#takes) if (expires <= this.#now()) this.#takes.delete(worker_id)
    return ids.length
  }

  async waitForWork (timeout: number, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return
    if (this.#marker) {
      this.#marker = false
      return
    }
    await new Promise<void>(resolve => {
      const go = () => {
        this.#waiters.delete(go)
        clearTimeout(timer)
        signal.removeEventListener('abort', go)
        resolve()
      }
      const timer = setTimeout(go, timeout)
      signal.addEventListener('abort', go)
      this.#waiters.add(go)
    })
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

  async checkHealth (): Promise<{ store: boolean, feed: boolean }> {
    return { store: true, feed: true }
  }

  async ready (): Promise<void> {}

  async close (): Promise<void> {}

  #date (): string {
    return new Date(this.#now()).toISOString()
  }

  /** The task as it is known now: nothing once its retention has passed, no steps once theirs has. */
  #shown (entry: Entry | undefined): ChartTask | null {
    if (!entry || entry.expires <= this.#now()) return null
    if (entry.detailsExpire > this.#now() || Object.keys(entry.task.step_progress).length === 0) return entry.task
    return { ...entry.task, step_progress: {} }
  }

  /** An active task like this one, else the newest finished one whose chart is there. */
  #findSame (draft: TaskDraft): Entry | null {
    const alike = [...this.#bySame.get(draft.same) ?? []].sort((a, b) => b.order - a.order)
    const active = alike.find(({ task }) => !isFinished(task))
    if (active) return active
    const completed = alike.find(({ task }) => task.status === ChartStatus.COMPLETED)
    const task = this.#shown(completed)
    if (!completed || !task || task.chart_id === draft.missing_chart) return null
    if (draft.charts_inside && !this.#contents.has(task.chart_id!)) return null
    return completed
  }

  #remember ({ idempotency }: TaskDraft, entry: Entry): void {
    if (!idempotency) return
    this.#byKey.set(idempotency.key, { entry, body: idempotency.body })
    entry.keys.push(idempotency.key)
  }

  #current (task_id: string, lease: number): Entry | null {
    const entry = this.#entries.get(task_id)
    return entry?.lease === lease && entry.task.status === ChartStatus.PROCESSING ? entry : null
  }

  #take ({ worker_id, take_id, count: wanted, leaseDuration, runningPerTenant }: Take): Taken {
    const before = this.#takes.get(worker_id)
    if (before?.take_id === take_id && before.expires > this.#now()) {
      const again = before.ids.map(task_id => this.#entries.get(task_id)!)
      const still = again.filter(entry => entry?.task.status === ChartStatus.PROCESSING && entry.take_id === take_id)
      return { tasks: still.map(toTaken), lost: [], due: this.#due() }
    }
    const lost = this.#expire()
    this.#promote()
    const tasks: TakenTask[] = []
    while (tasks.length < wanted) {
      const head = this.#queue.shift()
      if (!head) break
      const entry = this.#entries.get(head.id)!
      const { tenant } = entry.draft
      if (runningPerTenant > 0 && (this.#running.get(tenant) ?? 0) >= runningPerTenant) {
        if (!this.#capped.has(tenant)) this.#capped.set(tenant, new SortedSet())
        this.#capped.get(tenant)!.add(head.id, head.score)
        continue
      }
      this.#start(entry, take_id, leaseDuration)
      tasks.push(toTaken(entry))
    }
    if (tasks.length > 0) {
      this.#takes.set(worker_id, { take_id, ids: tasks.map(({ task }) => task.task_id), expires: this.#now() + leaseDuration })
    }
    if (this.#queue.size > 0) this.#wake()
    return { tasks, lost, due: this.#due() }
  }

  #expire (): ChartTask[] {
    const lost: ChartTask[] = []
    for (const task_id of this.#processing.upTo(this.#now(), MOST_DUE)) {
      const entry = this.#entries.get(task_id)!
      this.#closeLease(entry, 'expire')
      if (entry.task.attempt < entry.task.max_attempts) {
        this.#requeue(entry, 'queued', 0)
      } else {
        this.#fail(entry, 'CHARTS_ERR_WORKER_LOST', null)
        lost.push(entry.task)
      }
    }
    return lost
  }

  #promote (): void {
    for (const task_id of this.#delayed.upTo(this.#now(), MOST_DUE)) {
      this.#delayed.remove(task_id)
      this.#queue.add(task_id, this.#now() - AHEAD)
    }
  }

  #due (): number | null {
    const next = Math.min(this.#processing.first?.score ?? Infinity, this.#delayed.first?.score ?? Infinity)
    return next === Infinity ? null : Math.max(0, next - this.#now())
  }

  #start (entry: Entry, take_id: string, leaseDuration: number): void {
    const { task, draft: { tenant } } = entry
    count(this.#waiting, tenant, -1)
    count(this.#running, tenant, 1)
    this.#processing.add(task.task_id, this.#now() + leaseDuration)
    entry.lease++
    entry.take_id = take_id
    entry.closed = null
    this.#change(entry, {
      status: ChartStatus.PROCESSING,
      current_step: 'started',
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
    return { current: true, finished: ended ? this.#shown(entry) : null }
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
        if (delay === 'never' || task.attempt >= task.max_attempts) this.#fail(entry, code, message)
        else this.#requeue(entry, 'retrying', delay ?? backoff(retry.backoff, task.attempt))
        break
      }
      case 'release': {
        this.#requeue(entry, 'queued', 0, task.attempt - 1)
      }
    }
  }

  #fail (entry: Entry, code: string, message: string | null): void {
    const error_message = message ?? failures[code as FailureCode] ?? failures.CHARTS_ERR_GENERATION_FAILED
    this.#finish(entry, ChartStatus.FAILED, { error_code: code, error_message })
  }

  #closeLease (entry: Entry, verb: Entry['closed']): void {
    const { task, draft: { tenant } } = entry
    this.#processing.remove(task.task_id)
    entry.closed = verb
    count(this.#running, tenant, -1)
    this.#uncap(tenant)
  }

  /** A place that a tenant at its cap gives up goes to its own longest waiting task. */
  #uncap (tenant: string): void {
    const capped = this.#capped.get(tenant)
    const head = capped?.shift()
    if (capped?.size === 0) this.#capped.delete(tenant)
    if (head) {
      this.#queue.add(head.id, head.score)
      this.#wake()
    }
  }

  #requeue (entry: Entry, current_step: string, delay: number, attempt = entry.task.attempt): void {
    const { task_id } = entry.task
    count(this.#waiting, entry.draft.tenant, 1)
    if (delay > 0) this.#delayed.add(task_id, this.#now() + delay)
    else this.#queue.add(task_id, this.#now() - AHEAD)
    this.#change(entry, { status: ChartStatus.PENDING, current_step, progress: 0, step_progress: {}, attempt })
    this.#wake()
  }

  #finish (entry: Entry, status: ChartStatus, fields: Partial<ChartTask>): void {
    const { retention } = entry.draft
    entry.order = ++this.#order
    entry.expires = this.#now() + retention.task * 1000
    entry.detailsExpire = this.#now() + retention.status * 1000
    this.#finished.add(entry.task.task_id, entry.expires)
    this.#change(entry, { status, current_step: status.toLowerCase(), completed_at: this.#date(), ...fields })
  }

  #change (entry: Entry, fields: Partial<ChartTask>): void {
    entry.task = { ...entry.task, ...fields, version: entry.task.version + 1 }
    this.#announce(entry)
  }

  #announce ({ task }: Entry): void {
    this.#hint(listener => listener.hint(task.task_id, task))
  }

  /** After the change, as Redis does: a listener must not see a store that is half-way. */
  #hint (tell: (listener: HintListener) => void): void {
    for (const listener of this.#listeners) queueMicrotask(() => tell(listener))
  }

  #wake (): void {
    const [waiter] = this.#waiters
    if (waiter) waiter()
    else this.#marker = true
  }
}

/** Each try gets a request of its own: what it does to it must not reach the next one. */
const toTaken = ({ task, draft, lease }: Entry): TakenTask => ({ task, request: JSON.parse(draft.request), lease })

function backoff ({ type, delay, max, jitter }: TaskDraft['retry']['backoff'], attempt: number): number {
  const wait = Math.min(type === 'exponential' ? delay * 2 ** (attempt - 1) : delay, max)
  return Math.floor(wait * (1 - jitter * Math.random()))
}

/** Counts for the tenant, and under '' for all of them. */
function count (counts: Map<string, number>, tenant: string, by: number): void {
  for (const field of [tenant, '']) {
    const value = (counts.get(field) ?? 0) + by
    if (value > 0) counts.set(field, value)
    else counts.delete(field)
  }
}

function add (index: Map<string, Set<Entry>>, key: string, entry: Entry): void {
  const entries = index.get(key)
  if (entries) entries.add(entry)
  else index.set(key, new Set([entry]))
}

function remove (index: Map<string, Set<Entry>>, key: string, entry: Entry): void {
  const entries = index.get(key)
  entries?.delete(entry)
  if (entries?.size === 0) index.delete(key)
}
