import type { FastifyInstance, FastifyRequest } from 'fastify'
import { withInterrupt } from '../async.ts'
import { errors, isStoreUnavailable } from '../errors.ts'

/** ms that one request may wait for the store in all, so that it is answered within two seconds. */
const BUDGET_MS = 1_800

const kBudget = Symbol('fastify-async-charts.store-budget')
type BudgetedRequest = FastifyRequest & { [kBudget]: StoreBudget | null }

/** Gives each request of the scope a budget of its own. */
export function budgetRequests (fastify: FastifyInstance): void {
  fastify.decorateRequest(kBudget, null)
}

/** The budget of a request. */
export function budgetOf (request: FastifyRequest): StoreBudget {
  const budgeted = request as BudgetedRequest
  budgeted[kBudget] ??= new StoreBudget()
  return budgeted[kBudget]
}

const unavailable = (): never => { throw new errors.CHARTS_ERR_STORE_UNAVAILABLE() }

/**
 * The time that a request may wait for the store. A deadline per command would not do: a request sends several, one after the other.
 * The host's own hooks and `Prefer: wait` do not count.
 */
export class StoreBudget {
  #left = BUDGET_MS
  /** Interrupts what waits for the store. */
  readonly #waiting = new Set<() => void>()
  /** Calls of the host's hooks that run meanwhile. */
  #exempt = 0
  /** When the clock started; null while it is stopped. */
  #startedAt: number | null = null
  #timer: NodeJS.Timeout | undefined

  /**
   * Resolves to the result of `work`. A change that is given up may still be made by the store.
   * @throws CHARTS_ERR_STORE_UNAVAILABLE once the budget is spent, and what `work` throws
   */
  async spend<T> (work: () => Promise<T>): Promise<T> {
    if (this.#left <= 0) return unavailable()
    return withInterrupt(work(), interrupt => {
      // If this process was busy until now, the result may have arrived and is read before `setImmediate` calls back.
      const giveUp = (): void => { setImmediate(interrupt, unavailable) }
      this.#waiting.add(giveUp)
      this.#update()
      return () => {
        this.#waiting.delete(giveUp)
        this.#update()
      }
    })
  }

  /** Resolves to the result of `work`, or to `fallback` if the budget does not suffice. */
  async estimate<T> (work: () => Promise<T>, fallback: T): Promise<T> {
    try {
      return await this.spend(work)
    } catch (error) {
      if (!isStoreUnavailable(error)) throw error
      return fallback
    }
  }

  /** Stops the clock while a hook of the host runs within `spend`. */
  async exempt<T> (call: () => Promise<T>): Promise<T> {
    this.#exempt++
    this.#update()
    try {
      return await call()
    } finally {
      this.#exempt--
      this.#update()
    }
  }

  /** Starts or stops the clock: it runs while something waits for the store and no hook of the host runs. */
  #update (): void {
    const runs = this.#waiting.size > 0 && this.#exempt === 0
    if (runs && this.#startedAt === null) {
      this.#startedAt = performance.now()
      // In whole ms: Node keeps a list of timers for each duration.
      this.#timer = setTimeout(() => {
        // A timer may fire a fraction of a millisecond early, which would leave that much for another read.
        this.#left = 0
        for (const giveUp of this.#waiting) giveUp()
      }, Math.ceil(this.#left))
    } else if (!runs && this.#startedAt !== null) {
      clearTimeout(this.#timer)
      this.#left -= performance.now() - this.#startedAt
      this.#startedAt = null
    }
  }
}
