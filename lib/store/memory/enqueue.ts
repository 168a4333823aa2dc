import { ChartStatus, isFinished } from '../../task.ts'
import { MAX_REFS } from '../rules.ts'
import type { BatchOutcome, EnqueuedTask, TaskDraft } from '../task-store.ts'
import type { WorkSignal } from './work-signal.ts'
import { decide, type View } from './decide.ts'
import type { Entry } from './entry.ts'
import type { Lifecycle } from './lifecycle.ts'
import type { Reads } from './reads.ts'
import type { MemoryState } from './memory-state.ts'

/** ms that a batch is kept if its tasks have ended and one of them belongs to too many batches: its caller can read it meanwhile. */
const FULL_BATCH_MS = 60_000

/** Accepts tasks, or answers with existing ones. */
export class Enqueuer {
  readonly #state: MemoryState
  readonly #lifecycle: Lifecycle
  readonly #reads: Reads
  readonly #workSignal: WorkSignal
  readonly #view: View

  constructor (state: MemoryState, lifecycle: Lifecycle, reads: Reads, workSignal: WorkSignal, now: () => number) {
    this.#state = state
    this.#lifecycle = lifecycle
    this.#reads = reads
    this.#workSignal = workSignal
    this.#view = {
      find: task_id => state.entries.get(task_id),
      shown: entry => reads.shown(entry),
      findDuplicate: draft => this.#findDuplicate(draft),
      activeOf: draft => this.#activeOf(draft),
      replaced: state.replaced,
      waiting: state.waiting,
      scheduled: state.scheduled,
      retrying: state.retrying,
      now
    }
  }

  /** Accepts all drafts or none: decides about each first, then changes the state. */
  accept (drafts: readonly TaskDraft[], batch_id: string | null): BatchOutcome {
    const [{ idempotency, user_id, tenant, task_id }] = drafts as [TaskDraft]
    const { entries, byKey } = this.#state
    const before = this.#before(task_id, batch_id)
    if (before) {
      return this.#answer('accepted', batch_id, before.map((entry, i) => {
        const other = isFinished(entry.task) ? 'chart_exists' : 'already_active'
        return { outcome: entry.task.task_id === drafts[i]!.task_id ? 'queued' : other, entry }
      }))
    }
    const seen = idempotency ? byKey.get(idempotency.key) : undefined
    const known = seen && seen.expires > this.#reads.now ? seen.entries.filter(entry => this.#reads.shown(entry)) : []
    if (seen && known.length > 0) {
      if (seen.body !== idempotency!.body) return { outcome: 'key_reused' }
      return this.#answer('replayed', seen.batch_id, known.map(entry => ({ outcome: 'replayed', entry })))
    }

    const decision = decide(drafts, batch_id !== null, this.#view)
    if ('outcome' in decision) return decision
    const { becomes, fresh, older, tooMany } = decision
    const { waiting } = this.#state
    // A tenant whose last waiting task is replaced goes on from its turn: it is not forgotten in between.
    if (fresh.length > 0) waiting.add(tenant, 1)
    if (tooMany) this.#lifecycle.replace(older)
    else this.#lifecycle.cancel(older)
    const deferred = older.length > 0 && this.#lifecycle.propagate(true)
    if (fresh.length > 0) waiting.add(tenant, -1)
    for (const { draft, deps, waits } of fresh) this.#lifecycle.create(draft, deps, waits)
    if (fresh.length > 0) this.#workSignal.notify()
    const tasks = becomes.map(({ outcome, id }) => ({ outcome, entry: entries.get(id)! }))
    const answered = tasks.map(({ entry }) => entry)
    const expires = batch_id === null ? Infinity : this.#bindBatch(batch_id, user_id, answered)
    if (idempotency) this.#bind(idempotency, batch_id, answered, expires)
    return { ...this.#answer('accepted', batch_id, tasks), ...(deferred ? { deferred } : {}) }
  }

  #answer (outcome: 'accepted' | 'replayed', batch_id: string | null, tasks: Array<Pick<EnqueuedTask, 'outcome'> & { entry: Entry }>): BatchOutcome {
    return {
      outcome,
      batch_id: batch_id ?? '',
      tasks: tasks.map(({ outcome, entry }) => ({ outcome, task: this.#reads.shown(entry)! })),
      superseded: this.#lifecycle.drain().map(({ task }) => task)
    }
  }

  /** Returns when it is forgotten, if not with the last of its tasks. */
  #bindBatch (batch_id: string, user_id: string, entries: readonly Entry[]): number {
    const { batches } = this.#state
    const isFull = ({ task, batch_ids }: Entry) => isFinished(task) && batch_ids.length >= MAX_REFS
    const isShort = entries.some(isFull) && entries.every(({ task }) => isFinished(task))
    const expires = isShort ? this.#reads.now + FULL_BATCH_MS : Infinity
    for (const entry of new Set(entries)) if (!isFull(entry)) entry.batch_ids.push(batch_id)
    batches.set(batch_id, { user_id, entries, expires })
    return expires
  }

  #bind ({ key, body }: { key: string, body: string }, batch_id: string | null, entries: readonly Entry[], expires: number): void {
    const [only] = batch_id === null ? entries : []
    if (only && only.keys >= MAX_REFS) return
    if (only) only.keys++
    this.#state.byKey.set(key, { batch_id, entries, body, expires })
  }

  /** The tasks that this call has made before, if it is a repetition. */
  #before (task_id: string, batch_id: string | null): readonly Entry[] | undefined {
    if (batch_id !== null) return this.#state.batches.get(batch_id)?.entries
    const entry = this.#state.entries.get(task_id)
    return entry && [entry]
  }

  /** An active duplicate, else the newest COMPLETED one whose chart exists. */
  #findDuplicate (draft: TaskDraft): Entry | null {
    const duplicates = this.#state.byDedupKey.of(draft.dedup_key).sort((a, b) => b.order - a.order)
    const active = duplicates.find(entry => !isFinished(entry.task) && !this.#state.replaced.has(entry))
    if (active) return active
    const completed = duplicates.find(({ task }) => task.status === ChartStatus.COMPLETED)
    const task = this.#reads.shown(completed)
    if (!completed || !task || (task.chart_id === draft.chart_check?.chart_id && !draft.chart_check.kept)) return null
    if (draft.stores_content && !this.#state.contents.has(task.chart_id!)) return null
    return completed
  }

  #activeOf ({ message_id, user_id }: TaskDraft): Entry[] {
    const entries = this.#state.byMessage.of(message_id).sort((a, b) => b.order - a.order)
    return entries.filter(entry => entry.draft.user_id === user_id && !isFinished(entry.task))
  }
}
