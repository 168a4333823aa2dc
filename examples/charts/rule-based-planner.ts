import { parseAdjustment } from './adjustment.ts'
import { applyAdjustment } from './apply-adjustment.ts'
import { draftFor } from './draft.ts'
import type { ChartPlanner } from './plan.ts'
import { titleOf } from './title.ts'

/** Plans by the words of the question, without a model and without a network. */
export const ruleBasedPlanner: ChartPlanner = {
  async plan ({ question, dataset, rows, adjustment: text }) {
    const adjustment = parseAdjustment(text ?? '')
    const draft = applyAdjustment(draftFor(question, dataset), adjustment, dataset, rows)
    return { ...draft, title: adjustment.title ?? titleOf(draft, dataset, rows) }
  }
}
