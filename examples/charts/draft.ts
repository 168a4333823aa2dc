import type { Dataset } from '../datasets/dataset.ts'
import { fieldOf } from './fields.ts'
import type { ChartPlan } from './plan.ts'
import { refusals } from './refusals.ts'
import { ALL_YEARS } from './years.ts'

/** What fits on the page where a question names no number. */
const MAX_CATEGORIES = 10

/** A plan before its title, which depends on everything else. */
export type Draft = Omit<ChartPlan, 'title'>

/** The chart that the question alone gives, by its words. @throws QUESTION_NOT_UNDERSTOOD */
export function draftFor (question: string, dataset: Dataset): Draft {
  const names = mentioned(question, dataset)
  const [y, other] = names.filter(name => fieldOf(dataset, name).type === 'quantitative')
  const along = names.find(name => fieldOf(dataset, name).type !== 'quantitative') ?? dataset.group
  if (y === undefined) throw refusals.questionNotUnderstood(dataset)

  const draft = { y, years: ALL_YEARS, color: null, sorted: false, top: null, logScale: false }
  if (other !== undefined) return { ...draft, mark: 'point', x: other, color: dataset.group }
  if (dataset.time !== null && /\bchang|\btrend|\bover the years\b/i.test(question)) {
    return { ...draft, mark: /\bmix\b|\bshare\b/i.test(question) ? 'area' : 'line', x: dataset.time, color: dataset.group }
  }
  const year = Number(/\b(?:19|20)\d\d\b/.exec(question)?.[0] ?? Number.NaN)
  const years = Number.isNaN(year) ? ALL_YEARS : { from: year, to: year }
  const hasOrder = fieldOf(dataset, along).type !== 'nominal'
  return { ...draft, mark: 'bar', x: along, years, sorted: !hasOrder, top: hasOrder ? null : MAX_CATEGORIES }
}

/** The fields that a text mentions, in its order. */
function mentioned (text: string, dataset: Dataset): string[] {
  return Object.entries(dataset.fields)
    .map(([name, { words }]) => ({ name, at: text.search(new RegExp(`\\b(?:${words.join('|')})\\b`, 'i')) }))
    .filter(({ at }) => at >= 0)
    .sort((a, b) => a.at - b.at)
    .map(({ name }) => name)
}
