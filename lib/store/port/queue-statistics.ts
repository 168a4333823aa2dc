export interface QueueStats {
  /** PENDING tasks, whatever they wait for. */
  readonly queue_length: number
  /** PROCESSING tasks. */
  readonly processing_count: number
  /** PENDING tasks that wait for a time: for another attempt, or for their `run_at`. */
  readonly delayed_count: number
  /** When the task at the head of the queue was created; null: the queue is empty. */
  readonly oldest_waiting_at: string | null
  /** True: an operator has paused the queue. */
  readonly paused: boolean
  readonly updated_at: string
}

/** A step of an attempt. */
export interface StepEntry {
  readonly step: string
  /** ms since the epoch: when it began. */
  readonly at: number
  /** The overall progress when it began. */
  readonly from: number
}

/** What estimates are made of: the running attempts, and how long the latest charts took. */
export interface QueueSnapshot {
  /** The store's clock: ms since the epoch. */
  readonly now: number
  readonly paused: boolean
  /** ms since the epoch: since when the longest waiting head of a queue waits; null: nothing is queued. */
  readonly waiting_since: number | null
  readonly processing_count: number
  /** The current steps of running attempts and when they began (ms since the epoch), at most 100. */
  readonly running: ReadonlyArray<Pick<StepEntry, 'step' | 'at'>>
  /** The steps of the latest charts, at most 100. `at`: when the chart was completed (ms since the epoch). */
  readonly completed: ReadonlyArray<{ readonly steps: readonly StepEntry[], readonly at: number }>
}

/** Says how busy the queue is. */
export interface QueueStatistics {
  stats (): Promise<QueueStats>
  /** A store may return the same promise to all callers of a short time: half a second at most. */
  snapshot (): Promise<QueueSnapshot>
}
