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
  readonly fresh: ReadonlyArray<{ readonly draft: TaskDraft, readonly deps: string[], readonly left: number }>
  /** What they replace. */
  readonly older: Iterable<Entry>
}

/** Decides, without changing anything, what becomes of drafts that are accepted together: all of them, or none. */
export function decide (drafts: readonly TaskDraft[], view: View): Decision | EnqueueRefusal {
  const [{ tenant, user_id, waitingPerTenant, queueLength }] = drafts as [TaskDraft]
  const planned = new Map<string, TaskDraft>()
  const becomes = new Map<string, { outcome: EnqueuedTask['outcome'], id: string }>()
  for (const draft of drafts) {
    const twin = draft.force ? undefined : planned.get(draft.same)
    const found = draft.force || twin ? null : view.findSame(draft)
    if (twin) {
      becomes.set(draft.task_id, { outcome: 'already_active', id: twin.task_id })
    } else if (found) {
      becomes.set(draft.task_id, { outcome: isFinished(found.task) ? 'chart_exists' : 'already_active', id: found.task.task_id })
    } else {
      planned.set(draft.same, draft)
      becomes.set(draft.task_id, { outcome: 'queued', id: draft.task_id })
    }
  }
  const fresh = drafts.filter(draft => becomes.get(draft.task_id)!.outcome === 'queued')
  const kept = new Set([...becomes.values()].map(({ id }) => id))
  const needs = new Map<TaskDraft, { deps: string[], left: number }>()
  for (const draft of fresh) {
    const deps = draft.depends_on.map(need => becomes.get(need)?.id ?? need)
    let left = 0
    for (const [i, dep] of deps.entries()) {
      kept.add(dep)
      if (becomes.get(dep)?.outcome === 'queued') {
        left++
        continue
      }
      const entry = view.find(dep)
      const task = view.shown(entry)
      if (!task || entry!.draft.user_id !== user_id) return { outcome: 'dependency_unknown', task_id: draft.depends_on[i]! }
      if (!isFinished(task)) left++
      else if (task.status !== ChartStatus.COMPLETED) return { outcome: 'dependency_failed', task_id: draft.depends_on[i]! }
    }
    needs.set(draft, { deps, left })
  }
  const older = new Set(drafts.filter(({ supersede }) => supersede).flatMap(draft => view.activeOf(draft)).filter(({ task }) => !kept.has(task.task_id)))
  // What is about to be cancelled makes room.
  const freed = [...older].filter(({ task }) => task.status === ChartStatus.PENDING)
  const full = (limit: number, waiting: number, room: number) => fresh.length > 0 && limit > 0 && waiting - room + fresh.length > limit
  if (full(waitingPerTenant, view.waiting.of(tenant), freed.filter(entry => entry.draft.tenant === tenant).length)) return { outcome: 'tenant_full' }
  if (full(queueLength, view.waiting.all, freed.length)) return { outcome: 'queue_full' }
  return { becomes, fresh: [...needs].map(([draft, need]) => ({ draft, ...need })), older }
}
