/** ms by which Redis' clock and this process's may part unnoticed: an answer that was slow makes as much. */
const TOLERANCE_MS = 2_000
/** ms after which a comparison is too old: clocks drift. */
const MAX_AGE_MS = 600_000

/**
 * Compares Redis' clock with this process's monotonic one. Leases end by Redis' clock; if that is set forward, all of them seem
 * to have ended, and their holders are alive.
 */
export class ClockWatch {
  readonly #monotonic: () => number
  readonly #onJump: (ms: number) => void
  /** Redis' time minus ours. */
  #offset: number | null = null
  #seenAt = 0
  /** What the offset was before the clock went forward, and until when leases are still measured by it. */
  #before: { readonly offset: number, readonly until: number } | null = null
  #longestLease = 0

  constructor (monotonic: () => number, onJump: (ms: number) => void) {
    this.#monotonic = monotonic
    this.#onJump = onJump
  }

  /** Now, on this process's clock. */
  now (): number {
    return this.#monotonic()
  }

  /**
   * What Redis' time should be, '' where that is not known. After a jump forward it goes on as if there had been none, for as
   * long as a lease: by then every lease whose holder lives has been extended.
   */
  expected (): number | '' {
    const now = this.#monotonic()
    if (this.#before && now >= this.#before.until) this.#before = null
    const offset = this.#before?.offset ?? this.#offset
    return offset === null || now - this.#seenAt > MAX_AGE_MS ? '' : Math.round(now + offset)
  }

  /** `time`: when Redis ran, by its own clock, what was sent at `sentAt` and is answered now. */
  observe (sentAt: number, time: number, leaseDuration: number): void {
    const now = this.#monotonic()
    this.#longestLease = Math.max(this.#longestLease, leaseDuration)
    const [least, most] = [time - now, time - sentAt]
    const offset = now - this.#seenAt > MAX_AGE_MS ? null : this.#offset
    this.#seenAt = now
    this.#offset = offset === null ? most : Math.min(Math.max(offset, least), most)
    if (offset === null) return
    if (least > offset + TOLERANCE_MS) {
      this.#before ??= { offset, until: now + this.#longestLease }
      this.#onJump(Math.round(least - offset))
    } else if (most < offset - TOLERANCE_MS) {
      this.#before = null
      this.#onJump(Math.round(most - offset))
    }
  }
}
