import { randomUUID } from 'node:crypto'
import { Signal, sleep, unlessAborted } from '../async.ts'
import type { GenerateChart, Logger } from '../generator.ts'
import type { Queue } from '../service/queue.ts'
import type { Claimed, Settlement } from '../store/task-store.ts'
import type { Attempt } from './attempt.ts'
import { AttemptRunner } from './attempt-runner.ts'
import { Exchanges } from './exchanges.ts'
import { Heartbeat } from './heartbeat.ts'
import { ProgressSender } from './progress-sender.ts'
import { Registration } from './registration.ts'
import { Slots } from './slots.ts'

/** Maximum ms that an idle worker waits for a work signal before it looks for work. */
const MAX_IDLE_MS = 10_000
/** ms between two looks for work while the store cannot signal it. */
const NO_SIGNAL_INTERVAL_MS = 1_000
/** ms after `shutdownTimeout` in which aborted attempts end and their tasks are released. */
const DRAIN_GRACE_MS = 1_700
/** Maximum ms of a timer: Node fires one with more than 2^31 ms at once. */
const MAX_TIMER_MS = 86_400_000
const CLEANUP_INTERVAL_MS = 60_000

export interface ConsumerOptions {
  readonly queue: Queue
  readonly generate: GenerateChart
  readonly concurrency: number
  /** ms */
  readonly leaseDuration: number
  /** ms */
  readonly attemptTimeout: number
  /** ms */
  readonly shutdownTimeout: number
  readonly logger: Logger
}

/** A worker: claims tasks, runs their attempts and settles them, until it is stopped. */
export class Consumer {
  /** Resolves when the worker has stopped, for any reason. */
  readonly done: Promise<void>
  readonly #options: ConsumerOptions
  readonly #worker_id = randomUUID()
  readonly #slots: Slots
  readonly #heartbeat: Heartbeat
  readonly #progress: ProgressSender
  readonly #registration: Registration
  readonly #exchanges: Exchanges
  readonly #runner: AttemptRunner
  readonly #draining = new AbortController()
  readonly #forceStop = new AbortController()
  /** Notified when the loop may have something to do. */
  readonly #changed = new Signal()
  #isWaitingForWork = false
  #claimTimer: NodeJS.Timeout | undefined

  constructor (options: ConsumerOptions) {
    this.#options = options
    const { queue, concurrency, leaseDuration, logger } = options
    const { leases } = queue
    const draining = this.#draining.signal
    const worker_id = this.#worker_id
    const slots = new Slots(concurrency)
    const heartbeat = new Heartbeat({ leases, attempts: slots.attempts, leaseDuration, logger })
    const progress = new ProgressSender({ leases, attempts: slots.attempts, logger, onStale: () => heartbeat.beat() })
    this.#slots = slots
    this.#heartbeat = heartbeat
    this.#progress = progress
    this.#registration = new Registration({ workers: queue.workers, worker_id, concurrency })
    this.#runner = new AttemptRunner({ ...options, slots, progress, worker_id, draining, onEnded: (attempt, settlement) => this.#onEnded(attempt, settlement) })
    this.#exchanges = new Exchanges({
      leases,
      slots,
      progress,
      heartbeat,
      worker_id,
      leaseDuration,
      logger,
      draining,
      forceStop: this.#forceStop.signal,
      onClaimed: (claimed, sentAt) => this.#onClaimed(claimed, sentAt),
      onChange: this.#changed.notify
    })
    this.done = this.#run()
  }

  /**
   * Drains: claims nothing more and gives running attempts `shutdownTimeout` ms, then aborts them and releases their tasks. Resolves when the
   * worker has stopped, at most `shutdownTimeout` + 2,000 ms later, also if the store does not answer.
   */
  stop (): Promise<void> {
    if (this.#draining.signal.aborted) return this.done
    const { queue, shutdownTimeout, logger } = this.#options
    const { attempts, waiting } = this.#slots
    logger.info({ running: attempts.size }, 'the worker drains')
    this.#draining.abort()
    this.#registration.drain()
    void queue.history.flush()
    // It would only start after the others have ended.
    waiting?.abort('SHUTDOWN')
    const abort = setTimeout(() => {
      for (const attempt of attempts) attempt.abort('SHUTDOWN')
    }, shutdownTimeout)
    // If nothing runs, only the store's reply is awaited.
    const forceStop = setTimeout(() => this.#forceStop.abort(), (attempts.size > 0 ? shutdownTimeout : 0) + DRAIN_GRACE_MS)
    this.#changed.notify()
    return this.done.finally(() => {
      clearTimeout(abort)
      clearTimeout(forceStop)
    })
  }

  async #run (): Promise<void> {
    const { queue, concurrency, logger } = this.#options
    const { attempts } = this.#slots
    const offCancelled = queue.feed.onCancelled(task_id => {
      for (const attempt of attempts) if (attempt.task_id === task_id) attempt.abort('CANCELLED')
    })
    const offFeed = queue.feed.onFeed(isUp => this.#heartbeat.feed(isUp))
    const cleanup = setInterval(() => {
      queue.store.cleanup().catch(error => logger.debug({ err: error }, 'cleanup failed, trying again in a minute'))
    }, CLEANUP_INTERVAL_MS).unref()
    queue.telemetry.hasWorker(() => ({ used: attempts.size, total: concurrency }))
    try {
      while (!this.#isOver()) if (!this.#exchanges.startDue()) await this.#idle()
    } finally {
      this.#draining.abort()
      offCancelled()
      offFeed()
      queue.telemetry.hasWorker(() => null)
      this.#heartbeat.stop()
      this.#progress.stop()
      clearInterval(cleanup)
      clearTimeout(this.#claimTimer)
    }
    if (attempts.size > 0) logger.error({ running: attempts.size }, 'the store was not reachable: tasks run again when their leases end')
    else if (!this.#forceStop.signal.aborted) await Promise.all([this.#passSignalOn(), this.#unlessForced(this.#registration.remove())])
    logger.info({}, 'the worker has stopped')
  }

  #isOver (): boolean {
    if (this.#forceStop.signal.aborted) return true
    return this.#draining.signal.aborted && this.#slots.attempts.size === 0 && !this.#exchanges.isUnderWay
  }

  /** Waits until something has changed; if slots are free and no exchange is under way, also for work. */
  #idle (): Promise<void> {
    const isFree = this.#slots.hasFree && !this.#exchanges.isUnderWay && !this.#draining.signal.aborted
    if (isFree && !this.#isWaitingForWork) void this.#waitForWork()
    return this.#changed.wait()
  }

  async #waitForWork (): Promise<void> {
    const { queue: { store }, leaseDuration } = this.#options
    const { signal } = this.#draining
    this.#isWaitingForWork = true
    try {
      await store.waitForWork(Math.min(MAX_IDLE_MS, leaseDuration), signal)
    } catch {
      await sleep(NO_SIGNAL_INTERVAL_MS, signal)
    }
    this.#isWaitingForWork = false
    this.#claim()
  }

  #claim (): void {
    this.#exchanges.claim()
    this.#changed.notify()
  }

  #onClaimed ({ tasks, due }: Claimed, sentAt: number): void {
    for (const claimed of tasks) this.#runner.start(claimed, sentAt)
    clearTimeout(this.#claimTimer)
    if (due !== null) this.#claimTimer = setTimeout(() => this.#claim(), Math.min(Math.max(due, 10), MAX_TIMER_MS))
  }

  #onEnded (attempt: Attempt, settlement: Settlement | null): void {
    if (settlement) {
      this.#exchanges.settle(attempt, settlement)
      this.#changed.notify()
    } else {
      this.#slots.remove(attempt)
      this.#claim()
    }
  }

  /** A work signal that reached this worker during its stop must reach another one: a claim of no tasks sends it again if tasks wait. */
  async #passSignalOn (): Promise<void> {
    const { queue: { leases }, leaseDuration } = this.#options
    const nothing = { worker_id: this.#worker_id, claim_id: randomUUID(), count: 0, leaseDuration }
    await this.#unlessForced(leases.claim(nothing)).catch(() => {})
  }

  #unlessForced<T> (work: Promise<T>): Promise<T | null> {
    return unlessAborted(work, this.#forceStop.signal, () => null)
  }
}
