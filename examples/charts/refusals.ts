import { ChartGenerationError } from 'fastify-async-charts'
import type { Dataset } from '../datasets/dataset.ts'

/** Nothing that a user can be told grows with what the user has sent. */
const quoted = (text: string) => `“${text.length > 60 ? `${text.slice(0, 60)}…` : text}”`

/** What the user is told where there can be no chart. A second try would end the same way, so none is retried. */
export const refusals = {
  unknownMessage: () =>
    new ChartGenerationError('There is no such message in this chat', { code: 'UNKNOWN_MESSAGE' }),

  questionNotUnderstood: (dataset: Dataset) =>
    new ChartGenerationError(`The question names nothing that ${dataset.title} has: ${names(dataset)}`, { code: 'QUESTION_NOT_UNDERSTOOD' }),

  adjustmentNotUnderstood: (rest: string) =>
    new ChartGenerationError(
      `${quoted(rest)} was not understood. You can say: “as a bar/line/area/scatter chart”, “only 2015”, “from 2012 to 2014”, ` +
      '“since 2013”, “until 2014”, “by <field>”, “sorted”, “top 5”, “log scale”, “title: …”', { code: 'ADJUSTMENT_NOT_UNDERSTOOD' }),

  adjustmentNotPossible: (reason: string) =>
    new ChartGenerationError(reason, { code: 'ADJUSTMENT_NOT_POSSIBLE' }),

  unknownField: (field: string, dataset: Dataset) =>
    new ChartGenerationError(`${dataset.title} has no ${quoted(field)}. It has: ${names(dataset)}`, { code: 'UNKNOWN_FIELD' }),

  noData: (asked: string, covered: string) =>
    new ChartGenerationError(`There are no rows ${asked}: the data covers ${covered}`, { code: 'NO_DATA' })
}

function names ({ fields }: Dataset): string {
  return Object.keys(fields).map(name => name.replaceAll('_', ' ')).join(', ')
}
