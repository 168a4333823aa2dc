import { randomUUID } from 'node:crypto'
import { retryUntilAborted } from '../async.ts'
import type { Logger } from '../generator.ts'
import type { Leases, LeasesClaim } from '../service/leases.ts'
import type { Claimed, Settlement } from '../store/task-store.ts'
import type { Attempt } from './attempt.ts'
import type { Heartbeat } from './heartbeat.ts'
import type { ProgressSender } from './progress-sender.ts'
import type { Slots } from './slots.ts'

/** Maximum ms between two repetitions of an exchange. */
const MAX_RETRY_DELAY_MS = 1_000
/** Minimum number of ended attempts for a second exchange while one is under way; with a high concurrency, a quarter of it. */
const MIN_FOR_SECOND = 5

export interface ExchangesOptions {
  readonly leases: Pick<Leases, 'claim' | 'settle'>
  readonly slots: Slots
  readonly progress: Pick<ProgressSender, 'flush'>
  readonly heartbeat: Pick<Heartbeat, 'beat'>
  readonly worker_id: string
  /** ms */
  readonly leaseDuration: number
  readonly logger: Logger
  /** Aborted when the worker drains: it claims nothing from then on. */
  readonly draining: AbortSignal
  /** Aborted when a drain has used up its time: replies are not awaited any more. */
  readonly forceStop: AbortSignal
  /** Called with each reply. `sentAt`: when its claim was sent first, on this process's monotonic clock. */
  readonly onClaimed: (claimed: Claimed, sentAt: number) => void
  /** Called when another exchange may have become due. */
  readonly onChange: () => void
}

interface EndedAttempt {
  readonly attempt: Attempt
  readonly settlement: Settlement
}

interface Exchange {
  /** The store remembers the latest claim of each lane, so that it can be repeated. */
  readonly lane: 0 | 1
  readonly ended: readonly EndedAttempt[]
  /** Maximum number of tasks that it may claim. */
  count: number
  isRepeating: boolean
}

/**
 * Talks to the store in exchanges. An exchange is one round trip: it settles the attempts that have ended since the last one, and claims a task
 * for each free slot. It is repeated until the store answers.
 *
 * Two exchanges may be under way. While the store works on one, this process works on the tasks of the other: with many short tasks, neither
 * waits for the other.
 */
export class Exchanges {
  readonly #options: ExchangesOptions
  readonly #minForSecond: number
  /** Attempts to be settled by the next exchange. */
  readonly #ended: EndedAttempt[] = []
  readonly #underWay: Exchange[] = []
  #isClaimDue = true

  constructor (options: ExchangesOptions) {
    this.#options = options
    this.#minForSecond = Math.max(MIN_FOR_SECOND, options.slots.total / 4)
  }

  get isUnderWay (): boolean {
    return this.#underWay.length > 0
  }

  /** Settles the attempt with the next exchange. The attempt keeps its slot until then. */
  settle (attempt: Attempt, settlement: Settlement): void {
    this.#ended.push({ attempt, settlement })
  }

  /** Claims tasks with the next exchange: there may be some, or slots are free again. */
  claim (): void {
    this.#isClaimDue = true
  }

  /** Starts an exchange if one is due. False: nothing is to be sent, or it can wait for the exchange that is under way. */
  startDue (): boolean {
    if (!this.#isDue()) return false
    const exchange: Exchange = { lane: this.#underWay[0]?.lane === 0 ? 1 : 0, ended: this.#takeEnded(), count: 0, isRepeating: false }
    this.#underWay.push(exchange)
    void this.#run(exchange)
    return true
  }

  #isDue (): boolean {
    const [other, second] = this.#underWay
    if (second) return false
    if (!other) return this.#ended.length > 0 || (this.#isClaimDue && !this.#options.draining.aborted)
    // A full Redis refuses claims but accepts settlements: a finished chart must not wait until a claim is accepted.
    return this.#ended.length >= (other.isRepeating ? 1 : this.#minForSecond)
  }

  /** What the next exchange settles: all, or half of many, so that the second exchange can follow at once. */
  #takeEnded (): EndedAttempt[] {
    const { length } = this.#ended
    const isShared = length >= 2 * this.#minForSecond && !this.isUnderWay
    return this.#ended.splice(0, isShared ? Math.ceil(length / 2) : length)
  }

  async #run (exchange: Exchange): Promise<void> {
    try {
      await this.#untilAnswered(exchange)
    } finally {
      this.#underWay.splice(this.#underWay.indexOf(exchange), 1)
      this.#options.onChange()
    }
  }

  async #untilAnswered (exchange: Exchange): Promise<void> {
    const { slots, heartbeat, leaseDuration, logger, draining, forceStop, onClaimed, onChange } = this.#options
    // A claim under repetition was counted without the slots that this exchange frees. They are claimed for after it is answered.
    this.#isClaimDue = this.#isRepeating
    let claim = draining.aborted || this.#isClaimDue ? null : this.#claimFor(exchange)
    // Leases count from the first time that the claim was sent: the store may have granted them then.
    let sentAt = performance.now()
    const send = () => {
      if (claim && performance.now() - sentAt > leaseDuration) {
        // Leases granted by an earlier repetition have expired: this is a new claim.
        claim = draining.aborted ? null : this.#claimFor(exchange)
        sentAt = performance.now()
      }
      return this.#send(exchange, claim)
    }
    const failed = (error: unknown) => {
      if (!this.#isRepeating) logger.warn({ err: error }, 'the store does not answer, trying again')
      exchange.isRepeating = true
      onChange()
    }
    let claimed
    try {
      claimed = await retryUntilAborted(send, { signal: forceStop, maxDelay: MAX_RETRY_DELAY_MS, failed })
    } catch {
      // The stop is forced.
      return
    }
    if (forceStop.aborted) return
    for (const { attempt } of exchange.ended) slots.remove(attempt)
    if (claimed) onClaimed(claimed, sentAt)
    if (!exchange.isRepeating) return
    logger.info({}, 'the store answers again')
    heartbeat.beat()
  }

  get #isRepeating (): boolean {
    return this.#underWay.some(({ isRepeating }) => isRepeating)
  }

  /** Claims as many tasks as slots are free once the exchanges under way are answered, less those that the other exchange may claim. */
  #claimFor (exchange: Exchange): LeasesClaim {
    const { worker_id, slots, leaseDuration } = this.#options
    exchange.count = 0
    const beside = this.#underWay.reduce((occupied, { ended, count }) => occupied - ended.length + count, slots.attempts.size)
    const isSolitaryEnding = this.#underWay.some(({ ended }) => ended.some(({ attempt }) => attempt === slots.solitary))
    exchange.count = slots.solitary && !isSolitaryEnding ? 0 : slots.total - beside
    return { worker_id, claim_id: randomUUID(), count: exchange.count, leaseDuration, beside, lane: exchange.lane }
  }

  async #send ({ ended }: Exchange, claim: LeasesClaim | null): Promise<Claimed | null> {
    const { leases, progress, draining } = this.#options
    if (ended.length === 0 && !claim) return null
    if (ended.length === 0 && !draining.aborted) return leases.claim(claim!)
    // Sent first on the same connection, so that a finished task shows its last steps.
    progress.flush()
    // A drain repeats its claim with count 0, only to release the tasks of a lost reply. A full Redis accepts this command.
    const released = claim && draining.aborted ? { ...claim, count: 0 } : claim
    const { claimed } = await leases.settle(ended.map(({ settlement }) => settlement), released)
    return claimed
  }
}
