import { ChartGenerationError } from 'fastify-async-charts'
import type { Dataset } from '../datasets/dataset.ts'
import type { Part } from './clauses.ts'

/** A message must not grow with what the user sent. */
const quoted = (text: string) => `“${text.length > 60 ? `${text.slice(0, 60)}…` : text}”`

/** What a chart can have only one of, named after two clauses that disagree about it. */
const ONLY_ONE: Record<Part, string> = {
  mark: 'a chart is drawn in one way',
  from: 'a chart has one span of years, such as “2012 to 2015”',
  to: 'a chart has one span of years, such as “2012 to 2015”',
  split: 'a chart is split by one field',
  sortedBy: 'a chart has one order',
  top: 'a chart has one “top”',
  logScale: 'a chart has one scale',
  title: 'a chart has one title'
}

/** Why there can be no chart, in words for the user. Another attempt would end the same way, so none is retryable. */
export const refusals = {
  unknownMessage: () =>
    new ChartGenerationError('There is no such message in this chat', { code: 'UNKNOWN_MESSAGE' }),

  questionNotUnderstood: (dataset: Dataset) =>
    new ChartGenerationError(`The question names nothing that ${dataset.title} has: ${names(dataset)}`, { code: 'QUESTION_NOT_UNDERSTOOD' }),

  /** `rest` begins with what was not understood; what follows it after a comma is not to blame. */
  adjustmentNotUnderstood: (rest: string) =>
    new ChartGenerationError(
      `${quoted(/^[^,;]*[^,; ]/.exec(rest)?.[0] ?? rest)} was not understood. You can say: “as a bar/line/area/scatter chart”, “in 2015”, “from 2012 to 2014”, ` +
      '“since 2013”, “until 2014”, “by <field>”, “sorted”, “sorted by <field>”, “top 5”, “log scale”, “title: …”', { code: 'ADJUSTMENT_NOT_UNDERSTOOD' }),

  adjustmentContradictory: (first: string, second: string, part: Part) =>
    new ChartGenerationError(`${quoted(first)} and ${quoted(second)} contradict each other: ${ONLY_ONE[part]}`, { code: 'ADJUSTMENT_CONTRADICTORY' }),

  adjustmentNotPossible: (reason: string) =>
    new ChartGenerationError(reason, { code: 'ADJUSTMENT_NOT_POSSIBLE' }),

  titleTooLong: (max: number) =>
    new ChartGenerationError(`A title can have at most ${max} characters`, { code: 'ADJUSTMENT_NOT_POSSIBLE' }),

  unknownField: (field: string, dataset: Dataset) =>
    new ChartGenerationError(`${dataset.title} has no ${quoted(field)}. It has: ${names(dataset)}`, { code: 'UNKNOWN_FIELD' }),

  noData: (asked: string, reason: string) =>
    new ChartGenerationError(`There are no rows ${asked}: ${reason}`, { code: 'NO_DATA' })
}

function names ({ fields }: Dataset): string {
  return Object.keys(fields).map(name => name.replaceAll('_', ' ')).join(', ')
}
