import type { ChartPriority, ChartRequest, ChartTask, StoredTask, TraceContext } from '../../task.ts'

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
export interface TaskDetails<Task extends ChartTask = ChartTask> {
  readonly task: Task
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

/** Reads tasks and charts by their ids. */
export interface TaskReader {
  /**
   * Tasks as they are now, in the order of the ids; null: unknown, or its retention has passed. With `bytes`, only the first tasks, as many
   * as fit into it, but at least one unless `task_ids` is empty.
   */
  read (task_ids: readonly string[], bytes?: number): Promise<Array<StoredTask | null>>
  /** All that is known of a task; null: unknown, or its retention has passed. */
  inspect (task_id: string): Promise<TaskDetails<StoredTask> | null>
  /** The request byte for byte as it was stored; null: unknown. A long request of a task that never runs (again) is shortened. */
  readRequest (task_id: string): Promise<string | null>
  /** The content of a chart as JSON; null: there is none, or no longer. */
  readContent (chart_id: string): Promise<string | null>
  /**
   * The contents of the first charts as JSON, as many as fit into `bytes`; null: there is none, or no longer. If a content does not fit, the
   * last element is a number: its size in bytes.
   */
  readContents (chart_ids: readonly string[], bytes: number): Promise<Array<string | number | null>>
}
