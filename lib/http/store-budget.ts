import type { FastifyInstance, FastifyRequest } from 'fastify'
import { errors, isStoreUnavailable } from '../errors.ts'

/** ms that one request may wait for the store, all commands taken together: with it, it is answered within two seconds. */
const BUDGET_MS = 1_800

const kBudget = Symbol('fastify-async-charts.store-budget')
type BudgetedRequest = FastifyRequest & { [kBudget]: StoreBudget | null }

/** Gives each request a budget of its own. */
export function budgetRequests (fastify: FastifyInstance): void {
  fastify.decorateRequest(kBudget, null)
}

export function budgetOf (request: FastifyRequest): StoreBudget {
  const budgeted = request as BudgetedRequest
  budgeted[kBudget] ??= new StoreBudget()
  return budgeted[kBudget]
}

/**
 * The time that a request waits for the store. A deadline of each command is not enough: a request has several, one after the
 * other. The host's own hooks and `Prefer: wait` are not counted.
 */
export class StoreBudget {
  #left = BUDGET_MS
  #isSpending = false
  /** Calls of the host's that run meanwhile. */
  #exempt = 0
  /** When what is counted has begun; null while nothing is. */
  #since: number | null = null
  #timer: NodeJS.Timeout | undefined
  #giveUp: () => void = () => {}

  /**
   * What the store says. A change that is given up may be made all the same.
   * @throws CHARTS_ERR_STORE_UNAVAILABLE when the budget is spent, and what `work` throws
   */
  async spend<T> (work: () => Promise<T>): Promise<T> {
    if (this.#left <= 0) throw new errors.CHARTS_ERR_STORE_UNAVAILABLE()
    const overdue = new Promise<never>((_resolve, reject) => {
      // Where this process was busy itself, the answer has come by now and is about to be read.
      this.#giveUp = () => { setImmediate(() => reject(new errors.CHARTS_ERR_STORE_UNAVAILABLE())) }
    })
    this.#isSpending = true
    this.#run()
    try {
      return await Promise.race([work(), overdue])
    } finally {
      this.#pause()
      this.#isSpending = false
    }
  }

  /** What the store can say in the time that is left, else `fallback`: for what is not worth a refusal. */
  async estimate<T> (work: () => Promise<T>, fallback: T): Promise<T> {
    try {
      return await this.spend(work)
    } catch (error) {
      if (!isStoreUnavailable(error)) throw error
      return fallback
    }
  }

  /** A call of the host's within `spend`: not counted. */
  async exempt<T> (call: () => Promise<T>): Promise<T> {
    if (this.#exempt++ === 0) this.#pause()
    try {
      return await call()
    } finally {
      // What is spent may have been given up meanwhile.
      if (--this.#exempt === 0 && this.#isSpending) this.#run()
    }
  }

  #run (): void {
    this.#since = performance.now()
    this.#timer = setTimeout(this.#giveUp, this.#left)
  }

  #pause (): void {
    clearTimeout(this.#timer)
    if (this.#since !== null) this.#left -= performance.now() - this.#since
    this.#since = null
  }
}
