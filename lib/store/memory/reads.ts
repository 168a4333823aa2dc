import { matchesFilter } from '../../task-filter.ts'
import { ChartStatus, isFinished, type StoredTask } from '../../task.ts'
import type { EndedTasks, ListQuery, MessageQuery, MessageTasks, QueueSnapshot, QueueStats, TaskDetails, TaskPage, TaskRef } from '../task-store.ts'
import { MAX_IN_SNAPSHOT, MAX_LISTED, MAX_LISTED_BYTES, MAX_SNAPSHOT_SEARCHED } from '../rules.ts'
import { readCursor, toCursor, type ListPosition } from '../list-cursor.ts'
import { bytesOf, toDetails, type Entry } from './entry.ts'
import type { MemoryState } from './memory-state.ts'

/** What can be seen of the store; nothing here changes it. */
export class Reads {
  readonly #now: () => number
  readonly #state: MemoryState

  constructor (state: MemoryState, now: () => number) {
    this.#state = state
    this.#now = now
  }

  get now (): number {
    return this.#now()
  }

  /** The task as it is known now: nothing once its retention has passed, no steps once theirs has. */
  shown (entry: Entry | undefined): StoredTask | null {
    if (!entry || entry.expires <= this.#now()) return null
    if (entry.task.status === ChartStatus.PENDING) {
      return { ...entry.task, queue_position: this.#state.queue.position(entry.task.task_id, entry.draft.priority) }
    }
    if (entry.detailsExpire > this.#now() || Object.keys(entry.task.step_progress).length === 0) return entry.task
    return { ...entry.task, step_progress: {} }
  }

  /** The first of the tasks, as many as fit, at least one. */
  tasks (task_ids: readonly string[], bytes: number): Array<StoredTask | null> {
    const found: Array<StoredTask | null> = []
    for (const task_id of task_ids) {
      const entry = this.#state.entries.get(task_id)
      const task = this.shown(entry)
      found.push(task)
      if (task && bytes !== Infinity && (bytes -= bytesOf(entry!)) <= 0) break
    }
    return found
  }

  contents (chart_ids: readonly string[], bytes: number): Array<string | number | null> {
    const found: Array<string | number | null> = []
    for (const chart_id of chart_ids) {
      const content = this.#state.contents.get(chart_id) ?? null
      const size = content === null ? 0 : Buffer.byteLength(content)
      found.push(size > bytes ? size : content)
      if (size > bytes) break
      bytes -= size
    }
    return found
  }

  message ({ message_id, user_id, org_id, limit }: MessageQuery & { readonly org_id: string | null }): MessageTasks {
    const entries = this.#state.byMessage.of(message_id).sort((a, b) => b.order - a.order)
    const tasks = (wanted: (entry: Entry) => boolean) =>
      entries.filter(wanted).map(entry => this.#ref(entry)).filter(ref => ref !== null).slice(0, limit)
    const own = (entry: Entry) => entry.draft.user_id === user_id
    const shared = (entry: Entry) => !own(entry) && org_id !== null && entry.draft.shared_with === org_id
    const isCompleted = (entry: Entry) => entry.task.status === ChartStatus.COMPLETED
    // Within one millisecond, the caller's own come first.
    const completed = [...tasks(entry => own(entry) && isCompleted(entry)), ...tasks(entry => shared(entry) && isCompleted(entry))]
    return {
      active: tasks(entry => own(entry) && !isFinished(entry.task)),
      completed: completed.sort((a, b) => b.completed_at! - a.completed_at!).slice(0, limit),
      failed: tasks(entry => own(entry) && entry.task.status === ChartStatus.FAILED),
      read_at: this.#now()
    }
  }

  ended ({ message_id, user_id, since, limit }: MessageQuery & { readonly since: number }): EndedTasks {
    const entries = this.#state.byMessage.of(message_id).sort((a, b) => b.order - a.order)
    const ended = entries.filter(({ draft, task }) => draft.user_id === user_id && task.completed_at !== null && Date.parse(task.completed_at) >= since)
    return { tasks: ended.map(entry => this.#ref(entry)).filter(ref => ref !== null).slice(0, limit), read_at: this.#now() }
  }

  batch (batch_id: string): { user_id: string, tasks: TaskRef[] } | null {
    const known = this.#state.batches.get(batch_id)
    const batch = known && known.expires > this.#now() ? known : null
    const tasks = (batch?.entries ?? []).map(entry => this.#ref(entry)).filter(ref => ref !== null)
    return batch && tasks.length > 0 ? { user_id: batch.user_id, tasks } : null
  }

  stats (): QueueStats {
    const [oldest] = this.#state.queue.heads.map(task_id => this.#state.entries.get(task_id)!.task.created_at).sort()
    return {
      queue_length: this.#state.waiting.all,
      processing_count: this.#state.processing.size,
      delayed_count: this.#state.delayed.size,
      oldest_waiting_at: oldest ?? null,
      paused: this.#state.paused,
      updated_at: new Date(this.#now()).toISOString()
    }
  }

  snapshot (): QueueSnapshot {
    const taskOf = (task_id: string) => this.#state.entries.get(task_id)!.task
    const latest = this.#state.finished.tail(MAX_SNAPSHOT_SEARCHED).map(id => this.#state.entries.get(id)!)
    const heads = this.#state.queue.heads.map(task_id => taskOf(task_id).step_at!)
    return {
      now: this.#now(),
      paused: this.#state.paused,
      waiting_since: heads.length > 0 ? Math.min(...heads) : null,
      processing_count: this.#state.processing.size,
      running: this.#state.processing.head(MAX_IN_SNAPSHOT).map(taskOf).map(({ current_step, step_at }) => ({ step: current_step, at: step_at! })),
      completed: latest
        .filter(entry => entry.task.status === ChartStatus.COMPLETED && this.shown(entry))
        .slice(0, MAX_IN_SNAPSHOT)
        .map(({ trace, task }) => ({ steps: trace, at: Date.parse(task.completed_at!) }))
    }
  }

  list ({ filter, limit, cursor }: ListQuery): TaskPage<StoredTask> {
    const { status, unfinished = false } = filter
    const position = cursor === null ? null : readCursor(cursor)
    const after = position ? { score: Number(position.score), id: position.task_id } : undefined
    const found: StoredTask[] = []
    let looked = 0
    let bytes = 0
    let reached: ListPosition | null = null
    for (const [name, members] of [['active', this.#state.active], ['finished', this.#state.finished]] as const) {
      const wanted = (status === undefined || isFinished({ status }) === (name === 'finished')) && !(unfinished && name === 'finished')
      if (!wanted || (position?.index === 'finished' && name === 'active')) continue
      for (const { id, score } of members.backwards(position?.index === name ? after : undefined)) {
        const entry = this.#state.entries.get(id)!
        const task = matchesFilter(entry.task, entry.draft.tenant, filter) ? this.shown(entry) : null
        if (looked === MAX_LISTED || (task && (found.length === limit || bytes >= MAX_LISTED_BYTES))) return { tasks: found, cursor: reached && toCursor(reached) }
        if (task) {
          found.push(task)
          bytes += Buffer.byteLength(entry.draft.request)
        }
        looked++
        reached = { index: name, score: `${score}`, task_id: id }
      }
    }
    return { tasks: found, cursor: null }
  }

  details (task_id: string): TaskDetails<StoredTask> | null {
    const entry = this.#state.entries.get(task_id)
    const task = this.shown(entry)
    return entry && task ? toDetails(entry, task) : null
  }

  #ref ({ expires, task: { task_id, created_at, completed_at } }: Entry): TaskRef | null {
    if (expires <= this.#now()) return null
    return { task_id, created_at: Date.parse(created_at), completed_at: completed_at === null ? null : Date.parse(completed_at) }
  }
}
