/** A task as an index names it, of a fixed small size. Times are ms since the epoch. */
export interface TaskRef {
  readonly task_id: string
  readonly created_at: number
  /** Null: unfinished. */
  readonly completed_at: number | null
}

export interface MessageTasks {
  /** Unfinished tasks of the user. */
  readonly active: TaskRef[]
  /** COMPLETED tasks of the user and, where shared, of the user's org. */
  readonly completed: TaskRef[]
  /** FAILED tasks of the user. */
  readonly failed: TaskRef[]
  /** ms since the epoch, by the store's clock: when they were read. */
  readonly read_at: number
}

export interface EndedTasks {
  readonly tasks: TaskRef[]
  /** ms since the epoch, by the store's clock: when they were read. */
  readonly read_at: number
}

/** Whose tasks of a message to find. */
export interface MessageQuery {
  readonly message_id: string
  readonly user_id: string
  /** Maximum number of tasks of each kind. */
  readonly limit: number
}

/** Finds tasks by their message or batch. Unknown messages have no tasks. */
export interface MessageIndex {
  /** The tasks of a message that the user may see, newest first. Of finished tasks the latest 1,000 are considered. `org_id`: that of the user. */
  readMessage (query: MessageQuery & { readonly org_id: string | null }): Promise<MessageTasks>
  /** The user's unfinished tasks of a message, newest first. */
  readActive (query: MessageQuery): Promise<TaskRef[]>
  /** The user's tasks of a message that have ended at `since` or later (ms since the epoch, by the store's clock), the latest first. */
  readEnded (query: MessageQuery & { readonly since: number }): Promise<EndedTasks>
  /** The owner of a batch and those of its tasks that are still kept, in the order of the request; null: the batch is unknown. */
  readBatch (batch_id: string): Promise<{ user_id: string, tasks: TaskRef[] } | null>
}
