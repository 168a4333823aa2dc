import { errors } from '../../errors.ts'

/** Calls under way at a time; what comes meanwhile is sent together. */
const MAX_UNDER_WAY = 4
/** What one call carries at most: Redis serves nobody else meanwhile. */
const MAX_GATHERED = { items: 100, bytes: 2 ** 18 }
/** Items that are not worth another call. */
const MIN_SHARE = 16
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
 * Sends at once what comes alone, and together what comes at the same time or while others are under way: batches form by themselves, and
 * nobody waits for a timer. Each item has an answer of its own.
 */
export class Gatherer<Item, Answer> {
  readonly #send: (items: Item[]) => Promise<Answer[]>
  readonly #waiting: Array<Waiting<Item, Answer>> = []
  #underWay = 0
  #isPlanned = false

  constructor (send: (items: Item[]) => Promise<Answer[]>) {
    this.#send = send
  }

  add (item: Item, bytes: number): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ item, bytes, since: performance.now(), resolve, reject })
      if (this.#underWay < MAX_UNDER_WAY) this.#plan()
    })
  }

  /** Callers whose answers came together ask again one after the other: what they ask for goes together. */
  #plan (): void {
    if (this.#isPlanned) return
    this.#isPlanned = true
    queueMicrotask(() => {
      this.#isPlanned = false
      this.#sendWaiting()
    })
  }

  #sendWaiting (): void {
    this.#giveUp()
    while (this.#waiting.length > 0 && this.#underWay < MAX_UNDER_WAY) {
      // Shared between the calls that may be under way, so that the store works on one while this process works on another.
      const items = Math.max(MIN_SHARE, Math.ceil(this.#waiting.length / (MAX_UNDER_WAY - this.#underWay)))
      const count = countFitting(this.#waiting, { items: Math.min(items, MAX_GATHERED.items), bytes: MAX_GATHERED.bytes })
      void this.#call(this.#waiting.splice(0, count))
    }
  }

  async #call (gathered: ReadonlyArray<Waiting<Item, Answer>>): Promise<void> {
    this.#underWay++
    try {
      const answers = await this.#send(gathered.map(({ item }) => item))
      for (let i = 0; i < gathered.length; i++) gathered[i]!.resolve(answers[i]!)
    } catch (error) {
      for (const { reject } of gathered) reject(error)
    }
    this.#underWay--
    if (this.#waiting.length > 0) this.#plan()
  }

  /** Refuses those that have waited too long: they are the first. */
  #giveUp (): void {
    const oldest = performance.now() - MAX_WAIT_MS
    while (this.#waiting[0] && this.#waiting[0].since < oldest) this.#waiting.shift()!.reject(new errors.CHARTS_ERR_STORE_UNAVAILABLE())
  }
}
