import type { Dataset } from '../datasets/dataset.ts'
import { fieldOf, subjectOf } from './fields.ts'
import { fillsFromZero, isConnected, type ChartPlan } from './plan.ts'
import { canBeSorted } from './rank.ts'
import { refusals } from './refusals.ts'

/**
 * Refuses a plan whose parts cannot be drawn together, whoever planned it: Vega would draw something anyway.
 * @throws UNKNOWN_FIELD, ADJUSTMENT_NOT_POSSIBLE
 */
export function checkPlan (plan: ChartPlan, dataset: Dataset): void {
  const { mark, x, y, color, logScale, sorted, top } = plan
  const { type } = fieldOf(dataset, x)
  const subject = subjectOf(fieldOf(dataset, x))
  const refuse = (reason: string) => { throw refusals.adjustmentNotPossible(reason) }

  if (fieldOf(dataset, y).type !== 'quantitative') refuse(`${subjectOf(fieldOf(dataset, y))} cannot be measured`)
  if (logScale && fillsFromZero(mark)) refuse(`${mark === 'bar' ? 'Bars start' : 'An area starts'} at zero, which a log scale does not have: ask for a line or a scatter chart`)
  if (sorted && !canBeSorted(plan, dataset)) refuse(`${subject} has an order of its own: only bars and points of categories can be sorted`)
  if (top !== null && isConnected(mark) && color === null) refuse(`“top ${top}” needs several ${mark}s to choose from: add “by <field>”, or ask for a bar chart`)
  if (color === null) return

  const isMeasured = fieldOf(dataset, color).type === 'quantitative'
  if (color === x && isConnected(mark)) refuse(`${subject} is the horizontal axis already`)
  if (isMeasured && !(mark === 'point' && type === 'quantitative')) refuse(`${subjectOf(fieldOf(dataset, color))} has too many values for one colour each`)
}
