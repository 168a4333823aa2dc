import type { Row } from '../datasets/dataset.ts'

/** A span of years, both ends included; null is open. */
export interface Years {
  readonly from: number | null
  readonly to: number | null
}

export const ALL_YEARS: Years = { from: null, to: null }

function includes ({ from, to }: Years, year: number): boolean {
  return (from === null || year >= from) && (to === null || year <= to)
}

/** The rows of these years. Where rows have no year, only `ALL_YEARS` keeps them. */
export function rowsIn (years: Years, rows: readonly Row[]): readonly Row[] {
  return rows.filter(row => includes(years, Number(row['year'])))
}

/** The span in words. */
export function spoken ({ from, to }: Years): string {
  if (from !== null && from === to) return `for ${from}`
  if (from !== null && to !== null) return `from ${from} to ${to}`
  return from !== null ? `since ${from}` : `until ${to}`
}

/** The span as it stands under a title. */
export function spanOf (years: readonly number[]): string {
  const first = Math.min(...years)
  const last = Math.max(...years)
  return first === last ? `${first}` : `${first}–${last}`
}

/** Like `spanOf`; where years are missing in between, all of them. */
export function yearsOf (years: readonly number[]): string {
  const each = [...new Set(years)].sort((a, b) => a - b)
  const isComplete = each.length === each.at(-1)! - each[0]! + 1
  return isComplete ? spanOf(each) : each.join(', ')
}
