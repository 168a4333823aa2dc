import type { Dataset, Row } from '../datasets/dataset.ts'
import { fieldOf } from './fields.ts'
import { groupBy } from './group-by.ts'
import type { ChartPlan } from './plan.ts'

/** As many of the largest as the plan wants: of the categories on the axis, else of the colours, else of the rows. */
export function largest (rows: readonly Row[], plan: ChartPlan, dataset: Dataset): readonly Row[] {
  if (plan.top === null) return rows
  const unit = ranksCategories(plan, dataset) ? plan.x : plan.color
  return bySize(rows, unit, plan, dataset).slice(0, plan.top).flat()
}

/** What `largest` has gone by, as one says it; null where all are shown. */
export function spokenRank (rows: readonly Row[], plan: ChartPlan, dataset: Dataset): string | null {
  if (plan.top === null) return null
  if (plan.color === null || ranksCategories(plan, dataset)) return `top ${plan.top}`
  if (!isAlongTime(plan, dataset)) return `top ${plan.top} of all`
  const end = endOf(rows, plan)
  const spoken = typeof end === 'number' ? end : new Date(String(end)).toLocaleDateString('en', { month: 'long', year: 'numeric', timeZone: 'UTC' })
  return `top ${plan.top} of ${spoken}`
}

/** Largest first where that was asked for, else in the order that the axis has. */
export function inOrder (rows: readonly Row[], plan: ChartPlan, dataset: Dataset): Row[] {
  if (plan.sorted || (plan.top !== null && ranksCategories(plan, dataset))) return bySize(rows, plan.x, plan, dataset).flat()
  const { values } = fieldOf(dataset, plan.x)
  return values ? rows.toSorted((a, b) => values.indexOf(String(a[plan.x])) - values.indexOf(String(b[plan.x]))) : [...rows]
}

/**
 * The rows of each unit together, the largest unit first; without a unit every row stands alone. Along time those are
 * the largest that are so at its end, where one reads them off.
 */
export function bySize (rows: readonly Row[], unit: string | null, plan: ChartPlan, dataset: Dataset): Row[][] {
  const { x, y } = plan
  const groups = unit === null ? rows.map(row => [row]) : [...groupBy(rows, row => row[unit]).values()]
  const end = unit !== x && isAlongTime(plan, dataset) ? endOf(rows, plan) : null
  const addsUp = fieldOf(dataset, y).addsUpWithin !== undefined
  const sizeOf = (group: readonly Row[]) => {
    const counted = end === null ? group : group.filter(row => row[x] === end)
    const total = counted.reduce((sum, row) => sum + Number(row[y]), 0)
    return addsUp ? total : total / Math.max(1, counted.length)
  }
  return groups.toSorted((a, b) => sizeOf(b) - sizeOf(a))
}

/** Whether places on the axis compete for being shown; of years one rather wants the largest colours. */
function ranksCategories ({ mark, x, color }: ChartPlan, dataset: Dataset): boolean {
  const { type } = fieldOf(dataset, x)
  const isStanding = mark === 'bar' || mark === 'point'
  return isStanding && (type === 'nominal' || type === 'ordinal' || (type === 'year' && color === null))
}

function isAlongTime ({ x }: ChartPlan, dataset: Dataset): boolean {
  return ['year', 'temporal'].includes(fieldOf(dataset, x).type)
}

/** The last moment of the axis; dates are written so that they can be compared as they are. */
function endOf (rows: readonly Row[], { x }: ChartPlan): string | number | null {
  return rows.map(row => row[x] ?? null).reduce((a, b) => b !== null && (a === null || b > a) ? b : a, null)
}
