import { errors } from '../../errors.ts'

/** Calls under way at a time; what comes meanwhile is sent together. */
const MAX_UNDER_WAY = 4
/** What one call carries at most: Redis serves nobody else meanwhile. */
const MAX_GATHERED = { items: 100, bytes: 2 ** 18 }
/** ms that an item waits for its turn at most: then the store is taken to be unavailable, and it is not sent. */
const MAX_WAIT_MS = 1_500

interface Waiting<Item, Answer> {
  readonly item: Item
  readonly bytes: number
  readonly since: number
  resolve (answer: Answer): void
  reject (error: unknown): void
}

/** How many of the first items one call carries: at least one. */
export function countFitting (items: ReadonlyArray<{ readonly bytes: number }>, max: { readonly items: number, readonly bytes: number }): number {
  let bytes = 0
  const end = items.findIndex((item, i) => {
    bytes += item.bytes
    return i > 0 && (i === max.items || bytes > max.bytes)
  })
  return end < 0 ? items.length : end
}

/**
 * Sends at once what comes alone, and together what comes while others are under way: batches form by themselves, and nobody waits for a
 * timer. Each item has an answer of its own.
 */
export class Gatherer<Item, Answer> {
  readonly #send: (items: Item[]) => Promise<Answer[]>
  readonly #waiting: Array<Waiting<Item, Answer>> = []
  #underWay = 0

  constructor (send: (items: Item[]) => Promise<Answer[]>) {
    this.#send = send
  }

  add (item: Item, bytes: number): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ item, bytes, since: performance.now(), resolve, reject })
      if (this.#underWay < MAX_UNDER_WAY) void this.#next()
    })
  }

  async #next (): Promise<void> {
    this.#giveUp()
    if (this.#waiting.length === 0) return
    const gathered = this.#waiting.splice(0, countFitting(this.#waiting, MAX_GATHERED))
    this.#underWay++
    try {
      const answers = await this.#send(gathered.map(({ item }) => item))
      for (const [i, { resolve }] of gathered.entries()) resolve(answers[i]!)
    } catch (error) {
      for (const { reject } of gathered) reject(error)
    } finally {
      this.#underWay--
      void this.#next()
    }
  }

  /** Refuses those that have waited too long: they are the first. */
  #giveUp (): void {
    const oldest = performance.now() - MAX_WAIT_MS
    while (this.#waiting[0] && this.#waiting[0].since < oldest) this.#waiting.shift()!.reject(new errors.CHARTS_ERR_STORE_UNAVAILABLE())
  }
}
