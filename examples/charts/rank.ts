import type { Dataset, Row } from '../datasets/dataset.ts'
import { fieldOf } from './fields.ts'
import { groupBy } from './group-by.ts'
import { isConnected, type ChartPlan } from './plan.ts'

/** A plan that may still be without its title. */
type Ranked = Omit<ChartPlan, 'title'>

/** As many of the largest as the plan wants: of the categories on the axis, else of the colours, else of the points. */
export function largest (rows: readonly Row[], plan: Ranked, dataset: Dataset): readonly Row[] {
  if (plan.top === null) return rows
  return bySize(rows, unitOf(plan, dataset), plan, dataset).slice(0, plan.top).flat()
}

/** What `largest` counted and when, in words; null where nothing was left out. */
export function spokenRank (rows: readonly Row[], plan: Ranked, dataset: Dataset): string | null {
  const unit = unitOf(plan, dataset)
  const count = unit === null ? rows.length : new Set(rows.map(row => row[unit])).size
  if (plan.top === null || count <= plan.top) return null
  if (unit === null || unit === plan.x || !isAlongTime(plan, dataset)) return `top ${plan.top}`
  const end = endOf(rows, plan)
  const spoken = typeof end === 'number' ? end : new Date(String(end)).toLocaleDateString('en', { month: 'long', year: 'numeric', timeZone: 'UTC' })
  return `top ${plan.top} of ${spoken}`
}

/** Largest first where the plan says so, else in the order of the axis. */
export function inOrder (rows: readonly Row[], plan: Ranked, dataset: Dataset): Row[] {
  const { x, sorted } = plan
  if (sorted) return bySize(rows, x, plan, dataset).flat()
  const { values } = fieldOf(dataset, x)
  const placeOf = (row: Row) => values ? values.indexOf(String(row[x])) : row[x] ?? null
  return rows.toSorted((a, b) => compare(placeOf(a), placeOf(b)))
}

/** Numbers by size, names by the alphabet; dates are written so that their alphabet is their order. */
function compare (a: string | number | null, b: string | number | null): number {
  return typeof a === 'number' && typeof b === 'number' ? a - b : String(a).localeCompare(String(b), 'en')
}

/**
 * The rows of each unit together, the largest unit first; without a unit every row stands alone. Along time those are
 * the largest at its end, where a reader compares them.
 */
export function bySize (rows: readonly Row[], unit: string | null, plan: Ranked, dataset: Dataset): Row[][] {
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

/** The field whose values `top` counts; null where it counts points. */
function unitOf (plan: Ranked, dataset: Dataset): string | null {
  if (ranksCategories(plan, dataset)) return plan.x
  const isScatter = plan.mark === 'point' && fieldOf(dataset, plan.x).type === 'quantitative'
  return isScatter ? null : plan.color
}

/** Whether `top` counts the places on the axis. Of years, the largest colours are more telling. */
export function ranksCategories ({ mark, x, color }: Ranked, dataset: Dataset): boolean {
  const { type } = fieldOf(dataset, x)
  return !isConnected(mark) && (type === 'nominal' || type === 'ordinal' || (type === 'year' && color === null))
}

/** Whether places on the axis can change their order: not along time that runs, nor on a scale of measurements. */
export function canBeSorted ({ mark, x }: Ranked, dataset: Dataset): boolean {
  return !isConnected(mark) && !['temporal', 'quantitative'].includes(fieldOf(dataset, x).type)
}

function isAlongTime ({ x }: Ranked, dataset: Dataset): boolean {
  return ['year', 'temporal'].includes(fieldOf(dataset, x).type)
}

/** The last moment of the axis; dates are written so that they can be compared as they are. */
function endOf (rows: readonly Row[], { x }: Ranked): string | number | null {
  return rows.map(row => row[x] ?? null).reduce((a, b) => b !== null && (a === null || b > a) ? b : a, null)
}
