import { setTimeout as delay } from 'node:timers/promises'
import type { GenerateChart, GenerateContext, JsonValue } from 'fastify-async-charts'
import { messages } from '../chat/messages.ts'
import type { Row } from '../datasets/dataset.ts'
import { checkPlan } from './check-plan.ts'
import type { ChartPlanner } from './plan.ts'
import { refusals } from './refusals.ts'
import { renderSvg } from './render-svg.ts'
import { ruleBasedPlanner } from './rule-based-planner.ts'
import { shapeRows } from './shape-rows.ts'
import { vegaLiteSpec, type VegaLiteSpec } from './vega-lite-spec.ts'

export interface ChartGeneratorOptions {
  /** Default: by rules, without a model. */
  planner?: ChartPlanner
  /** Minimum ms for each step, so that you can watch. Default 0. */
  pace?: number
}

/** The content of a chart in this example: `spec` draws `rows`; `svg` is the drawing, and `narrow_svg` the one for a phone. */
export interface ChartContent {
  readonly title: string
  readonly spec: VegaLiteSpec
  readonly svg: string
  readonly narrow_svg: string
  readonly rows: readonly Row[]
}

/** px. A drawing for a desk, scaled down to a phone, would be too small to read. */
const WIDTHS = { wide: 620, narrow: 300 }

/** The steps in their order, with the overall progress at the end of each. */
const STEPS = { data_extraction: 25, llm_generation: 60, schema_creation: 75, rendering: 99 }
type Step = keyof typeof STEPS

/** From a message of the chat to a chart. */
export function chartGenerator ({ planner = ruleBasedPlanner, pace = 0 }: ChartGeneratorOptions = {}): GenerateChart {
  return async ({ message_id, adjustment_query }, context) => {
    const { signal } = context
    const message = messages.find(({ id }) => id === message_id)
    if (!message) throw refusals.unknownMessage()
    const { question, dataset } = message
    const inStep = stepper(context, pace)

    const table = await inStep('data_extraction', () => dataset.rows(signal))
    const plan = await inStep('llm_generation', () => planner.plan({ question, dataset, rows: table, adjustment: adjustment_query }, signal))
    const { spec, narrow, rows } = await inStep('schema_creation', async () => {
      checkPlan(plan, dataset)
      const shaped = shapeRows(table, plan, dataset)
      const specFor = (width: number) => vegaLiteSpec(plan, shaped, dataset, width)
      return { spec: specFor(WIDTHS.wide), narrow: specFor(WIDTHS.narrow), rows: shaped.rows }
    })
    const [svg, narrow_svg] = await inStep('rendering', () => Promise.all([renderSvg(spec, rows), renderSvg(narrow, rows)]))
    return { title: plan.title, spec, svg, narrow_svg, rows } satisfies ChartContent as unknown as JsonValue
  }
}

/** Runs one step after the other, reports their progress, and stops before the next one when the chart is cancelled. */
function stepper ({ signal, progress }: GenerateContext, pace: number) {
  let reached = 0
  return async <T>(step: Step, work: () => Promise<T>): Promise<T> => {
    const begun = reached
    const report = (step_progress: number) => {
      reached = begun + (STEPS[step] - begun) * step_progress / 100
      progress({ step, step_progress, progress: Math.round(reached) })
    }
    report(0)
    for (const part of [20, 40, 60, 80]) {
      signal.throwIfAborted()
      if (pace > 0) await delay(pace / 4, undefined, { signal })
      report(part)
    }
    signal.throwIfAborted()
    const result = await work()
    report(100)
    return result
  }
}
