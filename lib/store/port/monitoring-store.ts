/** A worker as it describes itself. */
export interface WorkerRegistration {
  readonly worker_id: string
  readonly host: string
  readonly pid: number
  /** Of this package. */
  readonly version: string
  readonly concurrency: number
  /** `draining`: it claims no more tasks, and ends when its running attempts have ended. */
  readonly state: 'running' | 'draining'
  readonly started_at: string
}

/** An attempt that holds a lease. */
export interface RunningAttempt {
  readonly task_id: string
  readonly message_id: string
  readonly attempt: number
  readonly current_step: string
  readonly progress: number
  /** When this attempt began. */
  readonly started_at: string
}

/** A worker, and its running attempts according to the leases in the store. */
export interface WorkerEntry extends WorkerRegistration {
  readonly last_seen_at: string
  /** At most 100. */
  readonly running: readonly RunningAttempt[]
  /** The number of all running attempts. */
  readonly running_count: number
}

export interface WorkerList {
  /** By host, then by `started_at`. */
  readonly workers: readonly WorkerEntry[]
  /** False: there are more workers, or running attempts, than were read. */
  readonly complete: boolean
  readonly updated_at: string
}

/** Registers workers, and lists them. */
export interface WorkerDirectory {
  /**
   * Registers a worker of this process, or updates it. The registration lasts until `removeWorker`, and at most eleven seconds longer than the
   * process lives. The store renews it by itself: callers do not repeat the call.
   */
  registerWorker (worker: WorkerRegistration): Promise<void>
  /** Removes a registration. An unknown worker is no error. */
  removeWorker (worker_id: string): Promise<void>
  /** The registered workers, at most `limit`, and their running attempts. */
  readWorkers (limit: number): Promise<WorkerList>
}

/** Durations as a histogram. */
export interface Durations {
  /** ms, all together. */
  readonly sum: number
  /** The number of durations up to an upper bound (ms, as text; `inf` for the rest) and above the next lower one. */
  readonly counts: Readonly<Record<string, number>>
}

/** A FAILED task, and when it failed (ms since the epoch). */
export interface FailureRef {
  readonly task_id: string
  readonly at: number
}

/** What happened within one minute. */
export interface HistoryMinute {
  /** When the minute began, ms since the epoch, by the store's clock. */
  readonly at: number
  readonly created: number
  /** Attempts, not tasks. */
  readonly started: number
  readonly completed: number
  readonly cancelled: number
  /** By error code. */
  readonly failed: Readonly<Record<string, number>>
  /** By error code, the latest five tasks, the latest first. */
  readonly latest: Readonly<Record<string, readonly FailureRef[]>>
  /** From the creation of a task to its first attempt. */
  readonly wait: Durations
  /** From the first attempt of a task to its completion. */
  readonly run: Durations
}

/** What one process has counted since its previous addition. */
export interface HistoryAddition {
  readonly process_id: string
  /** Chosen by the caller: an addition repeated with the id of the latest one of its process, within an hour, adds nothing. */
  readonly addition_id: string
  readonly minutes: readonly HistoryMinute[]
}

/** Keeps counts of the last 24 hours. */
export interface HistoryStore {
  /**
   * Adds what a process has counted. Kept for 24 to 25 hours. Of a minute the first 20 error codes are kept apart, the others together as
   * `other`; of each code the latest five tasks.
   */
  addHistory (addition: HistoryAddition): Promise<void>
  /**
   * Those of the latest `minutes` (1 to 1,440, the current one included) that have counts, the oldest first. `now`: the store's clock, ms
   * since the epoch. Without `options.latest`, `latest` of the minutes may be empty.
   */
  readHistory (minutes: number, options: { readonly latest: boolean }): Promise<{ readonly now: number, readonly minutes: readonly HistoryMinute[] }>
}
