export interface Random {
  /** 0 ≤ x < 1 */
  next (): number
  /** A whole number from `from` to `to`, both included. */
  between (from: number, to: number): number
  pick<T> (list: readonly T[]): T
}

/** Chance that can be repeated: the same seed, the same numbers (mulberry32). */
export function seeded (seed: number): Random {
  let state = seed >>> 0
  const next = () => {
    state = (state + 0x6D2B79F5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
  const between = (from: number, to: number) => from + Math.floor(next() * (to - from + 1))
  return { next, between, pick: list => list[between(0, list.length - 1)]! }
}
