import { createHash } from 'node:crypto'
import { ChartStatus, isFinished, type StoredTask } from '../../task.ts'
import type { EnqueuedTask, EnqueueRefusal, TaskDraft } from '../task-store.ts'
import { MAX_REFS, MAX_CASCADE } from '../rules.ts'
import { isScheduled, type Entry } from './entry.ts'
import type { TenantCounts } from './tenant-counts.ts'

/** What a decision reads of the store. */
export interface View {
  find (task_id: string): Entry | undefined
  shown (entry: Entry | undefined): StoredTask | null
  findDuplicate (draft: TaskDraft): Entry | null
  activeOf (draft: TaskDraft): Entry[]
  /** What was replaced and has not been ended yet. */
  readonly replaced: ReadonlySet<Entry>
  readonly waiting: TenantCounts
  readonly scheduled: TenantCounts
  /** What waits for another attempt. */
  readonly retrying: ReadonlySet<string>
  now (): number
}

/** What becomes of a draft. */
interface Match {
  /** With what makes it the same, now that it is known what it depends on. */
  readonly draft: TaskDraft
  readonly deps: readonly string[]
  readonly outcome: EnqueuedTask['outcome']
  /** The task that answers it. */
  readonly id: string
}

/** What becomes of drafts that are accepted. */
export interface Decision {
  /** For each draft, in their order, the task that answers it. */
  readonly becomes: readonly Match[]
  readonly fresh: ReadonlyArray<{ readonly draft: TaskDraft, readonly deps: readonly string[], readonly waits: ReadonlySet<string> }>
  /** What they replace. */
  readonly older: readonly Entry[]
  /** Whether that is more than one call ends. */
  readonly tooMany: boolean
}

/** Drafts are duplicates only if they depend on the same tasks. */
const dedupKeyOf = (dedup_key: string, deps: readonly string[]): string =>
  deps.length === 0 ? dedup_key : createHash('sha1').update(`${dedup_key} ${deps.join(' ')}`).digest('hex')

/** The task that answers each draft, duplicates sharing one; and the charts that the host must be asked about first. */
function matchDuplicates (drafts: readonly TaskDraft[], view: View) {
  const byId = new Map(drafts.map(draft => [draft.task_id, draft]))
  const planned = new Map<string, string>()
  const matches = new Map<string, Match>()
  const unchecked: Array<{ task_id: string, chart_id: string }> = []
  const find = (draft: TaskDraft, deps: readonly string[]): Match => {
    // One that is there already is here for the sake of another of its batch.
    const isItself = draft.force || view.find(draft.task_id) !== undefined
    const twin = isItself ? undefined : planned.get(draft.dedup_key)
    if (twin !== undefined) return { draft, deps, outcome: 'already_active', id: twin }
    const found = isItself ? null : view.findDuplicate(draft)
    if (!found) {
      planned.set(draft.dedup_key, draft.task_id)
      return { draft, deps, outcome: 'queued', id: draft.task_id }
    }
    const { task_id, chart_id } = found.task
    if (!isFinished(found.task)) return { draft, deps, outcome: 'already_active', id: task_id }
    if (!draft.stores_content && chart_id !== draft.chart_check?.chart_id) unchecked.push({ task_id: draft.task_id, chart_id: chart_id! })
    return { draft, deps, outcome: 'chart_exists', id: task_id }
  }
  // Match the dependencies first: drafts with different ones are no duplicates.
  const match = (draft: TaskDraft): Match => {
    const before = matches.get(draft.task_id)
    if (before) return before
    // A circle ends here; those who ask do not make one.
    matches.set(draft.task_id, { draft, deps: [], outcome: 'queued', id: draft.task_id })
    const deps = draft.depends_on.map(need => byId.has(need) ? match(byId.get(need)!).id : need)
    const matched = find({ ...draft, dedup_key: dedupKeyOf(draft.dedup_key, deps) }, deps)
    matches.set(draft.task_id, matched)
    return matched
  }
  return { becomes: drafts.map(match), unchecked }
}

/** What each new task has to wait for, or which need is nobody's, somebody else's, or has not worked out. */
function resolveNeeds (fresh: readonly Match[], user_id: string, view: View): Decision['fresh'] | EnqueueRefusal {
  const created = new Set(fresh.map(({ id }) => id))
  const resolved: Array<Decision['fresh'][number]> = []
  for (const { draft, deps } of fresh) {
    // Twins of a batch are one task: whoever needs both waits for it once.
    const waits = new Set<string>()
    for (const [i, dep] of deps.entries()) {
      const entry = view.find(dep)
      const task = view.shown(entry)
      const need = draft.depends_on[i]!
      if (!created.has(dep)) {
        if (!task || entry!.draft.user_id !== user_id) return { outcome: 'dependency_unknown', task_id: need }
        const isOver = isFinished(task) ? task.status !== ChartStatus.COMPLETED : view.replaced.has(entry!)
        if (isOver) return { outcome: 'dependency_failed', task_id: need }
      }
      if (!task || !isFinished(task)) waits.add(dep)
    }
    resolved.push({ draft, deps, waits })
  }
  return resolved
}

/** The active tasks that the drafts replace; what answers a draft, or is needed, stays. */
function findOlder (drafts: readonly TaskDraft[], becomes: readonly Match[], fresh: Decision['fresh'], view: View): Pick<Decision, 'older' | 'tooMany'> {
  // Those of a batch mostly replace the same.
  const messages = new Map(drafts.filter(({ supersede }) => supersede).map(draft => [draft.message_id, draft]))
  const active = [...messages.values()].flatMap(draft => view.activeOf(draft))
  const kept = new Set([...becomes.map(({ id }) => id), ...fresh.flatMap(({ deps }) => deps)])
  // What is kept keeps what it waits for, however far: to cancel that would end it.
  for (const id of kept) {
    const entry = view.find(id)
    if (entry && entry.left > 0) entry.deps.forEach(dep => kept.add(dep))
  }
  return { older: active.filter(({ task }) => !kept.has(task.task_id)), tooMany: active.length > MAX_CASCADE }
}

/** The limit that the new tasks would exceed, or null. Superseded tasks that have not been ended yet do not count. */
function findFull ([limits]: readonly TaskDraft[], fresh: Decision['fresh'], older: readonly Entry[], view: View): EnqueueRefusal | null {
  const { tenant, waitingPerTenant, scheduledPerTenant, queueLength } = limits!
  const later = fresh.filter(({ draft, waits }) => waits.size > 0 || (draft.run_at !== null && draft.run_at > view.now())).length
  const ready = fresh.length - later
  const freed = [...new Set([...older, ...view.replaced])].filter(({ task }) => task.status === ChartStatus.PENDING)
  const freedOfTenant = freed.filter(entry => entry.draft.tenant === tenant)
  const scheduled = view.scheduled.of(tenant) - freedOfTenant.filter(isScheduled).length
  const waiting = view.waiting.of(tenant) - view.scheduled.of(tenant) - freedOfTenant.filter(entry => !isScheduled(entry)).length
  const full = (fresh: number, count: number, limit: number) => fresh > 0 && limit > 0 && count + fresh > limit
  if (full(ready, waiting, waitingPerTenant)) return { outcome: 'tenant_full', fresh: ready }
  if (full(later, scheduled, scheduledPerTenant)) return { outcome: 'scheduled_full', fresh: later }
  // What was scheduled may have come due at once: a tenant that schedules again and again must not have more than the two together.
  const both = waitingPerTenant > 0 && scheduledPerTenant > 0 ? waitingPerTenant + scheduledPerTenant : 0
  if (full(later, waiting + scheduled + ready, both)) return { outcome: 'scheduled_full', fresh: later }
  const couldRun = (entry: Entry) => !isScheduled(entry) && !view.retrying.has(entry.task.task_id)
  const inQueue = view.waiting.all - view.scheduled.all - view.retrying.size - freed.filter(couldRun).length
  if (full(ready, inQueue, queueLength)) return { outcome: 'queue_full', fresh: ready }
  return null
}

/** Decides, without changing anything, what becomes of drafts that are accepted together: all of them, or none. */
export function decide (drafts: readonly TaskDraft[], isBatch: boolean, view: View): Decision | EnqueueRefusal {
  const [{ user_id }] = drafts as [TaskDraft]
  const { becomes, unchecked } = matchDuplicates(drafts, view)
  if (unchecked.length > 0) return { outcome: 'chart_check_required', charts: unchecked }
  const isFull = ({ outcome, id }: Match) => outcome === 'already_active' && (view.find(id)?.batch_ids.length ?? 0) >= MAX_REFS
  const full = isBatch && becomes.find(isFull)
  if (full) return { outcome: 'too_many_batches', task_id: full.draft.task_id }
  const fresh = resolveNeeds(becomes.filter(({ outcome, id }) => outcome === 'queued' && !view.find(id)), user_id, view)
  if ('outcome' in fresh) return fresh
  const { older, tooMany } = findOlder(drafts, becomes, fresh, view)
  return findFull(drafts, fresh, older, view) ?? { becomes, fresh, older, tooMany }
}
