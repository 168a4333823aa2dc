/** Finds what belongs to a key; a key to which nothing belongs is forgotten. */
export class IndexOf<T> {
  readonly #members = new Map<string, Set<T>>()

  of (key: string): T[] {
    return [...this.#members.get(key) ?? []]
  }

  add (key: string, member: T): void {
    const members = this.#members.get(key)
    if (members) members.add(member)
    else this.#members.set(key, new Set([member]))
  }

  remove (key: string, member: T): void {
    const members = this.#members.get(key)
    members?.delete(member)
    if (members?.size === 0) this.#members.delete(key)
  }
}
