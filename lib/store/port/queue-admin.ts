import type { TaskFilter } from '../../task-filter.ts'
import type { ChartTask, StoredTask } from '../../task.ts'

export interface ListQuery {
  readonly filter: TaskFilter
  /** Maximum number of tasks. */
  readonly limit: number
  /** The `cursor` of the page before; null: the first page. */
  readonly cursor: string | null
}

export interface TaskPage<Task extends ChartTask = ChartTask> {
  readonly tasks: Task[]
  /**
   * Where the next page begins; null after the last page. A page may have fewer tasks than the limit, or none, although others follow.
   * 1 to 512 characters. Only the store that made a cursor knows its format: a caller stores it, sends it to users, and passes it back.
   */
  readonly cursor: string | null
}

/** What an operator does with the queue, and the cleanup that every worker runs. */
export interface QueueAdmin {
  /**
   * Tasks that match, unfinished ones first, each kind newest first. A task that exists during the whole listing and keeps its kind is on
   * exactly one page.
   * @throws CHARTS_ERR_INVALID_REQUEST: this store has not made the cursor
   */
  list (query: ListQuery): Promise<TaskPage<StoredTask>>
  /** Stops claims, or allows them again. Running attempts continue, and tasks are accepted as before. */
  setPaused (paused: boolean): Promise<void>
  /** Removes tasks whose retention has passed. Returns how many. */
  cleanup (): Promise<number>
}
