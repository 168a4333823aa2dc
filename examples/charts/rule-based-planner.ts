import type { Dataset, Row } from '../datasets/dataset.ts'
import { parseAdjustment, type Adjustment } from './adjustment.ts'
import { fieldOf, isDiscrete, nameOfField } from './fields.ts'
import type { ChartPlan, ChartPlanner, Mark } from './plan.ts'
import { refusals } from './refusals.ts'
import { ALL_YEARS, includes } from './years.ts'

/** What fits on the page where a question names no number. */
const MOST_CATEGORIES = 10

type Draft = Omit<ChartPlan, 'title'>

/** Plans by the words of the question. No model, no network: what it can do is in this file. */
export const ruleBasedPlanner: ChartPlanner = {
  async plan ({ question, dataset, rows, adjustment }) {
    const wishes = parseAdjustment(adjustment ?? '')
    const draft = adjusted(draftFor(question, dataset), wishes, dataset)
    return { ...draft, title: wishes.title ?? titleOf(draft, dataset, rows) }
  }
}

/** The fields that a text mentions, in its order. */
function mentioned (text: string, dataset: Dataset): string[] {
  return Object.entries(dataset.fields)
    .map(([name, { words }]) => ({ name, at: text.search(new RegExp(`\\b(?:${words.join('|')})\\b`, 'i')) }))
    .filter(({ at }) => at >= 0)
    .sort((a, b) => a.at - b.at)
    .map(({ name }) => name)
}

function draftFor (question: string, dataset: Dataset): Draft {
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
  return { ...draft, mark: 'bar', x: along, years, sorted: !hasOrder, top: hasOrder ? null : MOST_CATEGORIES }
}

function adjusted (draft: Draft, wishes: Adjustment, dataset: Dataset): Draft {
  const drawn = wishes.mark ? drawnAs(draft, wishes.mark, dataset) : draft
  const { years = drawn.years, sorted = drawn.sorted, top = drawn.top, logScale = drawn.logScale } = wishes
  const color = wishes.color === undefined ? drawn.color : nameOfField(dataset, wishes.color)
  const plan = { ...drawn, years, sorted, top, logScale, color }
  // Bars and areas are read by their height above zero, which a log scale does not have.
  if (logScale && !wishes.mark && plan.mark === 'bar') return { ...plan, mark: 'point' }
  if (logScale && !wishes.mark && plan.mark === 'area') return { ...plan, mark: 'line' }
  return plan
}

/** Another mark may need another axis: bars stand on categories, lines run along time. */
function drawnAs (draft: Draft, mark: Mark, dataset: Dataset): Draft {
  const { type } = fieldOf(dataset, draft.x)
  if (mark === 'bar' && type === 'temporal') return { ...draft, mark, x: 'year' }
  if (mark === 'bar' && type === 'quantitative') return { ...draft, mark, x: dataset.group, color: null }
  if ((mark === 'line' || mark === 'area') && type === 'nominal' && dataset.time !== null) {
    return { ...draft, mark, x: dataset.time, color: draft.x, years: ALL_YEARS, sorted: false }
  }
  return { ...draft, mark }
}

function titleOf (draft: Draft, dataset: Dataset, rows: readonly Row[]): string {
  const title = subjectOf(draft, dataset)
  return isAverage(draft, dataset, rows) ? `Average ${title.charAt(0).toLowerCase()}${title.slice(1)}` : title
}

/** A total needs no word for it; that one bar stands for many penguins does. */
function isAverage ({ x, y, color, years }: Draft, dataset: Dataset, rows: readonly Row[]): boolean {
  if (fieldOf(dataset, y).addsUpWithin !== undefined || !isDiscrete(fieldOf(dataset, x))) return false
  const places = rows.filter(row => includes(years, Number(row['year']))).map(row => JSON.stringify([row[x], color !== null && row[color]]))
  return new Set(places).size < places.length
}

function subjectOf ({ mark, x, y, color }: Draft, dataset: Dataset): string {
  const named = (name: string) => fieldOf(dataset, name).title.replace(/ \(.*\)$/, '')
  const lower = (name: string) => named(name).toLowerCase()
  if (mark === 'point' && fieldOf(dataset, x).type === 'quantitative') return `${named(y)} against ${lower(x)}`
  const isAlongTime = x === dataset.time && color !== null
  if (isAlongTime) return `${named(y)} by ${lower(color)}`
  return `${named(y)} by ${lower(x)}${color === null || color === x ? '' : ` and ${lower(color)}`}`
}
