import type { Chart, ChartTask, Identity } from '../task.ts'

/** A chart in a list. `content` is missing if the caller did not want it, or if it did not fit into the 8 MiB of an answer. */
export type ListedChart = Omit<Chart, 'content'> & Partial<Pick<Chart, 'content'>>

export interface MessageCharts {
  readonly charts: ListedChart[]
  readonly active_tasks: ChartTask[]
  readonly failed_tasks: ChartTask[]
  /** False: the contents of the oldest charts were left out, because all together exceed 8 MiB. */
  readonly content_complete: boolean
  /** Continues without a gap in a stream of the message. */
  readonly cursor: string
}

export interface MessageChartsOptions {
  /** Maximum number of charts, of active tasks and of failed tasks. */
  readonly limit: number
  /** Whether to read the contents of the charts. */
  readonly content: boolean
  /** Tasks, and charts of tasks, for which it returns false are left out. Null: the task of a chart is no longer kept. Default: all are included. */
  readonly mayRead?: ((task: ChartTask | null) => Promise<boolean>) | undefined
}

/** A chart whose content is JSON; undefined: it was left out. */
export interface ChartText {
  readonly chart: Omit<Chart, 'content'>
  readonly content: string | undefined
}

export interface Caller extends Identity {
  readonly org_id: string | null
}

/** The chart of a completed task, without its content. */
export function describe (task: ChartTask): Omit<Chart, 'content'> {
  const { task_id, message_id, user_id, org_id, visibility, adjustment_query } = task
  return {
    chart_id: task.chart_id!, task_id, message_id: message_id.toLowerCase(), user_id, org_id, visibility, adjustment_query, created_at: task.completed_at!
  }
}
