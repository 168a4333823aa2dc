import type { JsonValue } from 'fastify-async-charts'
import type { Dataset, Row } from '../datasets/dataset.ts'
import { CONFIG, FONT_SIZES, MARKS, STACKED_MARKS } from './chart-style.ts'
import { fieldOf } from './fields.ts'
import { fillsFromZero, isConnected, type ChartPlan } from './plan.ts'
import { bySize } from './rank.ts'
import type { Shaped } from './shape-rows.ts'
import { inLines, textWidth } from './text.ts'

/** Refers to its rows by the name `rows`, so that they are kept once. */
export interface VegaLiteSpec {
  readonly [key: string]: JsonValue
  readonly encoding: { [channel: string]: { [key: string]: JsonValue } }
}

type Channel = { [key: string]: JsonValue }
type Value = string | number | null

/** A plan and its rows as a Vega-Lite specification, `width` px wide. */
export function vegaLiteSpec (plan: ChartPlan, { rows, span, rank, isAverage }: Shaped, dataset: Dataset, width: number): VegaLiteSpec {
  const along = axis(plan, rows, dataset)
  const value = measure(plan, rows, dataset, isAverage)
  // Names of countries are read in a row, not with the head on one side.
  const isLying = !isConnected(plan.mark) && fieldOf(dataset, plan.x).type === 'nominal'
  const beside = isLying ? Math.max(...valuesOf(rows, plan.x).map(labelWidth)) : 45
  const channels = colors(plan, rows, dataset, { isLying, isStacked: isStacked(value), width: width - beside })
  const bars = valuesOf(rows, plan.x).length * (channels['yOffset'] === undefined ? 1 : valuesOf(rows, String(plan.color)).length)
  const subtitle = [dataset.title, span, rank].filter(part => part !== null).join(', ')
  return {
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    title: {
      text: inLines(plan.title, width, FONT_SIZES.title, true),
      subtitle: inLines(subtitle, width, FONT_SIZES.subtitle)
    },
    autosize: { type: 'fit-x', contains: 'padding' },
    width,
    height: isLying ? 24 * bars : 260,
    data: { name: 'rows' },
    ...withoutMarks(plan, rows),
    mark: isStacked(value) ? STACKED_MARKS[plan.mark] ?? MARKS[plan.mark] : MARKS[plan.mark],
    encoding: {
      ...(isLying ? { y: along, x: value } : { x: along, y: value }),
      ...channels
    },
    config: CONFIG
  }
}

const isStacked = (value: Channel) => value['stack'] === 'zero'

function axis ({ mark, x }: ChartPlan, rows: readonly Row[], dataset: Dataset): Channel {
  const { title, type } = fieldOf(dataset, x)
  const channel = { field: x, title }
  switch (type) {
    // UTC everywhere: the chart is the same wherever its worker stands.
    case 'temporal': return { ...channel, type, title: null, scale: { type: 'utc' }, axis: { format: '%Y', tickCount: 'year', grid: false } }
    case 'year': return isConnected(mark)
      ? { ...channel, type: 'quantitative', title: null, scale: { zero: false, nice: false }, axis: { format: 'd', tickMinStep: 1, grid: false } }
      : { ...channel, type: 'ordinal', title: null, scale: { domain: valuesOf(rows, x) }, axis: { labelAngle: 0, labelOverlap: true } }
    case 'quantitative': return { ...channel, type, scale: { zero: false } }
    case 'ordinal': return { ...channel, type, title: null, scale: { domain: valuesOf(rows, x) }, axis: { labelAngle: 0, labelOverlap: true } }
    case 'nominal': return { ...channel, type, title: null, scale: { domain: valuesOf(rows, x) }, axis: { ticks: false, labelPadding: 6 } }
  }
}

function measure (plan: ChartPlan, rows: readonly Row[], dataset: Dataset, isAverage: boolean): Channel {
  const { mark, y, logScale } = plan
  const { title } = fieldOf(dataset, y)
  return {
    field: y,
    type: 'quantitative',
    title: isAverage ? `Average ${title.charAt(0).toLowerCase()}${title.slice(1)}` : title,
    scale: logScale ? { type: 'log', nice: false } : { zero: fillsFromZero(mark) },
    ...(fillsFromZero(mark) ? { stack: sharesPlaces(plan, rows) && addsUpOver(plan, dataset) ? 'zero' : null } : {}),
    axis: { tickCount: 6, domain: false, ticks: false, ...(logScale ? { format: '~r' } : {}) }
  }
}

interface Layout {
  readonly isLying: boolean
  readonly isStacked: boolean
  /** px above the marks, which begin beside the labels of their axis. */
  readonly width: number
}

function colors (plan: ChartPlan, rows: readonly Row[], dataset: Dataset, { isLying, isStacked, width }: Layout): { [channel: string]: Channel } {
  const { mark, color } = plan
  if (color === null) return {}
  const { type, title, colors } = fieldOf(dataset, color)
  if (type === 'quantitative') return { color: { field: color, type, legend: { title } } }

  const values = legendOf(plan, rows, dataset, isStacked)
  // Read from left to right it goes down the stack: what is largest lies on the axis.
  if (isStacked && !isLying) values.reverse()
  const channel = {
    field: color,
    type: type === 'year' ? 'ordinal' : 'nominal',
    sort: values,
    legend: { columns: columnsOf(values, width) },
    ...(colors ? { scale: { domain: values, range: values.map(value => colors[String(value)] ?? null) } } : {})
  }
  if (isStacked) return { color: channel, order: { field: `color_${color}_sort_index`, sort: isLying ? 'ascending' : 'descending' } }
  const isSideBySide = mark === 'bar' && sharesPlaces(plan, rows) && !addsUpOver(plan, dataset)
  return { color: channel, ...(isSideBySide ? { [isLying ? 'yOffset' : 'xOffset']: { field: color, type: 'nominal', sort: values } } : {}) }
}

/** The values that have a colour: where they lie one above the other by their size, else as they come. */
function legendOf (plan: ChartPlan, rows: readonly Row[], dataset: Dataset, isStacked: boolean): Value[] {
  const color = plan.color!
  const unseen = nothing(plan, rows)
  const seen = rows.filter(row => !unseen.includes(row[color] ?? null))
  const isOrdered = isStacked || (plan.mark === 'line' && fieldOf(dataset, color).type === 'nominal')
  return valuesOf(isOrdered ? bySize(seen, color, plan, dataset).flat() : seen, color)
}

/** The colours whose bars and areas are all of no height. */
function nothing ({ mark, y, color }: ChartPlan, rows: readonly Row[]): Value[] {
  if (color === null || !fillsFromZero(mark)) return []
  return valuesOf(rows, color).filter(value => rows.every(row => row[color] !== value || row[y] === 0))
}

/** An area of no height still has an edge, in a colour that is not in the legend. */
function withoutMarks (plan: ChartPlan, rows: readonly Row[]): { transform?: JsonValue } {
  const { color } = plan
  const unseen = nothing(plan, rows)
  return color === null || unseen.length === 0 ? {} : { transform: [{ filter: { not: { field: color, oneOf: unseen } } }] }
}

/** Sectors and sources are parts of a whole; years are not, and means are not. */
function addsUpOver ({ y, color }: ChartPlan, dataset: Dataset): boolean {
  return color !== null && fieldOf(dataset, y).addsUpWithin !== undefined && fieldOf(dataset, color).type === 'nominal'
}

/** Whether several marks have the same place on the axis. */
function sharesPlaces ({ x }: ChartPlan, rows: readonly Row[]): boolean {
  return valuesOf(rows, x).length < rows.length
}

/** As many as fit side by side, each with its symbol and a gap. */
function columnsOf (values: readonly Value[], width: number): number {
  return Math.max(1, Math.floor(width / (Math.max(...values.map(labelWidth)) + 30)))
}

const labelWidth = (value: Value) => textWidth(String(value), FONT_SIZES.label)

/** In the order of the rows, which is that of the chart. */
function valuesOf (rows: readonly Row[], field: string): Value[] {
  return [...new Set(rows.map(row => row[field] ?? null))]
}
