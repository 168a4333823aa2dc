import type { Chart, ChartTask, Identity } from '../task.ts'

/** A chart as a list shows it: `content` is left out where the caller did not want it, or there was no room for it. */
export type ListedChart = Omit<Chart, 'content'> & Partial<Pick<Chart, 'content'>>

export interface MessageCharts {
  readonly charts: ListedChart[]
  readonly active_tasks: ChartTask[]
  readonly failed_tasks: ChartTask[]
  /** False: contents of more than 8 MiB were left out, those of the oldest charts. */
  readonly content_complete: boolean
  /** Where a stream of the message goes on without a gap. */
  readonly cursor: string
}

export interface MessageChartsOptions {
  /** At most as many charts, active tasks and failed tasks. */
  readonly limit: number
  /** Whether the charts come with their content. */
  readonly content: boolean
  /** What it refuses is left out; null: the task of a chart, which is no longer kept. Default: nothing is refused. */
  readonly mayRead?: ((task: ChartTask | null) => Promise<boolean>) | undefined
}

/** A chart whose content is JSON as it is stored: undefined where it is left out. */
export interface ChartText {
  readonly chart: Omit<Chart, 'content'>
  readonly content: string | undefined
}

export interface Caller extends Identity {
  readonly org_id: string | null
}

export function describe (task: ChartTask): Omit<Chart, 'content'> {
  const { task_id, message_id, user_id, org_id, visibility, adjustment_query } = task
  return {
    chart_id: task.chart_id!, task_id, message_id: message_id.toLowerCase(), user_id, org_id, visibility, adjustment_query, created_at: task.completed_at!
  }
}
