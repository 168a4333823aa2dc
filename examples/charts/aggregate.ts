import type { Dataset, Row } from '../datasets/dataset.ts'
import { fieldOf } from './fields.ts'
import { groupBy } from './group-by.ts'

/**
 * One row for every combination of `by`: the mean of `y`, or of its totals per period where `y` adds up; `isAverage`
 * where some stand for several.
 */
export function aggregate (rows: readonly Row[], by: readonly string[], y: string, dataset: Dataset): { rows: Row[], isAverage: boolean } {
  const period = fieldOf(dataset, y).addsUpWithin
  // July without a snowy day still is a July: periods are counted over all rows of the same time.
  const times = by.filter(name => ['year', 'temporal'].includes(fieldOf(dataset, name).type))
  const periods = period === undefined ? null : countPeriods(rows, times, period)

  const groups = [...groupBy(rows, row => keyOf(row, by)).values()].map(group => {
    const first = group[0]!
    const total = group.reduce((sum, row) => sum + Number(row[y]), 0)
    return { first, total, count: periods?.get(keyOf(first, times)) ?? group.length }
  })
  return {
    rows: groups.map(({ first, total, count }) =>
      ({ ...Object.fromEntries(by.map(name => [name, first[name] ?? null])), [y]: rounded(total / count) })),
    isAverage: groups.some(({ count }) => count > 1)
  }
}

const keyOf = (row: Row, fields: readonly string[]) => JSON.stringify(fields.map(field => row[field]))

function countPeriods (rows: readonly Row[], times: readonly string[], period: string): Map<string, number> {
  const groups = groupBy(rows, row => keyOf(row, times))
  return new Map([...groups].map(([time, group]) => [time, new Set(group.map(row => row[period])).size]))
}

/** Adding up leaves digits that nobody has measured. */
const rounded = (value: number) => Math.round(value * 1000) / 1000
