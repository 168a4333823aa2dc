// What is drawn is what was asked for: whatever an adjustment asks, the chart has it, or there is no chart.
import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { ChartGenerationError } from 'fastify-async-charts'
import { parseAdjustment } from '../../examples/charts/adjustment.ts'
import { checkPlan } from '../../examples/charts/check-plan.ts'
import type { Adjustment } from '../../examples/charts/clauses.ts'
import { fieldOf, nameOfField } from '../../examples/charts/fields.ts'
import type { ChartPlan } from '../../examples/charts/plan.ts'
import { ruleBasedPlanner } from '../../examples/charts/rule-based-planner.ts'
import { shapeRows, type Shaped } from '../../examples/charts/shape-rows.ts'
import { vegaLiteSpec, type VegaLiteSpec } from '../../examples/charts/vega-lite-spec.ts'
import { messages, type Message } from '../../examples/chat/messages.ts'
import type { Dataset, Row } from '../../examples/datasets/dataset.ts'
import { inAnyOrder, somePhrases } from '../helpers/phrases.ts'

const { signal } = new AbortController()
const tables = new Map(await Promise.all(messages.map(async message => [message, await message.dataset.rows(signal)] as const)))

interface Chart {
  readonly dataset: Dataset
  readonly table: readonly Row[]
  readonly plan: ChartPlan
  readonly shaped: Shaped
  readonly spec: VegaLiteSpec
}

async function draw (message: Message, adjustment: string): Promise<Chart> {
  const { question, dataset } = message
  const table = tables.get(message)!
  const plan = await ruleBasedPlanner.plan({ question, dataset, rows: table, adjustment }, signal)
  checkPlan(plan, dataset)
  const shaped = shapeRows(table, plan, dataset)
  return { dataset, table, plan, shaped, spec: vegaLiteSpec(plan, shaped, dataset, 620) }
}

const REFUSALS = ['ADJUSTMENT_NOT_POSSIBLE', 'UNKNOWN_FIELD', 'NO_DATA']

/** The chart, or why there is none. */
async function drawOrRefusal (message: Message, adjustment: string): Promise<Chart | ChartGenerationError> {
  return draw(message, adjustment).catch(error => {
    if (error instanceof ChartGenerationError && REFUSALS.includes(error.code)) return error
    throw error
  })
}

const valuesOf = (rows: readonly Row[], field: string) => [...new Set(rows.map(row => row[field]))]

/** The part of the adjustment that the chart does not show. */
const broken: Record<keyof Adjustment, (asked: never, chart: Chart) => boolean> = {
  mark: (asked: string, { spec }) => Object(spec['mark']).type !== asked,
  from: (asked: number, chart) => yearsOf(chart).some(year => year < asked) || differsFromRowsOf(chart),
  to: (asked: number, chart) => yearsOf(chart).some(year => year > asked) || differsFromRowsOf(chart),
  split: (asked: string, { dataset, plan, shaped, spec }) =>
    plan.color !== nameOfField(dataset, asked) || Object(spec.encoding['color']).field !== plan.color || !shaped.rows.every(row => Object.hasOwn(row, plan.color!)),
  sortedBy: (asked: string | null, { dataset, plan, shaped }) => {
    const order = valuesOf(shaped.rows, plan.x)
    const byAxis = asked !== null && nameOfField(dataset, asked) === plan.x
    return !isSorted(order.map(byAxis ? placeOf(dataset, plan.x) : x => -sizeOf(shaped.rows.filter(row => row[plan.x] === x), plan, dataset)))
  },
  top: (asked: number, { dataset, plan, shaped }) => {
    const isScatter = plan.mark === 'point' && fieldOf(dataset, plan.x).type === 'quantitative'
    const counts = [plan.x, ...plan.color === null ? [] : [plan.color]].map(field => valuesOf(shaped.rows, field).length)
    return (isScatter ? shaped.rows.length : Math.min(...counts)) > asked
  },
  logScale: (_asked: true, { plan, spec }) => ['bar', 'area'].includes(plan.mark) || !Object.values(spec.encoding).some(channel => Object(channel['scale']).type === 'log'),
  title: (asked: string, { spec }) => String(Object(spec['title']).text).replaceAll('\n', ' ') !== asked
}

function brokenParts (adjustment: Adjustment, chart: Chart): string[] {
  return Object.entries(adjustment).filter(([part, asked]) => broken[part as keyof Adjustment](asked as never, chart)).map(([part]) => part)
}

/** The years that the chart says it covers, and those of its rows. */
function yearsOf ({ dataset, shaped }: Chart): number[] {
  const shown = shaped.rows.flatMap(row => [row['year'], dataset.time === 'month' ? String(row['month'] ?? '').slice(0, 4) : null]).filter(Boolean)
  return [...shown, ...shaped.span?.split('–') ?? []].map(Number)
}

/** Whether other years have a share in what is drawn. */
function differsFromRowsOf ({ dataset, table, plan, shaped }: Chart): boolean {
  const { from, to } = plan.years
  const rows = table.filter(({ year }) => Number(year) >= (from ?? 0) && Number(year) <= (to ?? 9999))
  return JSON.stringify(shapeRows(rows, { ...plan, years: { from: null, to: null } }, dataset).rows) !== JSON.stringify(shaped.rows)
}

function sizeOf (rows: readonly Row[], { y }: ChartPlan, dataset: Dataset): number {
  const total = rows.reduce((sum, row) => sum + Number(row[y]), 0)
  return fieldOf(dataset, y).addsUpWithin === undefined ? total / rows.length : total
}

function placeOf (dataset: Dataset, field: string) {
  const { values, type } = fieldOf(dataset, field)
  const alphabet = valuesOf(tables.get(messages.find(message => message.dataset === dataset)!)!, field).map(String).sort((a, b) => a.localeCompare(b, 'en'))
  return (value: unknown) => type === 'quantitative' || type === 'year' ? Number(value) : (values ?? alphabet).indexOf(String(value))
}

const isSorted = (numbers: readonly number[]) => numbers.every((number, i) => i === 0 || numbers[i - 1]! <= number)

/** Phrases that the dataset has the fields for: a refusal of all others would be true and teach nothing. */
function phrasesFor ({ dataset }: Message) {
  const has = (called: string | null | undefined) => called === null || called === undefined || knows(dataset, called)
  return somePhrases(({ means }) => has(means.split) && has(means.sortedBy) && (dataset.time !== null || !('from' in means || 'to' in means)))
}

function knows (dataset: Dataset, called: string): boolean {
  try {
    return Boolean(nameOfField(dataset, called))
  } catch {
    return false
  }
}

for (const message of messages) {
  t.test(`“${message.question}” is drawn as it was asked for, or refused, in any order of words`, async t => {
    const counts = { drawn: 0, refused: 0 }
    await fc.assert(fc.asyncProperty(phrasesFor(message).chain(inAnyOrder), async ({ text, phrases }) => {
      const chart = await drawOrRefusal(message, text)
      const again = await drawOrRefusal(message, phrases.map(({ says }) => says).join(', '))
      if (chart instanceof Error || again instanceof Error) {
        counts.refused++
        assert.equal(String(again), String(chart), 'for the same reason in another order')
      } else {
        counts.drawn++
        assert.deepEqual(again.spec, chart.spec, 'the same chart in another order')
        assert.deepEqual(brokenParts(parseAdjustment(text), chart), [])
      }
    }), { numRuns: 200 })
    t.ok(counts.drawn > 25 && counts.refused > 25, JSON.stringify(counts))
  })
}

t.test('no clause is without effect: each changes the chart, or the chart has what it asks for anyway', async t => {
  for (const message of messages) {
    const plain = await draw(message, '')
    for (const suggestion of message.suggestions) t.not(JSON.stringify((await draw(message, suggestion)).spec), JSON.stringify(plain.spec), suggestion)
  }
})
