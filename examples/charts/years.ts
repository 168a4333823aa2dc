/** A span of years, both ends included; null is open. */
export interface Years {
  readonly from: number | null
  readonly to: number | null
}

export const ALL_YEARS: Years = { from: null, to: null }

export function includes ({ from, to }: Years, year: number): boolean {
  return (from === null || year >= from) && (to === null || year <= to)
}

/** The span as one says it. */
export function spoken ({ from, to }: Years): string {
  if (from !== null && from === to) return `for ${from}`
  if (from !== null && to !== null) return `from ${from} to ${to}`
  return from !== null ? `since ${from}` : `until ${to}`
}

/** The span as one writes it under a title. */
export function spanOf (years: readonly number[]): string {
  const first = Math.min(...years)
  const last = Math.max(...years)
  return first === last ? `${first}` : `${first}–${last}`
}
