import { ChartStatus, isFinished, type ChartTask } from '../../task.ts'
import type { EnqueuedTask, EnqueueRefusal, TaskDraft } from '../task-store.ts'
import type { Entry } from './entry.ts'
import type { TenantCounts } from './tenant-counts.ts'

/** What the store knows, for those who decide. */
export interface View {
  find (task_id: string): Entry | undefined
  shown (entry: Entry | undefined): ChartTask | null
  findSame (draft: TaskDraft): Entry | null
  activeOf (draft: TaskDraft): Entry[]
  readonly waiting: TenantCounts
}

/** What becomes of drafts that are accepted. */
export interface Decision {
  /** For each draft the task that answers it. */
  readonly becomes: ReadonlyMap<string, { readonly outcome: EnqueuedTask['outcome'], readonly id: string }>
  readonly fresh: ReadonlyArray<{ readonly draft: TaskDraft, readonly deps: readonly string[], readonly waits: ReadonlySet<string> }>
  /** What they replace. */
  readonly older: readonly Entry[]
}

/** Batches that one unfinished task answers for: as many as on Redis, where its record would grow without end. */
const MOST_BATCHES = 100

/** Decides, without changing anything, what becomes of drafts that are accepted together: all of them, or none. */
export function decide (drafts: readonly TaskDraft[], isBatch: boolean, view: View): Decision | EnqueueRefusal {
  const [{ tenant, user_id, waitingPerTenant, queueLength }] = drafts as [TaskDraft]
  const planned = new Map<string, TaskDraft>()
  const becomes = new Map<string, { outcome: EnqueuedTask['outcome'], id: string }>()
  const unasked: Array<{ task_id: string, chart_id: string }> = []
  for (const draft of drafts) {
    // One that is there already is here for the sake of another of its batch.
    const isItself = draft.force || view.find(draft.task_id) !== undefined
    const twin = isItself ? undefined : planned.get(draft.same)
    const found = isItself || twin ? null : view.findSame(draft)
    if (twin) {
      becomes.set(draft.task_id, { outcome: 'already_active', id: twin.task_id })
    } else if (found && !draft.charts_inside && isFinished(found.task) && found.task.chart_id !== draft.asked?.chart_id) {
      unasked.push({ task_id: draft.task_id, chart_id: found.task.chart_id! })
    } else if (found) {
      becomes.set(draft.task_id, { outcome: isFinished(found.task) ? 'chart_exists' : 'already_active', id: found.task.task_id })
    } else {
      planned.set(draft.same, draft)
      becomes.set(draft.task_id, { outcome: 'queued', id: draft.task_id })
    }
  }
  if (unasked.length > 0) return { outcome: 'charts_unasked', charts: unasked }
  const isCrowded = ({ outcome, id }: { outcome: string, id: string }) => outcome === 'already_active' && (view.find(id)?.batch_ids.length ?? 0) >= MOST_BATCHES
  const crowded = isBatch && drafts.find(draft => isCrowded(becomes.get(draft.task_id)!))
  if (crowded) return { outcome: 'task_crowded', task_id: crowded.task_id }
  const fresh = drafts.filter(draft => becomes.get(draft.task_id)!.outcome === 'queued' && !view.find(draft.task_id))
  const kept = new Set([...becomes.values()].map(({ id }) => id))
  const needs = new Map<TaskDraft, { deps: string[], waits: ReadonlySet<string> }>()
  for (const draft of fresh) {
    const deps = draft.depends_on.map(need => becomes.get(need)?.id ?? need)
    // Twins of a batch are one task: whoever needs both waits for it once.
    const waits = new Set<string>()
    for (const [i, dep] of deps.entries()) {
      kept.add(dep)
      const entry = view.find(dep)
      if (!entry && becomes.get(dep)?.outcome === 'queued') {
        waits.add(dep)
        continue
      }
      const task = view.shown(entry)
      if (!task || entry!.draft.user_id !== user_id) return { outcome: 'dependency_unknown', task_id: draft.depends_on[i]! }
      if (!isFinished(task)) waits.add(dep)
      else if (task.status !== ChartStatus.COMPLETED) return { outcome: 'dependency_failed', task_id: draft.depends_on[i]! }
    }
    needs.set(draft, { deps, waits })
  }
  // What is kept keeps what it waits for, however far: to cancel that would end it.
  for (const id of kept) {
    const entry = view.find(id)
    if (entry && entry.left > 0) entry.deps.forEach(dep => kept.add(dep))
  }
  const replaced = drafts.filter(({ supersede }) => supersede).flatMap(draft => view.activeOf(draft))
  const older = [...new Set(replaced)].filter(({ task }) => !kept.has(task.task_id))
  // What is about to be cancelled makes room.
  const freed = older.filter(({ task }) => task.status === ChartStatus.PENDING)
  const full = (limit: number, waiting: number, room: number) => fresh.length > 0 && limit > 0 && waiting - room + fresh.length > limit
  if (full(waitingPerTenant, view.waiting.of(tenant), freed.filter(entry => entry.draft.tenant === tenant).length)) return { outcome: 'tenant_full', fresh: fresh.length }
  if (full(queueLength, view.waiting.all, freed.length)) return { outcome: 'queue_full', fresh: fresh.length }
  return { becomes, fresh: [...needs].map(([draft, need]) => ({ draft, ...need })), older }
}
