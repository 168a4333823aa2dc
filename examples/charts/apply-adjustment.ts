import type { Dataset, Row } from '../datasets/dataset.ts'
import type { Adjustment } from './clauses.ts'
import type { Draft } from './draft.ts'
import { fieldOf, nameOfField } from './fields.ts'
import { isConnected, type Mark } from './plan.ts'
import { canBeSorted, ranksCategories } from './rank.ts'
import { refusals } from './refusals.ts'
import { ALL_YEARS, rowsIn, type Years } from './years.ts'

/**
 * The draft with all that the user asked for. Whatever the user did not mention may follow from that: another axis, another
 * mark. What the user did mention stays as it is; `checkPlan` and `shapeRows` refuse what cannot be drawn together.
 * @throws UNKNOWN_FIELD, ADJUSTMENT_NOT_POSSIBLE
 */
export function applyAdjustment (draft: Draft, adjustment: Adjustment, dataset: Dataset, rows: readonly Row[]): Draft {
  const { mark, split, top, logScale } = adjustment
  const drawn = mark === undefined ? draft : withMark(draft, mark, dataset)
  const wanted = {
    ...drawn,
    years: yearsWanted(adjustment) ?? drawn.years,
    color: split === undefined ? drawn.color : nameOfField(dataset, split),
    top: top ?? drawn.top,
    logScale: logScale ?? drawn.logScale
  }
  const plan = mark === undefined ? withMark(wanted, suitableMark(wanted, rows), dataset) : wanted
  return { ...plan, sorted: isSorted(plan, adjustment, dataset) }
}

/** Years that the user names replace those of the question, both ends of them. */
function yearsWanted ({ from, to }: Adjustment): Years | null {
  return from === undefined && to === undefined ? null : { from: from ?? null, to: to ?? null }
}

/** Another mark may need another axis: bars stand on categories, lines run along time. */
function withMark (draft: Draft, mark: Mark, dataset: Dataset): Draft {
  if (mark === draft.mark) return draft
  const { type } = fieldOf(dataset, draft.x)
  if (mark === 'bar' && type === 'temporal') return { ...draft, mark, x: 'year' }
  if (mark === 'bar' && type === 'quantitative') return { ...draft, mark, x: dataset.group, color: null }
  if (isConnected(mark) && type === 'nominal' && dataset.time !== null) {
    return { ...draft, mark, x: dataset.time, color: draft.x, years: ALL_YEARS, sorted: false }
  }
  return { ...draft, mark }
}

/** A log scale has no zero for bars and areas to start from, and a line needs two places. */
function suitableMark ({ mark, x, years, logScale }: Draft, rows: readonly Row[]): Mark {
  const hasOnePlace = new Set(rowsIn(years, rows).map(row => row[x])).size === 1
  const isFlat = isConnected(mark) && hasOnePlace
  if (logScale) return mark === 'bar' || isFlat ? 'point' : mark === 'area' ? 'line' : mark
  return isFlat ? 'bar' : mark
}

/** The largest of some categories come with the largest first, unless the user asks for the order of the axis. */
function isSorted (plan: Draft, { sortedBy, top }: Adjustment, dataset: Dataset): boolean {
  if (sortedBy === undefined) return plan.sorted || (top !== undefined && ranksCategories(plan, dataset))
  if (sortedBy === null) return true
  const field = nameOfField(dataset, sortedBy)
  if (field !== plan.x && field !== plan.y) {
    const possible = canBeSorted(plan, dataset) ? [plan.x, plan.y] : [plan.x]
    throw refusals.adjustmentNotPossible(
      `The chart cannot be sorted by ${lower(field)}, only by ${possible.map(lower).join(' or by ')}`)
  }
  return field === plan.y
}

const lower = (field: string) => field.replaceAll('_', ' ')
