import type { ChartPriority, ChartRequest, ChartStatus, ChartTask } from '../../task.ts'
import type { TraceContext } from './task-queue.ts'

/** One attempt of a task. */
export interface AttemptRecord {
  /** The task's `attempt` at the time; after a release, the next attempt has the same number. */
  readonly attempt: number
  readonly lease: number
  readonly worker_id: string
  readonly started_at: string
  /** Null while it runs. */
  readonly ended_at: string | null
  readonly outcome: 'completed' | 'failed' | 'released' | 'expired' | 'cancelled' | null
  /** The last step that it reported, and its overall progress then. */
  readonly last_step: string
  readonly progress: number
  readonly error_code: string | null
  readonly error_message: string | null
}

/** All that is known of a task. */
export interface TaskDetails {
  readonly task: ChartTask
  readonly request: ChartRequest
  readonly priority: ChartPriority
  readonly run_at: string | null
  readonly batch_ids: readonly string[]
  /** The latest task that repeats it, or null. */
  readonly retried_as: string | null
  /** The latest 20, oldest first. */
  readonly attempts: readonly AttemptRecord[]
  /** The draft's `weight`. */
  readonly weight: number
  /** The draft's `trace`, if it had one. */
  readonly trace?: TraceContext
  /** Only part of the request is kept: the task cannot be repeated. */
  readonly shortened?: true
}

/** Which tasks to list: those that match every field that is given. */
export interface TaskFilter {
  readonly status?: ChartStatus | undefined
  readonly user_id?: string | undefined
  readonly tenant?: string | undefined
  /** Of FAILED tasks. */
  readonly error_code?: string | undefined
  /** ms since the epoch: created then or later. */
  readonly created_after?: number | undefined
  /** ms since the epoch: created earlier. */
  readonly created_before?: number | undefined
  /** True: only tasks that have not ended. */
  readonly unfinished?: boolean | undefined
}

export interface ListQuery {
  readonly filter: TaskFilter
  /** Maximum number of tasks. */
  readonly limit: number
  /** The `cursor` of the page before; null: the first page. */
  readonly cursor: string | null
}

export interface TaskPage {
  readonly tasks: ChartTask[]
  /**
   * Where the next page begins; null after the last page. A page may have fewer tasks than the limit, or none, although others follow.
   * 1 to 512 characters. Only the store that made a cursor knows its format: a caller stores it, sends it to users, and passes it back.
   */
  readonly cursor: string | null
}

/** What an operator does with the queue. */
export interface QueueAdmin {
  /**
   * Tasks that match, unfinished ones first, each kind newest first. A task that exists during the whole listing and keeps its kind is on
   * exactly one page.
   * @throws CHARTS_ERR_INVALID_REQUEST: this store has not made the cursor
   */
  list (query: ListQuery): Promise<TaskPage>
  /** All that is known of a task; null: unknown, or its retention has passed. */
  inspect (task_id: string): Promise<TaskDetails | null>
  /** Stops claims, or allows them again. Running attempts continue, and tasks are accepted as before. */
  setPaused (paused: boolean): Promise<void>
  /** Removes tasks whose retention has passed. Returns how many. */
  cleanup (): Promise<number>
}
