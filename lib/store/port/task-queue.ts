import type { ChartPriority, ChartRequest, StoredTask, TraceContext } from '../../task.ts'

/** Attempts and the backoff between them; stored with the task when it is created. */
export interface RetryPolicy {
  /** Total number of attempts. */
  readonly attempts: number
  readonly backoff: {
    readonly type: 'fixed' | 'exponential'
    /** ms before the second attempt. */
    readonly delay: number
    /** ms, the longest wait between attempts. */
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

/** A task about to be accepted. */
export interface TaskDraft {
  readonly task_id: string
  /** Lower case, so that one message has one index. */
  readonly message_id: string
  readonly user_id: string
  readonly tenant: string
  /** The org whose members may see the finished chart, or null. */
  readonly shared_with: string | null
  /** Equal for two drafts that ask for the same chart. The store adds the tasks that they depend on: drafts with other dependencies are no duplicates. */
  readonly dedup_key: string
  /** True: create a task although a duplicate exists. */
  readonly force: boolean
  readonly priority: ChartPriority
  /** ms since the epoch, the earliest time at which the task may run; null: at once. */
  readonly run_at: number | null
  /** Tasks of the same user, also of the same batch, that must be COMPLETED first, in the order of the request. */
  readonly depends_on: readonly string[]
  /** True: cancel the user's older active tasks of the message in the same step. */
  readonly supersede: boolean
  /** Turns of the tenant in a round, a whole number from 1 to 60. */
  readonly weight: number
  /** ms that the task may wait in the queue for its first attempt; 0 = off. */
  readonly queueTimeout: number
  /** The FAILED task that this one repeats, or null. */
  readonly retry_of: string | null
  /** The trace context of the request, or null. Two requests with different traces may still be duplicates. */
  readonly trace: TraceContext | null
  /** Hashes of the caller's Idempotency-Key and of the request that came with it; null: no key. */
  readonly idempotency: { readonly key: string, readonly body: string } | null
  /** The request as JSON, stored byte for byte. */
  readonly request: string
  /** The fields of the request that its task shows. They are given apart so that a store need not parse the request. */
  readonly requested: Pick<ChartRequest, 'message_id' | 'org_id' | 'visibility' | 'adjustment_query'>
  readonly retention: Retention
  readonly retry: RetryPolicy
  /** Maximum number of the tenant's tasks that wait in the queue or for another attempt; 0 = off. */
  readonly waitingPerTenant: number
  /** Maximum number of the tenant's tasks that wait for their `run_at` or for other tasks; 0 = off. */
  readonly scheduledPerTenant: number
  /** Maximum number of all tasks that could run now; 0 = off. */
  readonly queueLength: number
  /** True: this store keeps the charts. False: a `chartStore` of the host does, and a chart counts only after a check with the host. */
  readonly stores_content: boolean
  /** The result of that check: the chart of a duplicate, and whether the host has it. A chart that the host lacks does not count. Null: not checked. */
  readonly chart_check: { readonly chart_id: string, readonly kept: boolean } | null
}

/** A task, and how it answers a draft. */
export interface EnqueuedTask {
  /**
   * `queued`: a new task. `already_active`: an unfinished duplicate. `chart_exists`: a COMPLETED duplicate. `replayed`: the task of an earlier
   * request with the same Idempotency-Key.
   */
  readonly outcome: 'queued' | 'already_active' | 'chart_exists' | 'replayed'
  readonly task: StoredTask
}

/** Why no draft was accepted. The store has changed nothing. */
export type EnqueueRefusal =
  /** The Idempotency-Key was used with another request. */
  | { readonly outcome: 'key_reused' }
  /** A limit is reached. `fresh`: how many new tasks were refused, of those that could run now or, with `scheduled_full`, of the others. */
  | { readonly outcome: 'tenant_full' | 'scheduled_full' | 'queue_full', readonly fresh: number }
  /** The result depends on whether the host still has these charts. Check each, set `chart_check`, and call again. */
  | { readonly outcome: 'chart_check_required', readonly charts: ReadonlyArray<{ readonly task_id: string, readonly chart_id: string }> }
  /** `task_id`: the dependency at fault. */
  | { readonly outcome: 'dependency_unknown' | 'dependency_failed', readonly task_id: string }
  /** An unfinished duplicate belongs to 100 batches already. `task_id`: that of the draft. */
  | { readonly outcome: 'too_many_batches', readonly task_id: string }

export type BatchOutcome =
  | {
    readonly outcome: 'accepted' | 'replayed'
    /** With `replayed`, the id of the earlier batch. */
    readonly batch_id: string
    /** One for each draft, in their order. */
    readonly tasks: readonly EnqueuedTask[]
    /** Superseded tasks that this call has ended, and their dependents that ended with them. */
    readonly superseded: readonly StoredTask[]
    /** Some effects are deferred to later calls, as with `Claimed`. */
    readonly deferred?: true
  }
  | EnqueueRefusal

export type EnqueueOutcome =
  | EnqueuedTask & { readonly superseded: readonly StoredTask[], readonly deferred?: true }
  | EnqueueRefusal

/** A task that was cancelled now, or that had ended before. */
export interface Cancelled {
  readonly task: StoredTask
  /** The tasks that this call has ended: the cancelled one and its dependents. Empty if the task had ended before. */
  readonly ended: readonly StoredTask[]
  /** More dependents are to end, as with `Claimed`. */
  readonly deferred?: true
}

/** Accepts tasks, and cancels them. */
export interface TaskQueue {
  /** Accepts a task, or answers with a duplicate. A repetition with the same `task_id` answers as the first call did, while the task is kept. */
  enqueue (draft: TaskDraft): Promise<EnqueueOutcome>
  /**
   * Accepts all tasks of a batch, or none. The drafts, at least one, share user, tenant, weight, retention, retry, limits and idempotency key.
   * A repetition with the same `batch_id` answers as the first call did, while the batch is kept.
   */
  enqueueBatch (batch_id: string, drafts: readonly TaskDraft[]): Promise<BatchOutcome>
  /** Cancels an unfinished task; its dependents are FAILED with it. A repetition returns the task and ends nothing. Null: the task is unknown. */
  cancel (task_id: string): Promise<Cancelled | null>
  /**
   * Cancels the unfinished ones of these tasks in one step, so that one that depends on another is CANCELLED and not FAILED. Returns all
   * tasks that this call has ended: none if it is repeated. Some effects may be deferred, as with `Claimed`. Pass many tasks in parts,
   * dependents first: the store serves nobody else during a call.
   */
  cancelAll (task_ids: readonly string[]): Promise<StoredTask[]>
}
