import { channel, tracingChannel, type Channel, type TracingChannel } from 'node:diagnostics_channel'
import type { AttemptRecord, Cancelled, Settled, Settlement, EnqueuedTask, QueueStats, Claimed } from '../store/task-store.ts'
import type { ChartPriority, ChartTask, TraceContext } from '../task.ts'

/** A queue as messages refer to it: one object for each service, plugin or worker of this process. */
export interface ObservedQueue {
  readonly keyPrefix: string
  /** Whether live updates arrive without polling. */
  readonly isFeedUp: boolean
  /** Slots of the worker that claims tasks through this object; null: there is none. */
  readonly slots: { readonly used: number, readonly total: number } | null
  /** Statistics of the whole queue; one command to the store. */
  stats (): Promise<QueueStats>
}

/**
* Subscribes to the channels of a queue: `otel()` of `fastify-async-charts/otel`, or a function of your own. Called when the queue opens.
 * Returns a function that unsubscribes, which is called when the queue closes. Every message names its queue in `queue`.
 */
export interface Telemetry {
  listen (queue: ObservedQueue): () => void
}

interface FromQueue {
  readonly queue: ObservedQueue
}

/** A message of an operation. Subscribers of its `start` may change these fields. */
export interface Traced {
  /** The trace context of the operation. A subscriber that opens a span sets it to that of the span: it is passed on and stored. */
  trace: TraceContext | null
  /** Runs the operation in a context of the subscriber. If it is set already, set a function that calls it. */
  run?: (<T>(operation: () => T) => T) | undefined
}

/** A task or a batch is created. `result`: what the store returned to `enqueueChartTask` or `enqueueChartTasks`. */
export interface SendMessage extends FromQueue, Traced {
  readonly count: number
  result?: EnqueuedTask | { readonly batch_id: string, readonly outcome: string, readonly tasks: readonly EnqueuedTask[] }
  error?: unknown
}

/** A worker claims tasks. */
export interface ClaimMessage extends FromQueue {
  readonly worker_id: string
  readonly count: number
  result?: Claimed
  error?: unknown
}

/** A worker settles attempts, and may claim in the same round trip. */
export interface SettleMessage extends FromQueue {
  readonly closings: readonly Settlement[]
  result?: { readonly settled: readonly Settled[], readonly claimed: Claimed }
  error?: unknown
}

/** A task is cancelled. `result`: the task and all tasks that ended with it; null: the task is unknown. */
export interface CancelMessage extends FromQueue {
  readonly task_id: string
  result?: Cancelled | null
  error?: unknown
}

/** An attempt in this process, from its start until its outcome is known. */
export interface ProcessMessage extends FromQueue, Traced {
  readonly task: ChartTask
  readonly priority: ChartPriority
  readonly lease: number
  readonly worker_id: string
  /** Trace contexts of its dependencies that have one. */
  readonly dependencies: readonly TraceContext[]
  /** Set when it ends. `lost`: its lease ended first. */
  outcome?: 'completed' | 'failed' | 'released' | 'cancelled' | 'lost'
  /** If it failed: its `error_code`, and the error that was thrown. */
  code?: string
  thrown?: unknown
  error?: unknown
}

/** A step of an attempt. */
export interface StepMessage extends FromQueue, Traced {
  readonly task: ChartTask
  readonly step: string
  /** True: an earlier attempt has stored the result, so the step does not run. */
  readonly remembered: boolean
  error?: unknown
}

/** The generator starts in a thread. Published in that thread; `trace`: that of the attempt. */
export type ThreadMessage = Traced

/** A request was refused, or failed. */
export interface RefusedMessage extends FromQueue {
  readonly code: string
}

/** A task was claimed, and an attempt starts. */
export interface ClaimedMessage extends FromQueue {
  readonly task: ChartTask
  readonly priority: ChartPriority
  readonly lease: number
  /** ms from when the task could run until it was claimed; null for a later attempt, and for a task with dependencies. */
  readonly waited: number | null
}

/** An attempt has ended in the store. `stale`: its lease had ended before, and nothing was written. */
export interface AttemptEndedMessage extends FromQueue {
  readonly task_id: string
  readonly outcome: NonNullable<AttemptRecord['outcome']> | 'stale'
  /** If it failed: its `error_code`. */
  readonly code?: string
}

/** A running attempt of this process has stopped because its task was cancelled. */
export interface CancelDeliveredMessage extends FromQueue {
  readonly task: ChartTask
  /** ms from the cancel until the generator stopped or was abandoned. */
  readonly latency: number
}

export interface LeaseExpiredMessage extends FromQueue {
  readonly task_id: string
  readonly attempt: number
  /** The worker that held the lease. */
  readonly worker_id: string
}

/** A task has ended. Published by the process that ended it. */
export interface TaskEndedMessage extends FromQueue {
  readonly task: ChartTask
}

/** A task has completed for which this process had given an estimate. */
export interface EstimateMessage extends FromQueue {
  readonly task: ChartTask
  /** ms by which it completed later than the first estimate; negative: earlier. */
  readonly error: number
}

export interface FeedMessage extends FromQueue {
  readonly up: boolean
}

export type Transport = 'sse' | 'websocket' | 'wait'

/** A stream was opened or has ended. `wait`: a request with `Prefer: wait`. */
export interface StreamMessage extends FromQueue {
  readonly transport: Transport
  readonly open: boolean
}

const traced = <Message extends object>(name: string): TracingChannel<unknown, Message> => tracingChannel<unknown, Message>(`fastify-async-charts:${name}`)
const plain = <Message extends object>(name: string): Channel<unknown, Message> => channel(`fastify-async-charts:${name}`) as Channel<unknown, Message>

/** Public: docs/reference/telemetry.md. Module variables, because Node drops a channel without references. */
export const tracingChannels = {
  send: traced<SendMessage>('send'),
  claim: traced<ClaimMessage>('claim'),
  settle: traced<SettleMessage>('settle'),
  cancel: traced<CancelMessage>('cancel'),
  process: traced<ProcessMessage>('process'),
  step: traced<StepMessage>('step'),
  thread: traced<ThreadMessage>('thread')
}

export const channels = {
  refused: plain<RefusedMessage>('refused'),
  claimed: plain<ClaimedMessage>('claimed'),
  attemptEnded: plain<AttemptEndedMessage>('attempt-ended'),
  cancelDelivered: plain<CancelDeliveredMessage>('cancel-delivered'),
  leaseExpired: plain<LeaseExpiredMessage>('lease-expired'),
  taskEnded: plain<TaskEndedMessage>('task-ended'),
  estimate: plain<EstimateMessage>('estimate'),
  feed: plain<FeedMessage>('feed'),
  stream: plain<StreamMessage>('stream')
}

/** Publishes the events of an operation, and runs it in the contexts that subscribers set. */
export function traceOperation<Message extends object & Partial<Traced>, T> (channel: TracingChannel<unknown, Message>, message: Message, operation: () => Promise<T>): Promise<T> {
  return channel.tracePromise(() => message.run ? message.run(operation) : operation(), message)
}
