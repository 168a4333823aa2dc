// A generator whose charts a model plans. What the model says is paid for once, and never trusted.
import { ChartGenerationError, type GenerateChart } from 'fastify-async-charts'
import type { OpenAI } from 'openai'
import { zodResponseFormat } from 'openai/helpers/zod'
import { z } from 'zod'
import { askModel, type Usage } from './ask-model.ts'

export type Row = Record<string, string | number>

const Plan = z.object({ title: z.string().max(100), x: z.string(), y: z.string() })
export type Plan = z.infer<typeof Plan>

export interface LlmOptions {
  client: OpenAI
  model: string
  /** The data of a message. */
  rowsOf: (message_id: string, signal: AbortSignal) => Promise<Row[]>
  draw: (plan: Plan, rows: readonly Row[]) => string
  onUsage?: (usage: Usage) => void
  /** ms that one answer may take. */
  timeout?: number
}

/** How long an answer usually is: only for the progress bar. */
const USUAL_CHARACTERS = 120

export function chartGenerator ({ client, model, rowsOf, draw, onUsage, timeout = 60_000 }: LlmOptions): GenerateChart {
  return async ({ task_id, message_id, adjustment_query }, { signal, step, progress, log }) => {
    const rows = await step('data_extraction', () => rowsOf(message_id, signal))
    if (rows.length === 0) throw new ChartGenerationError('No rows in this date range', { code: 'NO_DATA' })

    // The step stores the answer before it is checked: an answer that cannot be used was paid for, too.
    const ask = (name: string, messages: OpenAI.ChatCompletionMessageParam[]) => step(name, () => askModel({
      client,
      model,
      messages,
      format: zodResponseFormat(Plan, 'plan'),
      key: `${task_id}:${name}`,
      timeout,
      signal,
      onText (length) {
        const share = Math.min(1, length / USUAL_CHARACTERS)
        progress({ step: name, step_progress: share * 99, progress: 20 + share * 60 })
      },
      onUsage (usage) {
        log.info({ ...usage, step: name }, 'model answered')
        onUsage?.(usage)
      }
    }))

    const messages = promptOf(rows, adjustment_query)
    const answer = await ask('llm_generation', messages)
    let plan = planOf(answer, rows)
    if ('fault' in plan) {
      log.warn({ fault: plan.fault }, 'the plan of the model cannot be used, it is asked once more')
      plan = planOf(await ask('llm_correction', [
        ...messages,
        { role: 'assistant', content: answer },
        { role: 'user', content: `This cannot be used: ${plan.fault}. Answer again.` }
      ]), rows)
    }
    // Another attempt would get the two remembered answers.
    if ('fault' in plan) throw new ChartGenerationError('The model found no chart for this', { code: 'BAD_MODEL_OUTPUT', cause: new Error(plan.fault) })

    progress({ step: 'rendering', progress: 85 })
    return { title: plan.title, svg: draw(plan, rows) }
  }
}

function promptOf (rows: readonly Row[], wish: string | null): OpenAI.ChatCompletionMessageParam[] {
  return [
    { role: 'system', content: `You plan bar charts. The columns are ${Object.keys(rows[0]!).join(', ')}. x is a column of names, y one of numbers.` },
    { role: 'user', content: wish ?? 'The chart that says most' }
  ]
}

/** The plan, or what is wrong with it, in words for the model. */
function planOf (answer: string, rows: readonly Row[]): Plan | { fault: string } {
  let json: unknown
  try {
    json = JSON.parse(answer)
  } catch {
    return { fault: 'it is no JSON' }
  }
  const { data: plan, error } = Plan.safeParse(json)
  if (!plan) return { fault: z.prettifyError(error) }
  for (const column of [plan.x, plan.y]) {
    if (!Object.hasOwn(rows[0]!, column)) return { fault: `there is no column ${column}` }
  }
  return rows.every(row => typeof row[plan.y] === 'number') ? plan : { fault: `${plan.y} is no column of numbers` }
}
