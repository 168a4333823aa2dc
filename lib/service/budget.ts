import { isStoreUnavailable } from '../errors.ts'

interface Waiting {
  readonly amount: number
  readonly admit: () => void
  readonly refuse: (error: unknown) => void
}

/** Bounds what is done at a time, first come, first served: of reads their bytes, of answers their number. */
export class Budget {
  readonly #capacity: number
  readonly #waiting: Waiting[] = []
  #held = 0

  constructor (capacity: number) {
    this.#capacity = capacity
  }

  /** True where nothing runs and nothing waits. */
  get idle (): boolean {
    return this.#held === 0 && this.#waiting.length === 0
  }

  /** Runs `act` while it holds `amount` of the budget; what is larger than the budget runs alone. */
  async run<T> (amount: number, act: () => Promise<T>): Promise<T> {
    const held = Math.min(amount, this.#capacity)
    if (this.#waiting.length === 0 && this.#held + held <= this.#capacity) this.#held += held
    else await new Promise<void>((resolve, reject) => this.#waiting.push({ amount: held, admit: resolve, refuse: reject }))
    try {
      return await act()
    } catch (error) {
      // Those that wait would find the same, each after a timeout of its own.
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
