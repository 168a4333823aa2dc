import { errors } from '../errors.ts'
import type { EnqueueRefusal, TaskDraft } from '../store/task-store.ts'
import { aFewAtATime } from './a-few-at-a-time.ts'
import type { HostCharts } from './host-charts.ts'

/** Times that the store may name other charts: more say that it does not come to an end. */
const MAX_ROUNDS = 10

type ChartCheckRequired = Extract<EnqueueRefusal, { outcome: 'chart_check_required' }>
const isChartCheckRequired = (result: { outcome: string }): result is ChartCheckRequired => result.outcome === 'chart_check_required'

/**
 * Enqueues drafts. Where the outcome depends on charts in the host's `chartStore`, asks for them and enqueues again; the store may then
 * name other charts, because tasks have completed meanwhile.
 * @throws CHARTS_ERR_STORE_UNAVAILABLE if the store never has enough
 */
export async function enqueueWithChartChecks<T extends { outcome: string }> (
  drafts: TaskDraft[], enqueue: (drafts: TaskDraft[]) => Promise<T>, hostCharts: HostCharts | null
): Promise<Exclude<T, ChartCheckRequired>> {
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const result: T | ChartCheckRequired = await enqueue(drafts)
    if (!isChartCheckRequired(result)) return result as Exclude<T, ChartCheckRequired>
    const chart_ids = [...new Set(result.charts.map(({ chart_id }) => chart_id))]
    const kept = await aFewAtATime(chart_ids, async chart_id => await hostCharts?.get(chart_id) != null)
    const checks = new Map(chart_ids.map((chart_id, i) => [chart_id, { chart_id, kept: kept[i]! }]))
    const checkOf = new Map(result.charts.map(({ task_id, chart_id }) => [task_id, checks.get(chart_id)!]))
    drafts = drafts.map(draft => ({ ...draft, chart_check: checkOf.get(draft.task_id) ?? draft.chart_check }))
  }
  throw new errors.CHARTS_ERR_STORE_UNAVAILABLE({ cause: new Error(`the store asked for charts ${MAX_ROUNDS} times`) })
}
