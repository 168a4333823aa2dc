/** @param values at least one */
export function median (values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** The smallest of the values that at least `percent` % of them do not exceed. */
export function percentile (values: readonly number[], percent: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil(sorted.length * percent / 100) - 1)]!
}

/** One ratio for each repetition: neighbours in time are compared, so what else the machine does concerns both. */
export function ratios (values: readonly number[], references: readonly number[]): number[] {
  return values.map((value, i) => value / references[i]!)
}

/** One difference for each repetition. */
export function differences (values: readonly number[], references: readonly number[]): number[] {
  return values.map((value, i) => value - references[i]!)
}

/**
 * The items in the order of a turn. In as many turns as there are items each is first once; then they go the other way round, so that
 * each also follows every other.
 */
export function orderOf<T> (items: readonly T[], turn: number): T[] {
  const first = turn % items.length
  const order = [...items.slice(first), ...items.slice(0, first)]
  return Math.floor(turn / items.length) % 2 === 0 ? order : order.toReversed()
}
