import { isStoreUnavailable } from '../errors.ts'

interface Waiter {
  readonly amount: number
  readonly admit: () => void
  readonly refuse: (error: unknown) => void
}

/** Limits concurrent work, first come, first served. The unit is the caller's: bytes of reads, number of responses. */
export class Budget {
  readonly #capacity: number
  readonly #waiting: Waiter[] = []
  #held = 0

  constructor (capacity: number) {
    this.#capacity = capacity
  }

  /** True: nothing runs and nothing waits. */
  get idle (): boolean {
    return this.#held === 0 && this.#waiting.length === 0
  }

  /**
   * Waits until `amount` of the budget is free, and holds it while `work` runs. Work that is larger than the budget runs alone.
   * @throws what `work` throws; CHARTS_ERR_STORE_UNAVAILABLE if other work has failed with that while this one waited
   */
  async run<T> (amount: number, work: () => Promise<T>): Promise<T> {
    const held = Math.min(amount, this.#capacity)
    if (this.#waiting.length === 0 && this.#held + held <= this.#capacity) this.#held += held
    else await new Promise<void>((resolve, reject) => this.#waiting.push({ amount: held, admit: resolve, refuse: reject }))
    try {
      return await work()
    } catch (error) {
      // Work that waits would fail in the same way, each after a timeout of its own.
      if (isStoreUnavailable(error)) for (const { refuse } of this.#waiting.splice(0)) refuse(error)
      throw error
    } finally {
      this.#held -= held
      this.#admit()
    }
  }

  #admit (): void {
    for (let next = this.#waiting[0]; next && this.#held + next.amount <= this.#capacity; next = this.#waiting[0]) {
      this.#waiting.shift()
      this.#held += next.amount
      next.admit()
    }
  }
}
