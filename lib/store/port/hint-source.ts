import type { StoredTask } from '../../task.ts'

/** The part of a task that changes. In a hint `queue_position` is null: only a read works it out. */
export type TaskState = Pick<StoredTask,
  'version' | 'status' | 'progress' | 'current_step' | 'step_progress' | 'step_at' | 'step_from' | 'progress_at' | 'queue_position' | 'attempt' | 'started_at' |
  'completed_at' | 'chart_id' | 'error_code' | 'error_message'>

/** Receives hints. A hint may be lost, repeated or late: the stored task is the truth. */
export interface HintListener {
  /** A subscribed task has changed. */
  hint (task_id: string, state: TaskState): void
  /** A running task was cancelled. Sent for all tasks, without a subscription. */
  cancelled (task_id: string): void
  /** A task was added to a subscribed message. */
  added (message_id: string, user_id: string): void
  /** Whether hints arrive. `true` after `false`: some may have been missed. */
  feed (up: boolean): void
}

/** Announces changes. */
export interface HintSource {
  /** Sends hints to the listener from now on; called before any `subscribe`. Returns a function that ends this. */
  listen (listener: HintListener): () => void
  /** Starts the hints of a task. True: they arrive from now on. False: not yet; `feed(true)` follows when they do. */
  subscribe (task_id: string): Promise<boolean>
  unsubscribe (task_id: string): void
  /** Starts to announce new tasks of a user's message. The result is that of `subscribe`. */
  subscribeMessage (message_id: string, user_id: string): Promise<boolean>
  unsubscribeMessage (message_id: string, user_id: string): void
}
