import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { retryUntilAborted } from '../async.ts'
import type { GenerateChart, Logger } from '../generator.ts'
import type { QueueService } from '../service/queue-service.ts'
import type { Settlement, Claimed } from '../store/task-store.ts'
import type { LeasesClaim } from '../service/leases.ts'
import { Attempt } from './attempt.ts'
import { Heartbeat } from './heartbeat.ts'
import { ProgressSender } from './progress-sender.ts'
import { Registration } from './registration.ts'

/** ms that an idle worker waits for a sign of work before it looks for itself, at most. */
const LONGEST_WAIT = 10_000
/** ms between two tries to reach a store that does not answer: doubled each time, up to the second. */
const STORE_RETRY = { first: 100, longest: 1_000 }
/** ms on top of `shutdownTimeout` for aborted attempts and for handing their tasks back. */
const LAST_WORD = 1_700
/** ms that a timer is set to at most: one that is too long fires at once. */
const LONGEST_TIMER = 86_400_000
/** ms between two clean-ups of one worker. */
const CLEANUP_INTERVAL = 60_000
/** Ended attempts that are worth a second exchange while one is under way; a quarter of the concurrency where that is more. */
const MIN_BESIDE = 16

export interface ConsumerOptions {
  readonly service: QueueService
  readonly generate: GenerateChart
  readonly concurrency: number
  readonly leaseDuration: number
  readonly attemptTimeout: number
  readonly shutdownTimeout: number
  readonly logger: Logger
}

/** An attempt that is over, and how the store is to be told. */
interface Ended {
  readonly attempt: Attempt
  readonly closing: Settlement
}

/** One of the two exchanges that a worker may have under way. The store keeps what each of them claimed last. */
class Lane {
  readonly number: 0 | 1
  isBusy = false
  /** Whether the store has not answered, and the exchange is repeated. */
  isRepeating = false
  /** What it ends, and how many tasks it may claim. */
  ended: readonly Ended[] = []
  wanted = 0

  constructor (number: 0 | 1) {
    this.number = number
  }
}

/**
 * Works tasks until it is stopped. It talks to the store in exchanges: what has ended since the last one, and a claim of as many tasks as
 * there are free slots. While the store works on one exchange, this process works on the tasks of the other: with many short
 * tasks, neither waits for the other.
 */
export class Consumer {
  /** Resolves when nothing runs here any more, for whatever reason. */
  readonly done: Promise<void>
  readonly #options: ConsumerOptions
  readonly #worker_id = randomUUID()
  /** Not by task: one that was lost may come back under a new lease while its last try is still being given up. */
  readonly #running = new Set<Attempt>()
  readonly #heartbeat: Heartbeat
  readonly #progress: ProgressSender
  readonly #registration: Registration
  readonly #ended: Ended[] = []
  readonly #lanes = [new Lane(0), new Lane(1)]
  readonly #stopping = new AbortController()
  readonly #offCancelled: () => void
  readonly #offFeed: () => void
  readonly #cleanup: NodeJS.Timeout
  #notify: () => void = () => {}
  #signalled = false
  #look = true
  #waiting = false
  #due: NodeJS.Timeout | undefined
  readonly #hurry = new AbortController()
  /** The attempt that no other may run beside; nothing is claimed until it has ended. */
  #solitary: Attempt | null = null
  #onAlone: () => void = () => {}

  constructor (options: ConsumerOptions) {
    this.#options = options
    const { service, leaseDuration, logger } = options
    this.#heartbeat = new Heartbeat({ leases: service.leases, attempts: this.#running, leaseDuration, logger })
    this.#progress = new ProgressSender({
      leases: service.leases, attempts: this.#running, logger, onStale: () => { this.#heartbeat.beat() }
    })
    this.#registration = new Registration({ service, worker_id: this.#worker_id, concurrency: options.concurrency })
    this.#offCancelled = service.feed.onCancelled(task_id => {
      for (const attempt of this.#running) if (attempt.task_id === task_id) attempt.abort('CANCELLED')
    })
    this.#offFeed = service.feed.onFeed(up => this.#heartbeat.feed(up))
    this.#cleanup = setInterval(() => {
      service.leases.cleanup().catch(error => logger.debug({ err: error }, 'clean-up failed'))
    }, CLEANUP_INTERVAL).unref()
    service.telemetry.hasWorker(() => ({ used: this.#running.size, total: options.concurrency }))
    this.done = this.#run()
  }

  /**
   * Drains: no new task is taken, running ones get `shutdownTimeout` ms, what is still running is aborted and handed back.
   * Resolves when nothing runs here any more.
   */
  stop (): Promise<void> {
    if (this.#stopping.signal.aborted) return this.done
    const { service, shutdownTimeout, logger } = this.#options
    logger.info({ running: this.#running.size }, 'the worker drains')
    this.#stopping.abort()
    this.#registration.drain()
    void service.history.flush()
    if (this.#solitary && this.#running.size > 1) this.#solitary.abort('SHUTDOWN')
    const abort = setTimeout(() => {
      for (const attempt of this.#running) attempt.abort('SHUTDOWN')
    }, shutdownTimeout)
    // With nothing running there is nothing to wait for but the store's answer.
    const giveUp = setTimeout(() => this.#hurry.abort(), (this.#running.size > 0 ? shutdownTimeout : 0) + LAST_WORD)
    this.#signal()
    return this.done.finally(() => {
      clearTimeout(abort)
      clearTimeout(giveUp)
    })
  }

  get #free (): number {
    return this.#solitary ? 0 : this.#options.concurrency - this.#running.size
  }

  async #run (): Promise<void> {
    const { service, logger } = this.#options
    const stopping = this.#stopping.signal
    try {
      while (!this.#hurry.signal.aborted && !(stopping.aborted && this.#running.size === 0 && !this.#lanes.some(lane => lane.isBusy))) {
        const lane = this.#nextLane()
        if (lane) void this.#exchange(lane)
        else await this.#idle()
      }
    } finally {
      this.#stopping.abort()
      this.#offCancelled()
      this.#offFeed()
      service.telemetry.hasWorker(() => null)
      this.#heartbeat.stop()
      this.#progress.stop()
      clearInterval(this.#cleanup)
      clearTimeout(this.#due)
    }
    if (this.#running.size > 0) logger.error({ running: this.#running.size }, 'the store was not reachable: tasks run again when their leases end')
    else if (!this.#hurry.signal.aborted) await Promise.all([this.#passOn(), this.#unlessHurried(this.#registration.end())])
    logger.info({}, 'the worker has stopped')
  }

  /** The lane for an exchange that is due; null where there is nothing to say, or it can wait for the exchange that is under way. */
  #nextLane (): Lane | null {
    const free = this.#lanes.find(lane => !lane.isBusy)
    if (!free) return null
    const other = this.#lanes.find(lane => lane.isBusy)
    if (!other) return this.#ended.length > 0 || (this.#look && !this.#stopping.signal.aborted) ? free : null
    // A full Redis refuses claims, but not what ends leases: a chart that is ready must not wait until there is room again.
    return this.#ended.length >= (other.isRepeating ? 1 : this.#minBeside) ? free : null
  }

  get #minBeside (): number {
    return Math.max(MIN_BESIDE, this.#options.concurrency / 4)
  }

  /** What the next exchange carries: half of many where the other lane has nothing yet. */
  #nextEnded (): Ended[] {
    const { length } = this.#ended
    const isShared = length >= 2 * this.#minBeside && !this.#lanes.some(lane => lane.isBusy)
    return this.#ended.splice(0, isShared ? Math.ceil(length / 2) : length)
  }

  /** One round trip: ends what has ended, takes what there are slots for. Repeated as it is until the store has answered. */
  async #exchange (lane: Lane): Promise<void> {
    lane.ended = this.#nextEnded()
    lane.isBusy = true
    try {
      await this.#repeat(lane)
    } finally {
      Object.assign(lane, new Lane(lane.number))
      this.#signal()
    }
  }

  async #repeat (lane: Lane): Promise<void> {
    const { ended } = lane
    const { leaseDuration, logger } = this.#options
    const stopping = this.#stopping.signal
    const hurry = this.#hurry.signal
    // The claim that is being repeated knows nothing of the slots that become free here.
    this.#look = this.#lanes.some(lane => lane.isRepeating)
    let take = stopping.aborted || this.#look ? null : this.#wish(lane)
    let sentAt = performance.now()
    for (let wait = STORE_RETRY.first; ; wait = Math.min(wait * 2, STORE_RETRY.longest)) {
      try {
        const taken = await this.#unlessHurried(this.#send(ended, take))
        if (hurry.aborted) return
        this.#forget(ended)
        // Leases count from the first time this take was sent: it may have been then that the store gave them.
        if (taken) this.#accept(taken, sentAt)
        if (lane.isRepeating) {
          logger.info({}, 'the store answers again')
          this.#heartbeat.beat()
        }
        return
      } catch (error) {
        if (!this.#lanes.some(lane => lane.isRepeating)) logger.warn({ err: error }, 'the store does not answer, trying again')
        lane.isRepeating = true
        this.#signal()
        await delay(wait, undefined, { signal: hurry }).catch(() => {})
        if (hurry.aborted) return
        if (take && performance.now() - sentAt > leaseDuration) {
          // What the store may have given then has run out.
          take = stopping.aborted ? null : this.#wish(lane)
          sentAt = performance.now()
        }
      }
    }
  }

  /** As many tasks as there are slots once those of attempts that have ended are free, with those that the other lane may claim. */
  #wish (lane: Lane): LeasesClaim {
    const { concurrency, leaseDuration } = this.#options
    lane.wanted = 0
    const beside = this.#lanes.reduce((running, { ended, wanted }) => running - ended.length + wanted, this.#running.size)
    const isEnding = this.#lanes.some(({ ended }) => ended.some(({ attempt }) => attempt === this.#solitary))
    lane.wanted = this.#solitary && !isEnding ? 0 : concurrency - beside
    return { worker_id: this.#worker_id, claim_id: randomUUID(), count: lane.wanted, leaseDuration, beside, lane: lane.number }
  }

  #forget (ended: readonly Ended[]): void {
    for (const { attempt } of ended) this.#remove(attempt)
  }

  #remove (attempt: Attempt): void {
    this.#running.delete(attempt)
    if (attempt === this.#solitary) this.#solitary = null
    if (this.#running.size === 1) this.#onAlone()
  }

  /** Gives up waiting when the drain has run out of time. */
  #unlessHurried<T> (promise: Promise<T>): Promise<T | null> {
    const { signal } = this.#hurry
    return new Promise((resolve, reject) => {
      const hurry = () => resolve(null)
      if (signal.aborted) hurry()
      signal.addEventListener('abort', hurry, { once: true })
      promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', hurry))
    })
  }

  async #send (ended: readonly Ended[], take: LeasesClaim | null): Promise<Claimed | null> {
    const { leases } = this.#options.service
    if (ended.length === 0 && !take) return null
    const draining = this.#stopping.signal.aborted
    if (ended.length === 0 && !draining) return leases.claim(take!)
    // Sent before on the same connection: a finished task shows its last steps.
    this.#progress.flush()
    // A drain repeats its take only to hand back what it may have been given: by the command that a full Redis accepts.
    const { claimed } = await leases.settle(ended.map(({ closing }) => closing), take && draining ? { ...take, count: 0 } : take)
    return claimed
  }

  #accept ({ tasks, due }: Claimed, sentAt: number): void {
    for (const taken of tasks) this.#start(taken, sentAt)
    clearTimeout(this.#due)
    if (due !== null) this.#due = setTimeout(() => this.#lookAgain(), Math.min(Math.max(due, 10), LONGEST_TIMER))
  }

  #start (taken: Claimed['tasks'][number], sentAt: number): void {
    const { service, generate, leaseDuration, attemptTimeout, logger } = this.#options
    const { task: { task_id }, lease, alone } = taken
    this.#logRecovered(taken)
    const attempt = new Attempt({
      taken, generate, leases: service.leases, telemetry: service.telemetry, leaseDuration, attemptTimeout, logger, onProgress: () => this.#progress.soon()
    }, sentAt)
    this.#running.add(attempt)
    // The other lane may have claimed it before it was known that nothing else may run here.
    const isBesideSolitary = this.#solitary !== null
    if (alone) this.#solitary ??= attempt
    // What is left of the lease must outlast the next heartbeat; handed back, the task comes with a new one.
    if (isBesideSolitary || this.#stopping.signal.aborted || performance.now() - sentAt > leaseDuration / 2) {
      this.#end(attempt, attempt.decline())
      return
    }
    const isHeld = taken.task.current_step === 'queued'
    const run = () => service.telemetry.process(taken, this.#worker_id, attempt)
    const running = isHeld ? this.#beginAlone(attempt).then(run) : run()
    running.then(closing => this.#end(attempt, closing), error => {
      logger.error({ err: error, task_id }, 'the attempt broke')
      this.#end(attempt, { task_id, lease, verb: 'fail', code: 'CHARTS_ERR_GENERATION_FAILED', message: null, delay: null })
    })
  }

  /** Waits until nothing else runs here, and says that the attempt begins now; or until it is aborted. */
  async #beginAlone (attempt: Attempt): Promise<void> {
    const { task_id, lease, signal } = attempt
    await new Promise<void>(resolve => {
      this.#onAlone = resolve
      signal.addEventListener('abort', () => resolve())
      if (this.#running.size === 1 || signal.aborted) resolve()
    })
    this.#onAlone = () => {}
    const { service: { leases }, logger } = this.#options
    const begin = async () => {
      const [isCurrent] = await leases.progress([{ task_id, lease, progress: null, step: 'started', step_progress: {} }])
      if (!isCurrent) attempt.abort('LEASE_LOST')
    }
    const failed = (error: unknown) => logger.debug({ err: error, task_id }, 'the attempt could not be begun, trying again')
    // Rejects only where the attempt is aborted, which it finds out itself.
    await retryUntilAborted(begin, { signal, failed }).catch(() => {})
  }

  /** If this process ends too, its log says what ran in it: the task, and what runs beside it. */
  #logRecovered ({ task: { task_id, attempt }, lostWorkers, alone }: Claimed['tasks'][number]): void {
    if (!lostWorkers) return
    const beside = [...this.#running].map(other => other.task_id)
    const how = alone ? 'it runs alone' : 'it runs beside others'
    this.#options.logger.warn({ task_id, attempt, ...lostWorkers, beside }, `earlier attempts of the task have lost their worker: ${how}`)
  }

  #end (attempt: Attempt, closing: Settlement | null): void {
    if (closing) {
      this.#ended.push({ attempt, closing })
    } else {
      this.#remove(attempt)
      this.#look = true
    }
    this.#signal()
  }

  /** Waits for something to do: an attempt that ends, a sign of work where there is a slot for it, or the stop. */
  async #idle (): Promise<void> {
    if (this.#free > 0 && !this.#waiting && !this.#lanes.some(lane => lane.isBusy) && !this.#stopping.signal.aborted) void this.#waitForWork()
    if (!this.#signalled) await new Promise<void>(resolve => { this.#notify = resolve })
    this.#signalled = false
  }

  async #waitForWork (): Promise<void> {
    const { service, leaseDuration } = this.#options
    const { signal } = this.#stopping
    this.#waiting = true
    try {
      await service.leases.waitForWork(Math.min(LONGEST_WAIT, leaseDuration), signal)
    } catch {
      // A store that cannot say when there is work is asked for it from time to time.
      await delay(STORE_RETRY.longest, undefined, { signal }).catch(() => {})
    }
    this.#waiting = false
    this.#lookAgain()
  }

  #lookAgain (): void {
    this.#look = true
    this.#signal()
  }

  #signal (): void {
    this.#signalled = true
    this.#notify()
  }

  /** A sign of work that reached this worker while it stopped must reach another. */
  async #passOn (): Promise<void> {
    const { service, leaseDuration } = this.#options
    const nothing = { worker_id: this.#worker_id, claim_id: randomUUID(), count: 0, leaseDuration }
    await this.#unlessHurried(service.leases.claim(nothing)).catch(() => {})
  }
}
