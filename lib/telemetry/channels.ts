import { channel, tracingChannel, type Channel, type TracingChannel } from 'node:diagnostics_channel'
import type { AttemptRecord, Cancelled, Settled, Settlement, EnqueuedTask, QueueStats, Claimed, TraceContext } from '../store/task-store.ts'
import type { ChartPriority, ChartTask } from '../task.ts'

/** A queue in this process, as its messages name it: one object for each service, plugin or worker. */
export interface ObservedQueue {
  readonly keyPrefix: string
  /** Whether live updates arrive without polling. */
  readonly isFeedUp: boolean
  /** Slots of the worker that takes tasks through this object; null where none does. */
  readonly slots: { readonly used: number, readonly total: number } | null
  /** How busy the whole queue is: one command. */
  stats (): Promise<QueueStats>
}

/**
 * What listens to a queue: `otel()` of `fastify-async-charts/otel`, or one of your own. Called when the queue opens; returns what ends
 * the listening, which is called when it closes. Messages of the channels say in `queue` whose they are.
 */
export interface Telemetry {
  listen (queue: ObservedQueue): () => void
}

interface FromQueue {
  readonly queue: ObservedQueue
}

/** A message of an operation that others may take part in: written by those who listen to its `start`. */
export interface Traced {
  /** The trace context that came with it. Whoever opens a span sets this to that of the span: it is what goes on. */
  trace: TraceContext | null
  /** Runs the operation in a context of the listener's. Whoever finds one sets one that calls it. */
  run?: (<T>(operation: () => T) => T) | undefined
}

/** Tasks are created: one, or those of a batch. `result` is what `enqueueChartTask` or `enqueueChartTasks` got from the store. */
export interface SendMessage extends FromQueue, Traced {
  readonly count: number
  result?: EnqueuedTask | { readonly batch_id: string, readonly outcome: string, readonly tasks: readonly EnqueuedTask[] }
  error?: unknown
}

/** A worker asks for tasks. */
export interface ClaimMessage extends FromQueue {
  readonly worker_id: string
  readonly count: number
  result?: Claimed
  error?: unknown
}

/** Leases end, and the worker may claim in the same round trip. */
export interface SettleMessage extends FromQueue {
  readonly closings: readonly Settlement[]
  result?: { readonly settled: readonly Settled[], readonly claimed: Claimed }
  error?: unknown
}

/** A task is cancelled; `result` is the task and all that ended with it, or null where it is unknown. */
export interface CancelMessage extends FromQueue {
  readonly task_id: string
  result?: Cancelled | null
  error?: unknown
}

/** One attempt in this process, from when it begins until its outcome is known. */
export interface ProcessMessage extends FromQueue, Traced {
  readonly task: ChartTask
  readonly priority: ChartPriority
  readonly lease: number
  readonly worker_id: string
  /** Trace contexts of the tasks that it depends on, where they have one. */
  readonly dependencies: readonly TraceContext[]
  /** Set when it ends. `lost`: its lease was not to be held. */
  outcome?: 'completed' | 'failed' | 'released' | 'cancelled' | 'lost'
  /** Of one that failed: its `error_code`, and what was thrown. */
  code?: string
  thrown?: unknown
  error?: unknown
}

/** A step of an attempt. */
export interface StepMessage extends FromQueue, Traced {
  readonly task: ChartTask
  readonly step: string
  /** Whether an earlier attempt has stored its result: then it does not run. */
  readonly remembered: boolean
  error?: unknown
}

/** The generator begins in a thread of its own; `trace` is that of the attempt. Told in the thread. */
export type ThreadMessage = Traced

/** A request was refused, or could not be answered. */
export interface RefusedMessage extends FromQueue {
  readonly code: string
}

/** An attempt got its lease. */
export interface ClaimedMessage extends FromQueue {
  readonly task: ChartTask
  readonly priority: ChartPriority
  readonly lease: number
  /** ms that the task waited since it could run; null for a later attempt, and where it waited for other tasks first. */
  readonly waited: number | null
}

/** An attempt has ended, as the store has it; `stale`: its lease had ended before, and nothing was written. */
export interface AttemptEndedMessage extends FromQueue {
  readonly task_id: string
  readonly outcome: NonNullable<AttemptRecord['outcome']> | 'stale'
  /** Of one that failed. */
  readonly code?: string
}

/** A running attempt of this process was told that its task was cancelled, and has stopped. */
export interface CancelDeliveredMessage extends FromQueue {
  readonly task: ChartTask
  /** ms from the cancel until the generator had stopped, or was abandoned. */
  readonly latency: number
}

export interface LeaseExpiredMessage extends FromQueue {
  readonly task_id: string
  readonly attempt: number
  /** Whose lease it was. */
  readonly worker_id: string
}

/** A task has ended, in whatever way; told by the process that ended it. */
export interface TaskEndedMessage extends FromQueue {
  readonly task: ChartTask
}

/** A chart is there for which this process gave an estimate. */
export interface EstimateMessage extends FromQueue {
  readonly task: ChartTask
  /** ms that the chart came later than the first estimate, less than 0: earlier. */
  readonly error: number
}

export interface FeedMessage extends FromQueue {
  readonly up: boolean
}

export type Transport = 'sse' | 'websocket' | 'wait'

/** A stream was opened or has ended; `wait` is a request with `Prefer: wait`. */
export interface StreamMessage extends FromQueue {
  readonly transport: Transport
  readonly open: boolean
}

const traced = <Message extends object>(name: string): TracingChannel<unknown, Message> => tracingChannel<unknown, Message>(`fastify-async-charts:${name}`)
const plain = <Message extends object>(name: string): Channel<unknown, Message> => channel(`fastify-async-charts:${name}`) as Channel<unknown, Message>

/** Public: docs/reference/telemetry.md. Held here, because Node forgets a channel that nobody holds. */
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

/** Tells those who listen of an operation, and runs it in the contexts that they have set. */
export function traceOperation<Message extends object & Partial<Traced>, T> (channel: TracingChannel<unknown, Message>, message: Message, operation: () => Promise<T>): Promise<T> {
  return channel.tracePromise(() => message.run ? message.run(operation) : operation(), message)
}
