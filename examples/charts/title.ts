import type { Dataset, Row } from '../datasets/dataset.ts'
import type { Draft } from './draft.ts'
import { fieldOf, isDiscrete, subjectOf } from './fields.ts'
import { rowsIn } from './years.ts'

/** The title of a chart that the user gave none. */
export function titleOf (draft: Draft, dataset: Dataset, rows: readonly Row[]): string {
  const title = describe(draft, dataset)
  return isAverage(draft, dataset, rows) ? `Average ${title.charAt(0).toLowerCase()}${title.slice(1)}` : title
}

/** A total needs no word for it; a bar that stands for many penguins does. */
function isAverage ({ x, y, color, years }: Draft, dataset: Dataset, rows: readonly Row[]): boolean {
  if (fieldOf(dataset, y).addsUpWithin !== undefined || !isDiscrete(fieldOf(dataset, x))) return false
  const places = rowsIn(years, rows).map(row => JSON.stringify([row[x], color !== null && row[color]]))
  return new Set(places).size < places.length
}

function describe ({ mark, x, y, color }: Draft, dataset: Dataset): string {
  const named = (name: string) => subjectOf(fieldOf(dataset, name))
  const lower = (name: string) => named(name).toLowerCase()
  if (mark === 'point' && fieldOf(dataset, x).type === 'quantitative') return `${named(y)} against ${lower(x)}`
  const isAlongTime = x === dataset.time && color !== null
  if (isAlongTime) return `${named(y)} by ${lower(color)}`
  return `${named(y)} by ${lower(x)}${color === null || color === x ? '' : ` and ${lower(color)}`}`
}
