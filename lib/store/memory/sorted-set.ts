export interface Member {
  readonly id: string
  readonly score: number
}

/** Ids in the order of their scores, equal ones in the order of their ids: what a sorted set of Redis is. */
export class SortedSet {
  readonly #members: Member[] = []
  readonly #scores = new Map<string, number>()

  get size (): number {
    return this.#members.length
  }

  get first (): Member | undefined {
    return this.#members[0]
  }

  get last (): Member | undefined {
    return this.#members.at(-1)
  }

  add (id: string, score: number): void {
    this.remove(id)
    this.#scores.set(id, score)
    this.#members.splice(this.#position(id, score), 0, { id, score })
  }

  remove (id: string): boolean {
    const score = this.#scores.get(id)
    if (score === undefined) return false
    this.#scores.delete(id)
    this.#members.splice(this.#position(id, score), 1)
    return true
  }

  shift (): Member | undefined {
    const first = this.#members.shift()
    if (first) this.#scores.delete(first.id)
    return first
  }

  /** The first `limit` ids whose score is at most `score`. */
  upTo (score: number, limit: number): string[] {
    const ids: string[] = []
    for (const member of this.#members) {
      if (member.score > score || ids.length === limit) break
      ids.push(member.id)
    }
    return ids
  }

  scoreOf (id: string): number | null {
    return this.#scores.get(id) ?? null
  }

  /** How many come before it; null where it is not in here. */
  rank (id: string): number | null {
    const score = this.#scores.get(id)
    return score === undefined ? null : this.#position(id, score)
  }

  /** The first whose score is at least `score`. */
  firstFrom (score: number): Member | undefined {
    return this.#members[this.#position('', score)]
  }

  /** The first `count` ids. */
  head (count: number): string[] {
    return this.#members.slice(0, count).map(({ id }) => id)
  }

  /** The last `count` ids, from the last on. */
  tail (count: number): string[] {
    return this.#members.slice(-count).reverse().map(({ id }) => id)
  }

  /** From the last to the first. With `after`, what comes behind it; where that is gone, all of its score comes again. */
  backwards (after?: Member): Member[] {
    const members = this.#members.toReversed()
    if (!after) return members
    const rank = this.rank(after.id)
    return rank === null ? members.filter(({ score }) => score <= after.score) : members.slice(members.length - rank)
  }

  #position (id: string, score: number): number {
    let low = 0
    let high = this.#members.length
    while (low < high) {
      const middle = (low + high) >>> 1
      const member = this.#members[middle]!
      if (member.score < score || (member.score === score && member.id < id)) low = middle + 1
      else high = middle
    }
    return low
  }
}
