import type { Dataset, Row } from '../datasets/dataset.ts'
import { fieldOf } from './fields.ts'
import { groupBy } from './group-by.ts'
import type { ChartPlan } from './plan.ts'

/** As many of the largest as the plan wants: of the categories on the axis, else of the colours, else of the rows. */
export function largest (rows: readonly Row[], plan: ChartPlan, dataset: Dataset): readonly Row[] {
  if (plan.top === null) return rows
  const unit = ranksCategories(plan, dataset) ? plan.x : plan.color
  return bySize(rows, plan.y, unit).slice(0, plan.top).flat()
}

/** Largest first where that was asked for, else in the order that the axis has. */
export function inOrder (rows: readonly Row[], plan: ChartPlan, dataset: Dataset): Row[] {
  if (plan.sorted || (plan.top !== null && ranksCategories(plan, dataset))) return bySize(rows, plan.y, plan.x).flat()
  const { values } = fieldOf(dataset, plan.x)
  return values ? rows.toSorted((a, b) => values.indexOf(String(a[plan.x])) - values.indexOf(String(b[plan.x]))) : [...rows]
}

/** Whether places on the axis compete for being shown; of years one rather wants the largest colours. */
function ranksCategories ({ mark, x, color }: ChartPlan, dataset: Dataset): boolean {
  const { type } = fieldOf(dataset, x)
  const isStanding = mark === 'bar' || mark === 'point'
  return isStanding && (type === 'nominal' || type === 'ordinal' || (type === 'year' && color === null))
}

/** The rows of each unit together, those with the largest sum first; without a unit every row stands alone. */
function bySize (rows: readonly Row[], y: string, unit: string | null): Row[][] {
  const groups = unit === null ? rows.map(row => [row]) : [...groupBy(rows, row => row[unit]).values()]
  const sizeOf = (group: readonly Row[]) => group.reduce((sum, row) => sum + Number(row[y]), 0)
  return groups.toSorted((a, b) => sizeOf(b) - sizeOf(a))
}
