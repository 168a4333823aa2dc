import type { Dataset, Row } from '../datasets/dataset.ts'
import { aggregate } from './aggregate.ts'
import { fieldOf, isDiscrete, subjectOf } from './fields.ts'
import { isConnected, type ChartPlan } from './plan.ts'
import { inOrder, largest, spokenRank } from './rank.ts'
import { refusals } from './refusals.ts'
import { rowsIn, spanOf, spoken, yearsOf } from './years.ts'

/** More than an eye can tell apart. */
const MAX_COLORS = 12

export interface Shaped {
  /** One for each mark, with the fields that are drawn and no others. */
  readonly rows: Row[]
  /** The years that they cover; null where the dataset has no time. */
  readonly span: string | null
  /** Which of them are shown, in words; null for all. */
  readonly rank: string | null
  /** Whether a mark stands for several measurements. */
  readonly isAverage: boolean
}

/**
 * The rows of the chart, from those of the dataset. Refuses what only the rows show to be impossible.
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

  refuseOnePlace(rows, plan, dataset)
  refuseLogOfNothing(rows, plan)
  refuseTooManyColors(rows, plan, dataset)
  return { rows, span: dataset.time === null ? null : spanOf(complete.map(yearOf)), rank: spokenRank(marks, plan, dataset), isAverage }
}

const yearOf = (row: Row) => Number(row['year'])

function inYears (table: readonly Row[], { years }: ChartPlan, dataset: Dataset): readonly Row[] {
  if (years.from === null && years.to === null) return table
  if (dataset.time === null) throw refusals.unknownField('year', dataset)
  if (years.from !== null && years.to !== null && years.from > years.to) throw refusals.noData(spoken(years), 'the span ends before it begins')
  const chosen = rowsIn(years, table)
  if (chosen.length === 0) throw refusals.noData(spoken(years), `the data covers ${yearsOf(table.map(yearOf))}`)
  return chosen
}

function picked (row: Row, fields: readonly string[]): Row {
  return Object.fromEntries(fields.map(field => [field, row[field] ?? null]))
}

/** A line between a place and itself cannot be seen. */
function refuseOnePlace (rows: readonly Row[], { mark, x }: ChartPlan, dataset: Dataset): void {
  const [place, ...others] = new Set(rows.map(row => row[x]))
  if (!isConnected(mark) || others.length > 0) return
  const subject = subjectOf(fieldOf(dataset, x)).toLowerCase()
  throw refusals.adjustmentNotPossible(`${mark === 'line' ? 'A line' : 'An area'} chart needs more than one ${subject}, and there is only ${place}: ask for a bar chart`)
}

function refuseLogOfNothing (rows: readonly Row[], { logScale, y }: ChartPlan): void {
  if (logScale && rows.some(row => Number(row[y]) <= 0)) {
    throw refusals.adjustmentNotPossible('A log scale needs values above zero, and some are not')
  }
}

function refuseTooManyColors (rows: readonly Row[], { color }: ChartPlan, dataset: Dataset): void {
  if (color === null) return
  const field = fieldOf(dataset, color)
  // Numbers are drawn as one ramp.
  if (field.type === 'quantitative' || field.type === 'year') return
  const count = new Set(rows.map(row => row[color])).size
  if (count > MAX_COLORS) throw refusals.adjustmentNotPossible(`${subjectOf(field)} has ${count} values, and only ${MAX_COLORS} colours can be told apart: add “top 5”`)
}
