import type { ChartPriority, ChartRequest, StoredTask, TraceContext } from '../../task.ts'

/** What one worker asks for when it claims tasks. */
export interface Claim {
  readonly worker_id: string
  /**
   * Chosen by the caller. The latest claim of a lane, repeated with the same id within `leaseDuration`, returns those of its tasks that still
   * run, and no others.
   */
  readonly claim_id: string
  /** A worker may have two claims under way, one in each lane. The store remembers the latest claim of each. Default: 0. */
  readonly lane?: 0 | 1 | undefined
  /** Maximum number of tasks to claim. 0: only collect expired leases and what else is due. */
  readonly count: number
  /** ms */
  readonly leaseDuration: number
  /** Maximum number of running tasks of a tenant; 0 = off. */
  readonly runningPerTenant: number
  /** Number of other attempts that run in the worker: a task that must run alone waits until they have ended. */
  readonly beside: number
}

/** Consecutive attempts of a task that ended because their worker was lost. */
export interface LostWorkers {
  /** The last of these workers. */
  readonly worker_id: string
  readonly times: number
}

export interface ClaimedTask {
  readonly task: StoredTask
  readonly request: ChartRequest
  /**
   * The fence: 1 for the first claim of the task, one more with each further claim, never given back. It is the current lease until it is
   * settled, collected or cancelled; its time alone does not end it.
   */
  readonly lease: number
  readonly priority: ChartPriority
  /** ms since the epoch: the draft's `run_at`. */
  readonly run_at: number | null
  /** The draft's `trace`. */
  readonly trace: TraceContext | null
  /** Results of steps of earlier attempts: the name of a step, and its value as JSON. */
  readonly checkpoints: ReadonlyMap<string, string>
  /** Null: the last attempt did not lose its worker. */
  readonly lostWorkers: LostWorkers | null
  /**
   * True: no other attempt may run in the worker meanwhile. Two workers in a row were lost with the task, or one was and this is its last
   * attempt. Such a task is the last one of a claim, and the worker claims nothing more until it has ended. If other attempts run in the
   * worker, its `current_step` is `queued`: the worker waits for them, then reports the step `started`. Until then, an expired lease costs no
   * attempt.
   */
  readonly alone: boolean
}

/** A lease that has expired: its worker has ended, or could not reach the store. */
export interface ExpiredLease {
  readonly task_id: string
  readonly attempt: number
  readonly worker_id: string
}

export interface Claimed {
  readonly tasks: ClaimedTask[]
  /** Other tasks that this call has ended: the last lease expired, the queue timeout passed, or a dependency failed. */
  readonly lost: StoredTask[]
  /** ms until a lease expires, a retry is due or a wait is over; null: nothing becomes due by itself. */
  readonly due: number | null
  /** Leases that this call found expired. A claim that is repeated with the same id returns them again. */
  readonly expired: readonly ExpiredLease[]
  /**
   * True: more tasks are to end or to become ready than one call handles. Every later call with a claim handles a part of them. Until then,
   * no worker starts a task that is to end.
   */
  readonly deferred?: true
}

/** How an attempt ends; its lease ends with it. */
export type Settlement = { readonly task_id: string, readonly lease: number } & (
  /**
   * `content`: the chart as JSON, or null if the host's `chartStore` has it. `claimed`: the task as it was claimed, if the caller has it: the
   * store then need not send it again.
   */
  | { readonly verb: 'complete', readonly chart_id: string, readonly content: string | null, readonly claimed?: StoredTask }
  /** `delay`: ms before the next attempt; null: the task's own backoff; 'never': no other attempt. `message` null: the default text of the code. */
  | { readonly verb: 'fail', readonly code: string, readonly message: string | null, readonly delay: number | null | 'never' }
  /** Puts the task back into the queue; the attempt is not counted. */
  | { readonly verb: 'release' }
)

export interface Settled {
  /**
   * True: this call has settled the lease, or an earlier call with the same verb has and the task was not claimed since. False: the lease is
   * not the current one, and nothing was written.
   */
  readonly current: boolean
  /** The task, if it has ended with this attempt; else null. */
  readonly finished: StoredTask | null
}

/** What a running attempt reports; figures are whole numbers from 0 to 100. */
export interface ProgressReport {
  readonly task_id: string
  readonly lease: number
  /** Overall; null: unchanged. A lower value than the stored one is ignored. */
  readonly progress: number | null
  /** The step that begins; null: unchanged. */
  readonly step: string | null
  readonly step_progress: Readonly<Record<string, number>>
}

/** The result of a step, for later attempts. */
export interface Checkpoint {
  readonly task_id: string
  readonly lease: number
  /** A later checkpoint of the same name replaces this one. */
  readonly name: string
  /** JSON */
  readonly value: string
  /** Maximum bytes of all values of the task; 0 = off. */
  readonly maxBytes: number
}

/**
 * What a worker does with leases. A call with a lease that is not the current one changes nothing. A lease is current from its claim until it is
 * settled, its expiry is collected, or the task is cancelled. So an attempt whose lease has expired can still complete until a claim collects
 * the lease; after that it cannot, even if no worker has claimed the task again.
 */
export interface LeaseStore {
  /**
   * Claims up to `count` tasks. First it collects what is due: expired leases, queue timeouts, retries and scheduled tasks. It may return
   * fewer tasks if their requests and checkpoints have a few MiB together; `waitForWork` then resolves at once.
   */
  claim (claim: Claim): Promise<Claimed>
  /**
   * Ends attempts and, with a claim, claims the next tasks in the same round trip. Without a claim it does not collect expired leases: only a
   * claim id lets a reply be replayed, and the tasks that a collection ends are only in the reply. A store that is full ends the attempts,
   * claims nothing new, and says in `due` when to ask again. `settled` has the order of the settlements. A settlement repeated with the same
   * lease and verb answers as the first one did, until the task is claimed again: then it is not current.
   */
  settleAttempts (settlements: readonly Settlement[], claim: Claim | null): Promise<{ settled: Settled[], claimed: Claimed }>
  /** Stores progress and announces it. In the order of the reports; false: the lease is not the current one. */
  progress (reports: readonly ProgressReport[]): Promise<boolean[]>
  /** Stores the result of a step until the task ends. `stale`: the lease is not the current one. `too_large`: not stored. */
  checkpoint (checkpoint: Checkpoint): Promise<'ok' | 'stale' | 'too_large'>
  /** Extends leases to `leaseDuration` ms from now. In their order; `cancelled`: the task was cancelled. `stale`: the lease is not the current one. */
  extend (leases: ReadonlyArray<{ task_id: string, lease: number }>, leaseDuration: number): Promise<Array<'ok' | 'cancelled' | 'stale'>>
  /** Resolves when there may be work, after `timeout` ms at the latest, or when `signal` is aborted. May resolve without work. Never rejects. */
  waitForWork (timeout: number, signal: AbortSignal): Promise<void>
}
