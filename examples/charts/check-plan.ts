import type { Dataset } from '../datasets/dataset.ts'
import { fieldOf } from './fields.ts'
import type { ChartPlan } from './plan.ts'
import { refusals } from './refusals.ts'

/**
 * Refuses what cannot be drawn truthfully, whoever planned it: Vega would draw something anyway.
 * @throws UNKNOWN_FIELD, ADJUSTMENT_NOT_POSSIBLE
 */
export function checkPlan ({ mark, x, y, color, logScale, sorted }: ChartPlan, dataset: Dataset): void {
  const { title, type } = fieldOf(dataset, x)
  const fillsFromZero = mark === 'bar' || mark === 'area'
  const isConnected = mark === 'line' || mark === 'area'
  const refuse = (reason: string) => { throw refusals.adjustmentNotPossible(reason) }

  if (fieldOf(dataset, y).type !== 'quantitative') refuse(`${fieldOf(dataset, y).title} cannot be measured`)
  if (logScale && fillsFromZero) refuse(`A ${mark} starts at zero, which a log scale does not have: ask for a line or a scatter chart`)
  if (sorted && (isConnected || type === 'temporal' || type === 'quantitative')) refuse(`${title} has an order of its own: only bars and points of categories can be sorted`)
  if (color === null) return

  const isMeasured = fieldOf(dataset, color).type === 'quantitative'
  if (color === x && isConnected) refuse(`${title} is the horizontal axis already`)
  if (isMeasured && !(mark === 'point' && type === 'quantitative')) refuse(`${fieldOf(dataset, color).title} has too many values for one colour each`)
}
