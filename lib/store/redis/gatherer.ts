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

/**
 * Sends at once what comes alone, and together what comes while others are under way: batches form by themselves, and nobody waits for a
 * timer. Each item has an answer of its own.
 */
export class Gatherer<Item, Answer> {
  readonly #send: (items: Item[]) => Promise<Answer[]>
  #waiting: Array<Waiting<Item, Answer>> = []
  #underWay = 0

  constructor (send: (items: Item[]) => Promise<Answer[]>) {
    this.#send = send
  }

  add (item: Item, bytes: number): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ item, bytes, since: performance.now(), resolve, reject })
      if (this.#underWay < MAX_UNDER_WAY) this.#next()
    })
  }

  async #next (): Promise<void> {
    const gathered = this.#take()
    if (gathered.length === 0) return
    this.#underWay++
    try {
      const answers = await this.#send(gathered.map(({ item }) => item))
      for (const [i, { resolve }] of gathered.entries()) resolve(answers[i]!)
    } catch (error) {
      for (const { reject } of gathered) reject(error)
    } finally {
      this.#underWay--
      this.#next()
    }
  }

  /** The first of those that wait, as many as one call carries. */
  #take (): Array<Waiting<Item, Answer>> {
    const expired = performance.now() - MAX_WAIT_MS
    let count = 0
    let bytes = 0
    for (; count < this.#waiting.length && count < MAX_GATHERED.items; count++) {
      bytes += this.#waiting[count]!.bytes
      if (count > 0 && bytes > MAX_GATHERED.bytes) break
    }
    const taken = this.#waiting.splice(0, count)
    for (const { reject } of taken.filter(({ since }) => since < expired)) reject(new errors.CHARTS_ERR_STORE_UNAVAILABLE())
    return taken.filter(({ since }) => since >= expired)
  }
}
