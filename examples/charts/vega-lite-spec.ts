import type { JsonValue } from 'fastify-async-charts'
import type { Dataset, Row } from '../datasets/dataset.ts'
import { CONFIG, MARKS, STACKED_MARKS } from './chart-style.ts'
import { fieldOf } from './fields.ts'
import type { ChartPlan, Mark } from './plan.ts'
import type { Shaped } from './shape-rows.ts'

/** Refers to its rows by the name `rows`, so that they are kept once. */
export interface VegaLiteSpec {
  readonly [key: string]: JsonValue
  readonly encoding: { [channel: string]: { [key: string]: JsonValue } }
}

type Channel = { [key: string]: JsonValue }

/** A plan and its rows as a Vega-Lite specification. */
export function vegaLiteSpec (wanted: ChartPlan, { rows, span }: Shaped, dataset: Dataset): VegaLiteSpec {
  const plan = { ...wanted, mark: visibleMark(wanted, rows) }
  const along = axis(plan, rows, dataset)
  const value = measure(plan, rows, dataset)
  // Names of countries are read in a row, not with the head on one side.
  const isLying = isStanding(plan.mark) && fieldOf(dataset, plan.x).type === 'nominal'
  const subtitle = span === null ? dataset.title : `${dataset.title}, ${span}`
  return {
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    title: { text: plan.title, subtitle },
    width: 420,
    height: isLying ? { step: 24 } : 260,
    data: { name: 'rows' },
    mark: value['stack'] === 'zero' ? STACKED_MARKS[plan.mark] ?? MARKS[plan.mark] : MARKS[plan.mark],
    encoding: {
      ...(isLying ? { y: along, x: value } : { x: along, y: value }),
      ...colors(plan, rows, dataset, isLying)
    },
    config: CONFIG
  }
}

/** A line between one place and itself cannot be seen. */
function visibleMark ({ mark, x, logScale }: ChartPlan, rows: readonly Row[]): Mark {
  if (isStanding(mark) || valuesOf(rows, x).length > 1) return mark
  return logScale ? 'point' : 'bar'
}

const isStanding = (mark: Mark) => mark === 'bar' || mark === 'point'

function axis ({ mark, x }: ChartPlan, rows: readonly Row[], dataset: Dataset): Channel {
  const { title, type } = fieldOf(dataset, x)
  const channel = { field: x, title }
  switch (type) {
    // UTC everywhere: the chart is the same wherever its worker stands.
    case 'temporal': return { ...channel, type, title: null, scale: { type: 'utc' }, axis: { format: '%Y', tickCount: 'year', grid: false } }
    case 'year': return mark === 'bar' || mark === 'point'
      ? { ...channel, type: 'ordinal', title: null, sort: valuesOf(rows, x), axis: { labelAngle: 0, labelOverlap: true } }
      : { ...channel, type: 'quantitative', title: null, scale: { zero: false, nice: false }, axis: { format: 'd', tickMinStep: 1, grid: false } }
    case 'quantitative': return { ...channel, type, scale: { zero: false } }
    case 'ordinal': return { ...channel, type, title: null, sort: valuesOf(rows, x), axis: { labelAngle: 0 } }
    case 'nominal': return { ...channel, type, title: null, sort: valuesOf(rows, x), axis: { ticks: false, labelPadding: 6 } }
  }
}

function measure (plan: ChartPlan, rows: readonly Row[], dataset: Dataset): Channel {
  const { mark, y, logScale } = plan
  const fillsFromZero = mark === 'bar' || mark === 'area'
  return {
    field: y,
    type: 'quantitative',
    title: fieldOf(dataset, y).title,
    scale: logScale ? { type: 'log', nice: false } : { zero: fillsFromZero },
    ...(fillsFromZero ? { stack: sharesPlaces(plan, rows) && addsUpOver(plan, dataset) ? 'zero' : null } : {}),
    axis: { tickCount: 6, domain: false, ticks: false, ...(logScale ? { format: '~r' } : {}) }
  }
}

function colors (plan: ChartPlan, rows: readonly Row[], dataset: Dataset, isLying: boolean): { [channel: string]: Channel } {
  const { mark, color } = plan
  if (color === null) return {}
  const { type, title } = fieldOf(dataset, color)
  const values = valuesOf(rows, color)
  const category = { field: color, sort: values, legend: { columns: columnsOf(values) } }
  const channels = {
    color: type === 'quantitative'
      ? { field: color, type, scale: { scheme: 'viridis' }, legend: { title } }
      : type === 'year'
        ? { ...category, type: 'ordinal', scale: { scheme: 'viridis' } }
        : { ...category, type: 'nominal' }
  }
  const isSideBySide = mark === 'bar' && sharesPlaces(plan, rows) && !addsUpOver(plan, dataset)
  return isSideBySide ? { ...channels, [isLying ? 'yOffset' : 'xOffset']: { field: color, type: 'nominal', sort: values } } : channels
}

/** Sectors and sources are parts of a whole; years are not, and means are not. */
function addsUpOver ({ y, color }: ChartPlan, dataset: Dataset): boolean {
  return color !== null && fieldOf(dataset, y).addsUpWithin !== undefined && fieldOf(dataset, color).type === 'nominal'
}

/** Whether several marks have the same place on the axis. */
function sharesPlaces ({ x }: ChartPlan, rows: readonly Row[]): boolean {
  return valuesOf(rows, x).length < rows.length
}

/** Without a canvas Vega takes text for wider than it is; what it takes for too wide would widen the chart. */
function columnsOf (values: readonly (string | number | null)[]): number {
  const longest = Math.max(...values.map(value => String(value).length))
  return Math.max(1, Math.floor(520 / (longest * 9.6 + 34)))
}

/** In the order of the rows, which is that of the chart. */
function valuesOf (rows: readonly Row[], field: string): (string | number | null)[] {
  return [...new Set(rows.map(row => row[field] ?? null))]
}
