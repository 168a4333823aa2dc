import type { ChartPriority, ChartRequest, ChartStatus, ChartTask } from '../task.ts'

/** Backoff between tries, stored with the task when it is created. */
export interface RetryPolicy {
  /** Total number of tries. */
  readonly attempts: number
  readonly backoff: {
    readonly type: 'fixed' | 'exponential'
    /** ms before the second try. */
    readonly delay: number
    /** ms, the longest wait between tries. */
    readonly max: number
    /** 0–1: the part of the wait that chance may take away. */
    readonly jitter: number
  }
}

/** Seconds from the end of the task; stored with it when it is created. */
export interface Retention {
  readonly task: number
  readonly status: number
  readonly messageIndex: number
}

/** A place in a trace, as W3C Trace Context writes it. */
export interface TraceContext {
  readonly traceparent: string
  readonly tracestate?: string
}

/** A task about to be accepted. */
export interface TaskDraft {
  readonly task_id: string
  /** Lower case, so that one message has one index. */
  readonly message_id: string
  readonly user_id: string
  readonly tenant: string
  /** The org whose members may see the finished chart, or null. */
  readonly shared_with: string | null
  /** Hash of what makes two requests of a user and a message ask for the same chart; the store adds what they turn out to depend on. */
  readonly same: string
  readonly force: boolean
  readonly priority: ChartPriority
  /** When it may run at the earliest, ms since the epoch; null: at once. */
  readonly run_at: number | null
  /** Tasks of the same user that must be completed first, in the order asked; of the same batch too. */
  readonly depends_on: readonly string[]
  /** Cancels the caller's older active tasks of the message in the same step. */
  readonly supersede: boolean
  /** Turns of its tenant in a round, a whole number from 1 to 60. */
  readonly weight: number
  /** ms that it may wait in the queue for its first try, 0 = off. */
  readonly timeInQueue: number
  /** The failed task that it is to make good, or null. */
  readonly retry_of: string | null
  /** Where it was asked for, for those who trace it: no part of what makes two requests the same. */
  readonly trace: TraceContext | null
  /** Hashes of the caller's Idempotency-Key and of what came with it. */
  readonly idempotency: { readonly key: string, readonly body: string } | null
  /** The request, byte for byte as it is to be stored. */
  readonly request: string
  readonly retention: Retention
  readonly retry: RetryPolicy
  /** Tasks of the tenant that wait in the queue or for another attempt; 0 = off. */
  readonly waitingPerTenant: number
  /** Tasks of the tenant that wait for their `run_at` or for other tasks; 0 = off. */
  readonly scheduledPerTenant: number
  /** Tasks of everybody that could run now; 0 = off. */
  readonly queueLength: number
  /** False where a `chartStore` of the host keeps the charts: then a chart counts only once the host was asked for it. */
  readonly charts_inside: boolean
  /** The chart of an equal task that the host was asked for, and whether it is there: one that is not does not count. */
  readonly asked: { readonly chart_id: string, readonly kept: boolean } | null
}

/** A task, and what came of asking for it. */
export interface EnqueuedTask {
  readonly outcome: 'queued' | 'already_active' | 'chart_exists' | 'replayed'
  readonly task: ChartTask
}

/**
 * Why nothing was accepted, and nothing changed; `task_id`: the dependency at fault. `charts_unasked`: whether the host still has
 * these charts decides; ask, and call again.
 */
export type EnqueueRefusal =
  | { readonly outcome: 'key_reused' }
  /** `fresh`: for how many new tasks there is no room, of those that could run now or, `scheduled_full`, of those that could not. */
  | { readonly outcome: 'tenant_full' | 'scheduled_full' | 'queue_full', readonly fresh: number }
  | { readonly outcome: 'charts_unasked', readonly charts: ReadonlyArray<{ readonly task_id: string, readonly chart_id: string }> }
  | { readonly outcome: 'dependency_unknown' | 'dependency_failed', readonly task_id: string }
  /** The unfinished task that answers a draft of a batch answers for 100 batches already. */
  | { readonly outcome: 'task_crowded', readonly task_id: string }

export type BatchOutcome =
  | {
    readonly outcome: 'accepted' | 'replayed'
    readonly batch_id: string
    /** In the order asked, each with what became of it. */
    readonly tasks: readonly EnqueuedTask[]
    /** Those of the superseded that this call has ended, and what ended with them. */
    readonly superseded: readonly ChartTask[]
    /** More is to be ended, as with `Taken`. */
    readonly unsettled?: true
  }
  | EnqueueRefusal

export type EnqueueOutcome =
  | EnqueuedTask & { readonly superseded: readonly ChartTask[], readonly unsettled?: true }
  | EnqueueRefusal

/** One worker's wish for tasks. */
export interface Take {
  readonly worker_id: string
  /** Chosen by the caller: the latest take of a lane, repeated with the same id, hands out the same tasks. */
  readonly take_id: string
  /** 0 unless given; 1 for the second of two takes that a worker has under way. */
  readonly lane?: 0 | 1 | undefined
  readonly count: number
  /** ms */
  readonly leaseDuration: number
  /** 0 = off. */
  readonly runningPerTenant: number
  /** Attempts that go on in the worker meanwhile: a task that must run alone waits until they have ended. */
  readonly beside: number
}

/** Earlier attempts of a task that lost their worker, with no other end since. */
export interface LostWorkers {
  /** The last of these workers. */
  readonly worker_id: string
  readonly times: number
}

export interface TakenTask {
  readonly task: ChartTask
  readonly request: ChartRequest
  /** The fence: grows with every take of the task, and is never given back. */
  readonly lease: number
  readonly priority: ChartPriority
  /** When it was to run at the earliest, ms since the epoch. */
  readonly run_at: number | null
  /** What the draft had. */
  readonly trace: TraceContext | null
  /** What steps of earlier tries returned, as JSON. */
  readonly checkpoints: ReadonlyMap<string, string>
  readonly lostWorkers: LostWorkers | null
  /**
   * Whether no other attempt may run in the worker meanwhile: two workers in a row were lost with the task, or one and this is its last
   * attempt. It comes last, and nothing more is to be taken until it has ended. Its `current_step` is `queued` where others run in the
   * worker: they are waited for, then the beginning is reported as the step `started`. Until then, an expiry costs no attempt.
   */
  readonly alone: boolean
}

/** A lease that has expired: its worker has ended, or could not reach the store. */
export interface ExpiredLease {
  readonly task_id: string
  readonly attempt: number
  readonly worker_id: string
}

export interface Taken {
  readonly tasks: TakenTask[]
  /** What else this call ended: tasks without a worker for the last time, those that waited too long, and dependents of what failed. */
  readonly lost: ChartTask[]
  /** ms until a lease expires, a retry is due or a wait is over; null when nothing will be due by itself. */
  readonly due: number | null
  /** Leases of attempts that this call found expired; a take repeated with the same id tells them again. */
  readonly expired: readonly ExpiredLease[]
  /**
   * It is decided that more ends, or may run, because of what has ended, than one call does: any later call with a take goes on with it,
   * a part at a time. No worker starts what is to end.
   */
  readonly unsettled?: true
}

/** A task that was cancelled, or had ended before. */
export interface Cancelled {
  readonly task: ChartTask
  /** What this call ended, dependents included. */
  readonly ended: readonly ChartTask[]
  /** More dependents are to end, as with `Taken`. */
  readonly unsettled?: true
}

/** How a lease ends. */
export type Closing = { readonly task_id: string, readonly lease: number } & (
  /**
   * `content`: the chart as JSON, or null where the host's `chartStore` has it. `claimed`: the task as it was claimed, where the caller has
   * it: then the store need not send it again.
   */
  | { readonly verb: 'complete', readonly chart_id: string, readonly content: string | null, readonly claimed?: ChartTask }
  /** `delay`: ms before the next try, null for the task's own backoff, 'never' for no other try. `message` null: the code says it. */
  | { readonly verb: 'fail', readonly code: string, readonly message: string | null, readonly delay: number | null | 'never' }
  /** Hands the task back; the try is not counted. */
  | { readonly verb: 'release' }
)

/** `current` is false where the lease was not the current one: nothing was written. `finished`: the task, if this ended it. */
export interface Closed {
  readonly current: boolean
  readonly finished: ChartTask | null
}

/** What a running try reports, already clamped to whole numbers from 0 to 100. */
export interface ProgressReport {
  readonly task_id: string
  readonly lease: number
  readonly progress: number | null
  readonly step: string | null
  readonly step_progress: Readonly<Record<string, number>>
}

/** The part of a task that changes; what a hint carries. Its place in the queue is worked out by a read, and null here. */
export type TaskState = Pick<ChartTask,
  'version' | 'status' | 'progress' | 'current_step' | 'step_progress' | 'step_at' | 'step_from' | 'progress_at' | 'queue_position' | 'attempt' | 'started_at' |
  'completed_at' | 'chart_id' | 'error_code' | 'error_message'>

/** The one door through which hints come back. All of them may be lost: the stored task is the truth. */
export interface HintListener {
  hint (task_id: string, state: TaskState): void
  cancelled (task_id: string): void
  /** A task was added to a message. */
  added (message_id: string, user_id: string): void
  /** Whether hints arrive at all; `true` again means that some may have been missed. */
  feed (up: boolean): void
}

/** A task as an index names it: small whatever was asked for. Times are ms since the epoch. */
export interface TaskRef {
  readonly task_id: string
  readonly created_at: number
  /** null: it has not ended. */
  readonly completed_at: number | null
}

export interface MessageTasks {
  /** Unfinished tasks of the caller. */
  readonly active: TaskRef[]
  /** COMPLETED tasks of the caller and, where shared, of the caller's org. */
  readonly completed: TaskRef[]
  readonly failed: TaskRef[]
  /** When that was, by the store's clock: ms since the epoch. */
  readonly read_at: number
}

export interface EndedTasks {
  readonly tasks: TaskRef[]
  /** When that was, by the store's clock: ms since the epoch. */
  readonly read_at: number
}

export interface QueueStats {
  /** Tasks that wait, for whatever reason. */
  readonly queue_length: number
  readonly processing_count: number
  /** Those of the waiting that wait for a time: for another try, or as scheduled. */
  readonly delayed_count: number
  /** When the task at the head of the queue was created. */
  readonly oldest_waiting_at: string | null
  /** Whether an operator has paused the queue. */
  readonly paused: boolean
  readonly updated_at: string
}

/** A step of a try, when it began (ms since the epoch), and the overall progress then. */
export interface StepEntry {
  readonly step: string
  readonly at: number
  readonly from: number
}

/** What estimates are made of: what runs, and how long the latest charts took. */
export interface Outlook {
  /** The store's clock: ms since the epoch. */
  readonly now: number
  readonly paused: boolean
  /** Since when the head of a queue waits, the longest; null where nothing is queued. */
  readonly waiting_since: number | null
  readonly processing_count: number
  /** Where running tries are, and since when (ms since the epoch); 100 of them at most. */
  readonly running: ReadonlyArray<Pick<StepEntry, 'step' | 'at'>>
  /** The steps of the latest charts, 100 of them at most, each with the time at which the chart was there. */
  readonly completed: ReadonlyArray<{ readonly steps: readonly StepEntry[], readonly at: number }>
}

/** One try of a task. */
export interface AttemptRecord {
  /** What the task's `attempt` was; one that was released is followed by another of the same number. */
  readonly attempt: number
  readonly lease: number
  readonly worker_id: string
  readonly started_at: string
  /** Null while it runs. */
  readonly ended_at: string | null
  readonly outcome: 'completed' | 'failed' | 'released' | 'expired' | 'cancelled' | null
  /** The last step that it reported, and how far it was. */
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
  /** What the draft had. */
  readonly weight: number
  /** Where it was asked for, if that was traced. */
  readonly trace?: TraceContext
  /** Only part of the request is kept: the task cannot be repeated. */
  readonly shortened?: true
}

/** Which tasks an operator wants to see; what is left out fits all. */
export interface TaskFilter {
  readonly status?: ChartStatus | undefined
  readonly user_id?: string | undefined
  readonly tenant?: string | undefined
  /** Of a task that has failed for good. */
  readonly error_code?: string | undefined
  /** ms since the epoch: created then or later. */
  readonly created_after?: number | undefined
  /** ms since the epoch: created earlier. */
  readonly created_before?: number | undefined
  /** True: only tasks that have not ended. */
  readonly unfinished?: boolean | undefined
}

export interface TaskPage {
  readonly tasks: ChartTask[]
  /** Where the next page begins; null after the last. A page may have fewer tasks than asked for, and others follow. */
  readonly cursor: string | null
}

/** What a worker says of itself. */
export interface WorkerRegistration {
  readonly worker_id: string
  readonly host: string
  readonly pid: number
  /** Of this package. */
  readonly version: string
  readonly concurrency: number
  /** `draining`: it takes no more tasks, and ends when its running attempts have ended. */
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

/** A worker, and what it runs by the leases in the store. */
export interface WorkerEntry extends WorkerRegistration {
  readonly last_seen_at: string
  /** 100 of them at most. */
  readonly running: readonly RunningAttempt[]
  /** How many attempts run in it. */
  readonly running_count: number
}

export interface WorkerList {
  /** By host, then by when they started. */
  readonly workers: readonly WorkerEntry[]
  /** False where there are more workers, or running attempts, than were looked at. */
  readonly complete: boolean
  readonly updated_at: string
}

/** How long things took, as a histogram. */
export interface Durations {
  /** ms, all together. */
  readonly sum: number
  /** How many there are between one upper bound (ms, as text; `inf` has none) and the bound below it. */
  readonly counts: Readonly<Record<string, number>>
}

/** A task that has failed, and when (ms since the epoch). */
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

/** What one process has counted since its addition before. */
export interface HistoryAddition {
  readonly process_id: string
  /** Chosen by the caller: an addition repeated with the id of the latest one of its process adds nothing. */
  readonly addition_id: string
  readonly minutes: readonly HistoryMinute[]
}

/**
 * The port of the house: what the service needs of a place that keeps tasks. Two stores implement it, in memory and on
 * Redis, and one conformance suite holds both to it.
 *
 * Every method is atomic and harmless when repeated with the same ids. All of them throw `CHARTS_ERR_STORE_UNAVAILABLE`
 * when the store cannot be reached, is full, or does not answer in time; then it is not known whether the call took effect.
 */
export interface TaskStore {
  /** Accepts a task, or answers with the one that there is already. */
  enqueue (draft: TaskDraft): Promise<EnqueueOutcome>
  /** Accepts the tasks of one caller, all or none; they share tenant, weight, retention, retry, limits and idempotency key. */
  enqueueBatch (batch_id: string, drafts: readonly TaskDraft[]): Promise<BatchOutcome>
  /**
   * Takes up to `count` tasks; recovers those whose lease has expired and those due for a retry on the way. Fewer where their requests
   * and checkpoints have a few MiB together: then `waitForWork` resolves at once.
   */
  dequeue (take: Take): Promise<Taken>
  /**
   * Ends leases and, with `take`, takes the next tasks in the same round trip; without, nothing that has expired is recovered.
   * A store that is full ends the leases all the same, hands out nothing new, and says by `due` when to ask again.
   */
  closeLeases (closings: readonly Closing[], take: Take | null): Promise<{ closed: Closed[], taken: Taken }>
  /** Stores and announces progress; false where the lease is not the current one. */
  progress (reports: readonly ProgressReport[]): Promise<boolean[]>
  /** Remembers what a step returned, for later tries; forgotten when the task ends. `most`: bytes of all of a task's, 0 = off. */
  checkpoint (task_id: string, lease: number, name: string, value: string, most: number): Promise<'ok' | 'stale' | 'too_large'>
  /** Prolongs leases by `leaseDuration` ms from now. */
  extend (leases: ReadonlyArray<{ task_id: string, lease: number }>, leaseDuration: number): Promise<Array<'ok' | 'cancelled' | 'stale'>>
  /** Ends a waiting or running task. Null: unknown. */
  cancel (task_id: string): Promise<Cancelled | null>
  /**
   * Ends those of the tasks that have not ended, at once: what needs another of them is cancelled, not failed. All that this call ended;
   * their dependents may be `unsettled`, as with `Taken`. Of many, a part at a time, what needs others first: each call takes its time.
   */
  cancelAll (task_ids: readonly string[]): Promise<ChartTask[]>
  /**
   * Tasks as they are now; null for what is unknown or expired. With `bytes`: only the first of them, as many as fit, at least one
   * where any was asked for.
   */
  read (task_ids: readonly string[], bytes?: number): Promise<Array<ChartTask | null>>
  /** The request byte for byte as it was stored; of a task that nobody will run, a long one is shortened. */
  readRequest (task_id: string): Promise<string | null>
  /** The content of a chart as JSON; null where there is none (any more). */
  readContent (chart_id: string): Promise<string | null>
  /**
   * The contents of the first of these charts as JSON, as many as fit into `bytes`; last, of the first that does not fit, how many bytes
   * it has. Null where there is none (any more).
   */
  readContents (chart_ids: readonly string[], bytes: number): Promise<Array<string | number | null>>
  /** The tasks of a message that the caller may see, newest first, at most `limit` of each kind; of finished ones the latest 1,000 are looked at. */
  readMessage (message_id: string, user_id: string, org_id: string | null, limit: number): Promise<MessageTasks>
  /** The caller's unfinished tasks of a message, newest first, at most `limit`. */
  readActive (message_id: string, user_id: string, limit: number): Promise<TaskRef[]>
  /** The caller's tasks of a message that have ended since a time (ms since the epoch, by the store's clock), the latest first, at most `limit`. */
  readEnded (message_id: string, user_id: string, since: number, limit: number): Promise<EndedTasks>
  /** The tasks of a batch in the order asked, those that are still kept; null for an unknown batch. */
  readBatch (batch_id: string): Promise<{ user_id: string, tasks: TaskRef[] } | null>
  stats (): Promise<QueueStats>
  outlook (): Promise<Outlook>
  /** Tasks that fit, unfinished ones first, each kind newest first. `cursor`: where a page before this one ended. */
  list (filter: TaskFilter, limit: number, cursor: string | null): Promise<TaskPage>
  /** All that is known of a task; null for what is unknown or expired. */
  inspect (task_id: string): Promise<TaskDetails | null>
  /** Stops handing out tasks, or goes on with it. What runs is not touched; tasks are accepted as before. */
  setPaused (paused: boolean): Promise<void>
  /** Removes what its retention has passed; how many tasks that was. */
  cleanup (): Promise<number>

  /**
   * Says that a worker of this process is there, or what has changed of it: `readWorkers` has it from now on, until `removeWorker`, and
   * eleven seconds longer than the process lives at most. The store sees to that by itself: nobody repeats the call.
   */
  registerWorker (worker: WorkerRegistration): Promise<void>
  /** The worker is gone. Harmless where it is unknown. */
  removeWorker (worker_id: string): Promise<void>
  /** The workers that are there, at most `limit`, and what runs in them. */
  readWorkers (limit: number): Promise<WorkerList>
  /**
   * Adds what a process has counted. Kept for 24 hours, and an hour longer at most. Of one minute the first 20 error codes are kept apart,
   * the others together as `other`; and of each code the latest five tasks.
   */
  addHistory (addition: HistoryAddition): Promise<void>
  /**
   * The latest minutes, 1,440 at most, in which anything was counted, the oldest first, the current one included; `now`: the store's
   * clock, ms since the epoch. `latest` may be empty in all of them unless it is asked for.
   */
  readHistory (minutes: number, options: { readonly latest: boolean }): Promise<{ readonly now: number, readonly minutes: readonly HistoryMinute[] }>

  /** Resolves when there may be work, after `timeout` ms at the latest, or when `signal` is aborted. */
  waitForWork (timeout: number, signal: AbortSignal): Promise<void>
  /** Starts the hints of a task; true once they are sure to arrive. */
  subscribe (task_id: string): Promise<boolean>
  unsubscribe (task_id: string): void
  /** Starts to say when a user's tasks of a message become more; true once that is sure to arrive. */
  subscribeMessage (message_id: string, user_id: string): Promise<boolean>
  unsubscribeMessage (message_id: string, user_id: string): void
  /** Where hints go from now on; called before any `subscribe`. Returns what ends that. */
  listen (listener: HintListener): () => void

  /** The store's clock, ms since the epoch, where a test has given it one; without this it is taken for that of the process. */
  now? (): number

  /** Whether the store answers, whether hints arrive, and whether it takes writes: full, read-only or forbidden, it does not. Never rejects. */
  checkHealth (): Promise<{ store: boolean, feed: boolean, writable: boolean }>
  /** Waits until the store answers, `timeout` ms at most. Warns of settings and of missing permissions that would do harm later. */
  ready (timeout: number): Promise<void>
  close (): Promise<void>
}
