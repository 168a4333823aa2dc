import { ChartStatus, isFinished, shownCancelled, type ChartRequest, type StoredTask } from '../../task.ts'
import { newTask } from '../new-task.ts'
import { MAX_CAPPED_MOVES, MAX_ATTEMPTS, MAX_CASCADE, MAX_STEPS, MAX_UNRUN, MAX_WHOLE_REQUESTS } from '../rules.ts'
import type { AttemptRecord, Settlement, ProgressReport, Claim, TaskDraft } from '../task-store.ts'
import type { WorkSignal } from './work-signal.ts'
import { attemptOf, backoff, failureFields, frozen, isHeld, isScheduled, shorten, weightOf, type Entry } from './entry.ts'
import type { Hints } from './hints.ts'
import type { MemoryState } from './memory-state.ts'
import { SortedSet } from './sorted-set.ts'

type Waiting = Pick<StoredTask, 'current_step' | 'step_at'>

/** Creates, starts and ends tasks, and moves those that depend on them, by the rules of `docs/reference/task-lifecycle.md`. */
export class Lifecycle {
  readonly #state: MemoryState
  readonly #hints: Hints
  readonly #workSignal: WorkSignal
  readonly #now: () => number
  readonly #monotonic: () => number
  #ended: Entry[] = []
  /** Those of them whose dependents have not been notified. */
  #unnotified: Entry[] = []
  #cascaded = 0
  #readmitted = 0
  #order = 0

  constructor (state: MemoryState, hints: Hints, workSignal: WorkSignal, now: () => number, monotonic: () => number) {
    this.#state = state
    this.#hints = hints
    this.#workSignal = workSignal
    this.#now = now
    this.#monotonic = monotonic
  }

  /** Tasks that this call has ended or made ready because of other tasks. */
  get cascaded (): number {
    return this.#cascaded
  }

  /** The attempts that a call settles do not count against `MAX_CASCADE`: the caller bounds their number. */
  forgetSettled (): void {
    this.#cascaded = 0
  }

  /** The tasks that this call has ended, in order. Every call ends with this. */
  drain (): Entry[] {
    this.#cascaded = 0
    this.#readmitted = 0
    return this.#ended.splice(0)
  }

  create (draft: TaskDraft, deps: readonly string[], waits: ReadonlySet<string>): void {
    const { task_id, message_id, user_id, tenant } = draft
    const entry: Entry = {
      draft,
      shortened: false,
      deps,
      left: waits.size,
      task: frozen(newTask(draft, this.#now(), {
        current_step: 'waiting_for_dependencies', step_at: this.#now(), queue_position: null, depends_on: deps
      })),
      lease: 0,
      settled: null,
      claim_id: null,
      worker_id: '',
      retried_as: null,
      trace: [],
      attempts: [],
      order: ++this.#order,
      checkpoints: new Map(),
      keys: 0,
      batch_ids: [],
      expires: Infinity,
      detailsExpire: Infinity
    }
    const { entries, active, byMessage, byDedupKey, waiting, dependents } = this.#state
    entries.set(task_id, entry)
    const repeated = draft.retry_of === null ? undefined : entries.get(draft.retry_of)
    if (repeated) repeated.retried_as = task_id
    active.add(task_id, this.#now())
    byMessage.add(message_id, entry)
    byDedupKey.add(draft.dedup_key, entry)
    waiting.add(tenant, 1)
    for (const dep of waits) {
      const others = dependents.get(dep) ?? new SortedSet()
      // Dependents are notified in the order in which they were created.
      others.add(task_id, Math.max(this.#now(), (others.last?.score ?? 0) + 1))
      dependents.set(dep, others)
    }
    if (waits.size === 0) entry.task = frozen({ ...entry.task, ...this.#admit(entry) })
    if (isScheduled(entry)) this.#state.scheduled.add(tenant, 1)
    this.#hints.added(message_id, user_id)
  }

  /** Queues a task that is due: a scheduled one gets a turn, one that has run before goes first. */
  promote (entry: Entry): void {
    const { task_id, current_step } = entry.task
    this.#state.delayed.remove(task_id)
    this.#state.retrying.delete(task_id)
    if (current_step === 'scheduled') this.#moveOn(entry, this.#pushBack(entry))
    else this.#state.queue.pushFront(task_id, this.#now())
  }

  start (entry: Entry, { worker_id, claim_id, leaseDuration }: Claim, step: 'started' | 'queued'): void {
    const { task, draft: { tenant } } = entry
    const now = this.#now()
    this.#waitsNoMore(tenant)
    this.#state.running.add(tenant, 1)
    this.#state.deadlines.remove(task.task_id)
    this.#state.processing.add(task.task_id, this.#monotonic() + leaseDuration)
    entry.lease++
    entry.claim_id = claim_id
    entry.worker_id = worker_id
    entry.settled = null
    entry.trace = [{ step, at: now, from: 0 }]
    this.#change(entry, {
      status: ChartStatus.PROCESSING,
      current_step: step,
      step_at: now,
      attempt: task.attempt + 1,
      started_at: task.started_at ?? this.#date()
    })
  }

  report (entry: Entry, { progress, step, step_progress }: ProgressReport): void {
    const { task } = entry
    // A Map has no inherited properties: a step may be called `constructor`.
    const known = new Map(Object.entries(task.step_progress))
    for (const [name, percent] of Object.entries(step_progress)) {
      if (known.has(name) || known.size < MAX_STEPS) known.set(name, percent)
    }
    const steps = Object.fromEntries(known)
    const now = this.#now()
    const reached = Math.max(task.progress, progress ?? 0)
    const isNew = step !== null && step !== task.current_step
    const begun = isNew ? { current_step: step, step_at: now, step_from: reached } : {}
    if (isNew && entry.trace.length < MAX_STEPS) entry.trace = [...entry.trace, { step, at: now, from: reached }]
    const changed = isNew || reached !== task.progress || JSON.stringify(steps) !== JSON.stringify(task.step_progress)
    if (changed) this.#change(entry, { progress: reached, step_progress: steps, progress_at: now, ...begun })
  }

  /** Ends the running attempt as its worker says. `cap`: `runningPerTenant` of the claim that comes with it; null: without a claim. */
  settle (entry: Entry, settlement: Settlement, cap: number | null): void {
    const { task, draft: { retry } } = entry
    this.#endLease(entry, settlement.verb, cap)
    switch (settlement.verb) {
      case 'complete': {
        if (settlement.content !== null) this.#state.contents.set(settlement.chart_id, settlement.content)
        this.#putFinal(entry, ChartStatus.COMPLETED, { chart_id: settlement.chart_id, progress: 100 })
        break
      }
      case 'fail': {
        const { code, message, delay } = settlement
        if (delay === 'never' || task.attempt >= task.max_attempts) this.#putFinal(entry, ChartStatus.FAILED, failureFields(code, message))
        else this.#requeue(entry, 'retrying', delay ?? backoff(retry.backoff, task.attempt), failureFields(code, message))
        break
      }
      case 'release': {
        this.#requeue(entry, 'queued', 0, {}, task.attempt - 1)
      }
    }
  }

  /** Ends an attempt whose lease has expired. False: it had not begun and is released, or its task was replaced. */
  expire (entry: Entry, cap: number | null): boolean {
    if (this.endReplaced(entry)) return false
    if (isHeld(entry)) {
      this.#endLease(entry, 'release', cap)
      this.#requeue(entry, 'queued', 0, {}, entry.task.attempt - 1)
      return false
    }
    this.#endLease(entry, 'expire', cap)
    if (entry.task.attempt < entry.task.max_attempts) this.#requeue(entry, 'queued', 0, {})
    else this.#putFinal(entry, ChartStatus.FAILED, failureFields('CHARTS_ERR_WORKER_LOST', null))
    return true
  }

  /** Fails a task whose queue timeout has passed. */
  timeOut (entry: Entry): void {
    if (this.endReplaced(entry)) return
    this.#unqueue(entry)
    this.#putFinal(entry, ChartStatus.FAILED, failureFields('CHARTS_ERR_QUEUE_TIMEOUT', null))
  }

  /** Cancels tasks in one step, so that one that depends on another is CANCELLED and not FAILED. */
  cancel (entries: readonly Entry[]): void {
    for (const entry of entries) this.#putCancelled(entry)
  }

  /** Marks tasks as replaced, and ends those that run, as far as one call may. `propagate` ends the others in later calls. */
  replace (entries: readonly Entry[]): void {
    for (const entry of entries) this.#state.replaced.add(entry)
    for (const entry of entries) {
      if (this.#cascaded < MAX_CASCADE && entry.task.status === ChartStatus.PROCESSING) this.endReplaced(entry)
    }
  }

  /** Ends a task that was replaced; false for any other. */
  endReplaced (entry: Entry): boolean {
    if (!this.#state.replaced.delete(entry)) return false
    this.#putCancelled(entry)
    return true
  }

  /**
   * Moves the dependents of what this call has ended and, if `continues`, handles deferred effects of earlier calls, as far as one call may.
   * True: effects are left for later calls.
   */
  propagate (continues: boolean): boolean {
    const { replaced, unnotified } = this.#state
    const wasDeferred = this.#state.deferred
    this.#notifyAllDependents()
    if (continues) {
      for (const entry of replaced) {
        if (this.#cascaded >= MAX_CASCADE) break
        this.endReplaced(entry)
      }
      this.#notifyAllDependents()
      for (let ended; this.#cascaded < MAX_CASCADE && (ended = unnotified.shift());) {
        this.#unnotified.push(ended)
        this.#notifyAllDependents()
      }
    }
    if (!wasDeferred && this.#state.deferred) this.#workSignal.notify()
    return this.#state.deferred
  }

  #date (): string {
    return new Date(this.#now()).toISOString()
  }

  /** Queues a task, or schedules it if its time has not come. Returns its first step, and since or until when it lasts. */
  #admit (entry: Entry): Waiting {
    const { task_id, run_at } = entry.draft
    if (run_at === null || run_at <= this.#now()) return this.#pushBack(entry)
    this.#state.delayed.add(task_id, run_at)
    return { current_step: 'scheduled', step_at: run_at }
  }

  #pushBack ({ draft: { task_id, tenant, priority, weight, queueTimeout } }: Entry): Waiting {
    this.#state.queue.pushBack(task_id, tenant, priority, weight)
    if (queueTimeout > 0) this.#state.deadlines.add(task_id, this.#now() + queueTimeout)
    return { current_step: 'queued', step_at: this.#now() }
  }

  /** Changes the step of a scheduled task, mostly to `queued`. */
  #moveOn (entry: Entry, waiting: Waiting): void {
    this.#change(entry, waiting)
    if (!isScheduled(entry)) this.#state.scheduled.add(entry.draft.tenant, -1)
  }

  #unqueue (entry: Entry): void {
    const { deps, draft: { task_id, tenant, priority, weight } } = entry
    const { queue, delayed, retrying, deadlines, dependents, scheduled } = this.#state
    if (isScheduled(entry)) scheduled.add(tenant, -1)
    retrying.delete(task_id)
    queue.remove(task_id, tenant, priority, weight)
    delayed.remove(task_id)
    deadlines.remove(task_id)
    for (const dep of deps) {
      dependents.get(dep)?.remove(task_id)
      if (dependents.get(dep)?.size === 0) dependents.delete(dep)
    }
    this.#waitsNoMore(tenant)
    // Its place may have been reserved for it: then another task gets it.
    this.#readmitCapped(tenant, null)
  }

  #waitsNoMore (tenant: string): void {
    const { waiting, queue } = this.#state
    waiting.add(tenant, -1)
    if (waiting.of(tenant) === 0) queue.forget(tenant)
    if (waiting.all === 0) queue.reset()
  }

  #endLease (entry: Entry, verb: Entry['settled'], cap: number | null): void {
    const { task_id, tenant } = entry.draft
    this.#state.processing.remove(task_id)
    entry.settled = verb
    this.#state.running.add(tenant, -1)
    this.#readmitCapped(tenant, cap)
  }

  /** Readmits capped tasks. `cap`: that of the worker that calls, or null. If it was raised or lifted, there is more than one place. */
  #readmitCapped (tenant: string, cap: number | null): void {
    const room = cap === 0 ? MAX_CAPPED_MOVES : Math.max(1, (cap ?? 0) - this.#state.running.of(tenant))
    // The place that was freed is given on even if this call has moved as many as it may.
    const readmitted = this.#state.queue.readmit(tenant, Math.max(1, Math.min(room, MAX_CAPPED_MOVES - this.#readmitted)))
    if (readmitted === null) return
    this.#readmitted += readmitted
    this.#workSignal.notify()
  }

  #requeue (entry: Entry, current_step: string, delay: number, failure: Partial<AttemptRecord>, attempt = entry.task.attempt): void {
    const { task_id, tenant } = entry.draft
    const now = this.#now()
    entry.attempts = [...entry.attempts, attemptOf(entry, { ended_at: this.#date(), last_step: entry.task.current_step, ...failure })].slice(-MAX_ATTEMPTS)
    this.#state.waiting.add(tenant, 1)
    if (delay > 0) {
      this.#state.delayed.add(task_id, now + delay)
      this.#state.retrying.add(task_id)
    } else {
      this.#state.queue.pushFront(task_id, now)
    }
    this.#change(entry, {
      status: ChartStatus.PENDING, current_step, step_at: now + delay, step_from: 0, progress_at: null, progress: 0, step_progress: {}, attempt
    })
    this.#workSignal.notify()
  }

  #putCancelled (entry: Entry): void {
    const { task_id, status } = entry.task
    this.#state.replaced.delete(entry)
    if (status === ChartStatus.PENDING) {
      this.#unqueue(entry)
    } else {
      this.#endLease(entry, 'cancel', null)
      this.#hints.cancelled(task_id)
    }
    this.#putFinal(entry, ChartStatus.CANCELLED, {})
  }

  #putFinal (entry: Entry, status: ChartStatus, fields: Partial<StoredTask>): void {
    const { task_id, retention } = entry.draft
    entry.checkpoints.clear()
    entry.order = ++this.#order
    entry.expires = this.#now() + retention.task * 1000
    entry.detailsExpire = this.#now() + retention.status * 1000
    this.#state.active.remove(task_id)
    this.#state.finished.add(task_id, entry.expires)
    if (status === ChartStatus.CANCELLED) this.#shorten(entry)
    if (entry.lease === 0) this.#keepLatest(entry)
    const { adjustment_query } = shownCancelled({ ...entry.task, status })
    this.#change(entry, { status, current_step: status.toLowerCase(), completed_at: this.#date(), adjustment_query, ...fields })
    this.#ended.push(entry)
    this.#unnotified.push(entry)
    this.#cascaded += 1 + weightOf(entry)
  }

  #shorten (entry: Entry): void {
    const request = shorten(entry.draft.request)
    if (request === entry.draft.request) return
    const { adjustment_query } = JSON.parse(request) as ChartRequest
    entry.draft = { ...entry.draft, request, requested: { ...entry.draft.requested, adjustment_query } }
    entry.shortened = true
    if (isFinished(entry.task)) entry.task = frozen({ ...entry.task, adjustment_query })
  }

  /** Bounds the tasks of a tenant that ended without an attempt, because they are cheap to create: the latest are kept, and the latest of these with their whole requests. */
  #keepLatest ({ draft: { task_id, tenant } }: Entry): void {
    const { entries, unrun } = this.#state
    const latest = unrun.get(tenant) ?? []
    latest.push(task_id)
    unrun.set(tenant, latest)
    const long = entries.get(latest.at(-MAX_WHOLE_REQUESTS - 1) ?? '')
    if (long) this.#shorten(long)
    const oldest = latest.length > MAX_UNRUN ? entries.get(latest.shift()!) : undefined
    if (oldest) this.#state.forget(oldest)
  }

  /** A loop instead of recursion, because a chain of dependents may be long. */
  #notifyAllDependents (): void {
    for (let ended = this.#unnotified.shift(); ended; ended = this.#unnotified.shift()) {
      if (!this.#notifyDependents(ended)) this.#state.unnotified.push(ended)
    }
  }

  /** Notifies the dependents of an ended task. False: some are left for a later call. */
  #notifyDependents ({ task: { task_id, status } }: Entry): boolean {
    const dependents = this.#state.dependents.get(task_id)
    // One more than this call may move, to see whether some are left.
    for (const dependent of dependents?.head(Math.max(0, MAX_CASCADE - this.#cascaded) + 1) ?? []) {
      if (this.#cascaded >= MAX_CASCADE) return false
      dependents!.remove(dependent)
      this.#notifyDependent(this.#state.entries.get(dependent)!, status === ChartStatus.COMPLETED)
    }
    if (dependents?.size === 0) this.#state.dependents.delete(task_id)
    return true
  }

  /** A dependent may run when all its dependencies are COMPLETED, and fails with the first that is not. */
  #notifyDependent (dependent: Entry, completed: boolean): void {
    // Tasks that were replaced together are cancelled, even if one depends on another.
    if (this.endReplaced(dependent)) return
    if (!completed) {
      this.#unqueue(dependent)
      this.#putFinal(dependent, ChartStatus.FAILED, failureFields('CHARTS_ERR_DEPENDENCY_FAILED', null))
      return
    }
    this.#cascaded++
    if (--dependent.left > 0) return
    this.#moveOn(dependent, this.#admit(dependent))
    this.#workSignal.notify()
  }

  #change (entry: Entry, fields: Partial<StoredTask>): void {
    entry.task = frozen({ ...entry.task, ...fields, version: entry.task.version + 1 })
    this.#hints.changed(entry.task)
  }
}
