import type { ExpiredLease } from '../task-store.ts'
import type { Entry } from './entry.ts'
import { FairQueue } from './fair-queue.ts'
import { IndexOf } from './index-of.ts'
import { SortedSet } from './sorted-set.ts'
import { TenantCounts } from './tenant-counts.ts'

/** All state of the store. Its fields correspond to the keys in `docs/reference/redis-keys.md`. */
export class MemoryState {
  readonly entries = new Map<string, Entry>()
  readonly contents = new Map<string, string>()
  readonly byMessage = new IndexOf<Entry>()
  readonly byDedupKey = new IndexOf<Entry>()
  /** What an Idempotency-Key was answered with. */
  readonly byKey = new Map<string, { readonly batch_id: string | null, readonly entries: readonly Entry[], readonly body: string, readonly expires: number }>()
  readonly batches = new Map<string, { readonly user_id: string, readonly entries: readonly Entry[], readonly expires: number }>()
  /** The tasks that depend on a task and wait for it. */
  readonly dependents = new Map<string, SortedSet>()
  /** Tasks that newer ones have superseded, and that no call has ended yet. */
  readonly replaced = new Set<Entry>()
  /** Ended tasks with more dependents than one call moves. */
  readonly unnotified: Entry[] = []
  readonly queue = new FairQueue()
  readonly delayed = new SortedSet()
  readonly processing = new SortedSet()
  /** By when tasks with a queue timeout must start. */
  readonly deadlines = new SortedSet()
  readonly active = new SortedSet()
  readonly finished = new SortedSet()
  /** Of each tenant, the latest tasks that have ended without an attempt. */
  readonly unrun = new Map<string, string[]>()
  /** All that is PENDING. */
  readonly waiting = new TenantCounts()
  /** Of these, what waits for its time or for other tasks. */
  readonly scheduled = new TenantCounts()
  /** And what waits for another attempt. */
  readonly retrying = new Set<string>()
  readonly running = new TenantCounts()
  /** By worker and lane: the result of its latest claim, for a repetition after a lost reply. */
  readonly claims = new Map<string, {
    readonly claim_id: string, readonly ids: readonly string[], readonly ended: readonly Entry[], readonly expired: readonly ExpiredLease[], readonly expires: number
  }>()

  paused = false

  /** Whether earlier calls have deferred effects. */
  get deferred (): boolean {
    return this.replaced.size > 0 || this.unnotified.length > 0
  }

  /** Removes what belongs to a task and is of no use without it. */
  forget (entry: Entry): void {
    const { task_id, message_id, dedup_key } = entry.draft
    this.finished.remove(task_id)
    this.entries.delete(task_id)
    if (entry.task.chart_id) this.contents.delete(entry.task.chart_id)
    this.byMessage.remove(message_id, entry)
    this.byDedupKey.remove(dedup_key, entry)
    this.dependents.delete(task_id)
  }

  /** Removes keys, batches and claims that name nothing any more. */
  tidy (now: number): void {
    const isGone = (entry: Entry) => this.entries.get(entry.draft.task_id) !== entry
    for (const [key, { entries, expires }] of this.byKey) if (expires <= now || entries.every(isGone)) this.byKey.delete(key)
    for (const [batch_id, { entries, expires }] of this.batches) if (expires <= now || entries.every(isGone)) this.batches.delete(batch_id)
    for (const [tenant, ids] of this.unrun) {
      const kept = ids.filter(task_id => this.entries.has(task_id))
      if (kept.length > 0) this.unrun.set(tenant, kept)
      else this.unrun.delete(tenant)
    }
    for (const [name, { expires }] of this.claims) if (expires <= now) this.claims.delete(name)
  }
}
