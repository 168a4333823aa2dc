import { withDeadline } from '../async.ts'
import type { Cancelled, Claim, Claimed, ClaimedTask, QueueStatistics, QueueStats, Settled, Settlement, StoreClock, TaskReader } from '../store/task-store.ts'
import { ChartStatus, type ChartTask, type TraceContext } from '../task.ts'
import {
  channels, traceOperation, tracingChannels, type ObservedQueue, type ProcessMessage, type SendMessage, type StepMessage, type Telemetry, type Transport
} from './channels.ts'
import { FirstEstimates } from './first-estimates.ts'
import { toTraceContext } from './trace-context.ts'

/** Outcome of an attempt by the verb that settled it. */
const OUTCOMES = { complete: 'completed', fail: 'failed', release: 'released' } as const
/** The code of a refusal if its own is neither the package's nor Fastify's: an error of the host could have any. */
const OTHER_CODE = '_OTHER'
/** Maximum ms that an attempt waits for the trace contexts of its dependencies. */
const MAX_TRACES_WAIT_MS = 500

/** An attempt to run, and what its worker knows about it afterwards. */
export interface TracedAttempt {
  /** Why it was aborted; null: it was not. */
  readonly abortCode: string | null
  run (trace: TraceContext | null): Promise<Settlement | null>
  /** The error, if it failed. */
  thrownOf (settlement: Settlement): unknown
}

/** Publishes what happens to a queue in this process. Without subscribers, each call costs one check. */
export class QueueTelemetry implements ObservedQueue {
  readonly keyPrefix: string
  readonly #store: QueueStatistics & TaskReader & StoreClock
  readonly #estimates = new FirstEstimates()
  /** Refusals already published: an error passes through the service and then the routes. */
  readonly #refused = new WeakSet<object>()
  #slotsOf: () => ObservedQueue['slots'] = () => null
  #isFeedUp = false
  readonly #unlisten: () => void

  constructor ({ keyPrefix, store, telemetry }: { readonly keyPrefix: string, readonly store: QueueStatistics & TaskReader & StoreClock, readonly telemetry?: Telemetry | undefined }) {
    this.keyPrefix = keyPrefix
    this.#store = store
    this.#unlisten = telemetry?.listen(this) ?? (() => {})
  }

  close (): void {
    this.#unlisten()
  }

  get isFeedUp (): boolean {
    return this.#isFeedUp
  }

  get slots (): ObservedQueue['slots'] {
    return this.#slotsOf()
  }

  /** Sets where the slots of this process's worker are read. */
  hasWorker (slotsOf: () => ObservedQueue['slots']): void {
    this.#slotsOf = slotsOf
  }

  stats (): Promise<QueueStats> {
    return this.#store.stats()
  }

  /** The trace context of a request; null without a subscriber that could use it. */
  callerTrace (headers: { readonly [name: string]: string | string[] | undefined }): TraceContext | null {
    return tracingChannels.send.hasSubscribers ? toTraceContext(headers) : null
  }

  /** `create`: receives the trace context to store with the tasks. */
  send<T extends NonNullable<SendMessage['result']>> (count: number, caller: TraceContext | null | undefined, create: (trace: TraceContext | null) => Promise<T>): Promise<T> {
    const { send } = tracingChannels
    let sent: Promise<T>
    if (send.hasSubscribers) {
      const message: SendMessage = { queue: this, count, trace: toTraceContext(caller) }
      sent = traceOperation(send, message, () => create(toTraceContext(message.trace)))
    } else {
      sent = create(null)
    }
    if (channels.refused.hasSubscribers) sent.catch(error => this.refused(error))
    return sent
  }

  claim ({ worker_id, count }: Pick<Claim, 'worker_id' | 'count'>, claim: () => Promise<Claimed>): Promise<Claimed> {
    const channel = tracingChannels.claim
    if (!channel.hasSubscribers) return claim()
    return traceOperation(channel, { queue: this, worker_id, count }, claim)
  }

  settle<T extends { settled: Settled[], claimed: Claimed }> (settlements: readonly Settlement[], settle: () => Promise<T>): Promise<T> {
    const channel = tracingChannels.settle
    if (!channel.hasSubscribers) return settle()
    return traceOperation(channel, { queue: this, closings: settlements }, settle)
  }

  cancel (task_id: string, cancel: () => Promise<Cancelled | null>): Promise<Cancelled | null> {
    const channel = tracingChannels.cancel
    if (!channel.hasSubscribers) return cancel()
    return traceOperation(channel, { queue: this, task_id }, cancel)
  }

  /** Runs an attempt to its outcome. Rejects as `attempt` does. */
  process (claimed: ClaimedTask, worker_id: string, attempt: TracedAttempt): Promise<Settlement | null> {
    if (tracingChannels.process.hasSubscribers) return this.#process(claimed, worker_id, attempt)
    const { attemptEnded, cancelDelivered } = channels
    return attemptEnded.hasSubscribers || cancelDelivered.hasSubscribers ? this.#run(claimed.task, attempt, null) : attempt.run(null)
  }

  async #process (claimed: ClaimedTask, worker_id: string, attempt: TracedAttempt): Promise<Settlement | null> {
    const { task, priority, lease, trace } = claimed
    const message: ProcessMessage = { queue: this, task, priority, lease, worker_id, trace, dependencies: await this.#tracesOf(task.depends_on) }
    return traceOperation(tracingChannels.process, message, async () => {
      const settlement = await this.#run(task, attempt, message)
      message.outcome = settlement ? OUTCOMES[settlement.verb] : attempt.abortCode === 'CANCELLED' ? 'cancelled' : 'lost'
      if (settlement?.verb === 'fail') Object.assign(message, { code: settlement.code, thrown: attempt.thrownOf(settlement) })
      return settlement
    })
  }

  step<T> (task: ChartTask, step: string, remembered: boolean, run: () => T | Promise<T>): T | Promise<T> {
    const channel = tracingChannels.step
    if (!channel.hasSubscribers) return run()
    const message: StepMessage = { queue: this, task, step, remembered, trace: null }
    return traceOperation(channel, message, async () => run())
  }

  refused (error: unknown): void {
    if (!channels.refused.hasSubscribers || typeof error !== 'object' || error === null || this.#refused.has(error)) return
    this.#refused.add(error)
    const { code } = error as { code?: unknown }
    channels.refused.publish({ queue: this, code: typeof code === 'string' && /^(CHARTS_ERR|FST_ERR)_\w+$/.test(code) ? code : OTHER_CODE })
  }

  /** The result of a claim: attempts that start, and leases found expired. */
  claimed ({ tasks, expired }: Claimed): void {
    const { claimed, leaseExpired, attemptEnded } = channels
    if (claimed.hasSubscribers) {
      for (const { task, priority, lease, run_at } of tasks) {
        const isFirst = lease === 1 && task.depends_on.length === 0
        const waited = isFirst ? Math.max(0, Date.parse(task.started_at!) - Math.max(Date.parse(task.created_at), run_at ?? 0)) : null
        claimed.publish({ queue: this, task, priority, lease, waited })
      }
    }
    for (const lease of expired) {
      if (leaseExpired.hasSubscribers) leaseExpired.publish({ queue: this, ...lease })
      if (attemptEnded.hasSubscribers) attemptEnded.publish({ queue: this, task_id: lease.task_id, outcome: 'expired' })
    }
  }

  settled (settlements: readonly Settlement[], settled: readonly Settled[]): void {
    const { attemptEnded } = channels
    if (!attemptEnded.hasSubscribers) return
    for (const [i, settlement] of settlements.entries()) {
      const outcome = settled[i]!.current ? OUTCOMES[settlement.verb] : 'stale'
      attemptEnded.publish({ queue: this, task_id: settlement.task_id, outcome, ...(outcome === 'failed' && settlement.verb === 'fail' ? { code: settlement.code } : {}) })
    }
  }

  taskEnded (task: ChartTask): void {
    if (channels.taskEnded.hasSubscribers) channels.taskEnded.publish({ queue: this, task })
    this.estimated([task])
  }

  /** Tasks with the estimates that this process returns. */
  estimated (tasks: readonly ChartTask[]): void {
    if (!channels.estimate.hasSubscribers) return
    for (const task of tasks) {
      const error = this.#estimates.compare(task)
      if (error !== null) channels.estimate.publish({ queue: this, task, error })
    }
  }

  feed (up: boolean): void {
    if (this.#isFeedUp === up) return
    this.#isFeedUp = up
    if (channels.feed.hasSubscribers) channels.feed.publish({ queue: this, up })
  }

  stream (transport: Transport, open: boolean): void {
    if (channels.stream.hasSubscribers) channels.stream.publish({ queue: this, transport, open })
  }

  async #run (task: ChartTask, attempt: TracedAttempt, message: ProcessMessage | null): Promise<Settlement | null> {
    const settlement = await attempt.run(toTraceContext(message?.trace))
    if (attempt.abortCode === 'CANCELLED' && settlement === null) this.#cancelDelivered(task)
    return settlement
  }

  #cancelDelivered (task: ChartTask): void {
    const { attemptEnded, cancelDelivered } = channels
    if (attemptEnded.hasSubscribers) attemptEnded.publish({ queue: this, task_id: task.task_id, outcome: 'cancelled' })
    if (!cancelDelivered.hasSubscribers) return
    const now = this.#store.now?.() ?? Date.now()
    // Only the store knows when the task was cancelled.
    this.#store.read([task.task_id]).then(([cancelled]) => {
      if (cancelled?.status !== ChartStatus.CANCELLED) return
      cancelDelivered.publish({ queue: this, task: cancelled, latency: Math.max(0, now - Date.parse(cancelled.completed_at!)) })
    }).catch(() => {})
  }

  /** Reads the trace contexts of dependencies. Waits only briefly and never throws: links must not cost an attempt. */
  async #tracesOf (task_ids: readonly string[]): Promise<TraceContext[]> {
    if (task_ids.length === 0) return []
    const reads = Promise.all(task_ids.map(task_id => this.#store.inspect(task_id))).catch(() => [])
    const found = await withDeadline(reads, MAX_TRACES_WAIT_MS, () => [])
    return found.map(one => one?.trace).filter(trace => trace !== undefined)
  }
}
