import { Signal } from '../async.ts'
import type { Attempt } from './attempt.ts'

/**
 * The attempts that occupy the slots of a worker. One of them may be solitary: workers were lost with its task, so no other attempt may run
 * beside it. It waits until the others have ended, and no slot is free until it has ended itself.
 */
export class Slots {
  readonly total: number
  /** Attempts and not task ids: a task whose lease was lost may be claimed again while its previous attempt is still ending. */
  readonly #attempts = new Set<Attempt>()
  readonly #vacated = new Signal()
  #solitary: Attempt | null = null
  #waiting: Attempt | null = null

  constructor (total: number) {
    this.total = total
  }

  get attempts (): ReadonlySet<Attempt> {
    return this.#attempts
  }

  get hasFree (): boolean {
    return this.#solitary === null && this.#attempts.size < this.total
  }

  get solitary (): Attempt | null {
    return this.#solitary
  }

  /** The solitary attempt while it waits for others; null if there is none, or it runs. */
  get waiting (): Attempt | null {
    return this.#waiting
  }

  /** Adds an attempt. False: it must not run, because a solitary attempt was added before. It occupies its slot all the same. */
  add (attempt: Attempt, isSolitary: boolean): boolean {
    const mayRun = this.#solitary === null
    this.#attempts.add(attempt)
    if (isSolitary) this.#solitary ??= attempt
    return mayRun
  }

  remove (attempt: Attempt): void {
    this.#attempts.delete(attempt)
    if (attempt === this.#solitary) this.#solitary = null
    this.#vacated.notify()
  }

  /** Resolves when no other attempt is left, or when the solitary attempt is aborted. */
  async untilAlone (solitary: Attempt): Promise<void> {
    const { signal } = solitary
    this.#waiting = solitary
    signal.addEventListener('abort', this.#vacated.notify)
    while (this.#attempts.size > 1 && !signal.aborted) await this.#vacated.wait()
    signal.removeEventListener('abort', this.#vacated.notify)
    this.#waiting = null
  }
}
