import type { Dataset, Row } from '../datasets/dataset.ts'
import { aggregate } from './aggregate.ts'
import { fieldOf, isDiscrete } from './fields.ts'
import type { ChartPlan } from './plan.ts'
import { inOrder, largest, spokenRank } from './rank.ts'
import { refusals } from './refusals.ts'
import { includes, spanOf, spoken } from './years.ts'

/** More than an eye can tell apart. */
const MOST_COLORS = 12

export interface Shaped {
  /** One for each mark, with the fields that are drawn and no others. */
  readonly rows: Row[]
  /** The years that they cover; null where the dataset has no time. */
  readonly span: string | null
  /** Which of them are shown, as one says it; null for all. */
  readonly rank: string | null
  /** Whether a mark stands for several measurements. */
  readonly isAverage: boolean
}

/**
 * From the rows of the dataset to those of the chart, as the plan has it.
 * @throws NO_DATA, ADJUSTMENT_NOT_POSSIBLE
 */
export function shapeRows (table: readonly Row[], plan: ChartPlan, dataset: Dataset): Shaped {
  const { mark, x, y, color } = plan
  const by = [...new Set(color === null ? [x] : [x, color])]
  const complete = inYears(table, plan, dataset).filter(row => [...by, y].every(field => row[field] !== null))
  const isRaw = mark === 'point' && !isDiscrete(fieldOf(dataset, x))
  const { rows: marks, isAverage } = isRaw
    ? { rows: complete.map(row => picked(row, [...by, y])), isAverage: false }
    : aggregate(complete, by, y, dataset)
  const rows = inOrder(largest(marks, plan, dataset), plan, dataset)

  refuseLogOfNothing(rows, plan)
  refuseTooManyColors(rows, plan, dataset)
  return { rows, span: dataset.time === null ? null : spanOf(complete.map(yearOf)), rank: spokenRank(marks, plan, dataset), isAverage }
}

const yearOf = (row: Row) => Number(row['year'])

function inYears (table: readonly Row[], { years }: ChartPlan, dataset: Dataset): readonly Row[] {
  if (years.from === null && years.to === null) return table
  if (dataset.time === null) throw refusals.unknownField('year', dataset)
  const chosen = table.filter(row => includes(years, yearOf(row)))
  if (chosen.length === 0) throw refusals.noData(spoken(years), spanOf(table.map(yearOf)))
  return chosen
}

function picked (row: Row, fields: readonly string[]): Row {
  return Object.fromEntries(fields.map(field => [field, row[field] ?? null]))
}

function refuseLogOfNothing (rows: readonly Row[], { logScale, y }: ChartPlan): void {
  if (logScale && rows.some(row => Number(row[y]) <= 0)) {
    throw refusals.adjustmentNotPossible('A log scale needs values above zero, and some are not')
  }
}

function refuseTooManyColors (rows: readonly Row[], { color }: ChartPlan, dataset: Dataset): void {
  if (color === null) return
  const { type, title } = fieldOf(dataset, color)
  // Numbers are drawn as one ramp.
  if (type === 'quantitative' || type === 'year') return
  const count = new Set(rows.map(row => row[color])).size
  if (count > MOST_COLORS) throw refusals.adjustmentNotPossible(`${title} has ${count} values, and ${MOST_COLORS} colours can be told apart: add “top 5”`)
}
