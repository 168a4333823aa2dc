import type { TaskStore } from '../store/task-store.ts'
import { ChartVisibility, type Chart, type ChartTask, type Identity } from '../task.ts'
import type { ChartStore } from './chart-store.ts'
import { cursorAt } from './group-feed.ts'

/** A chart as a list shows it: `content` is left out where the caller did not want it. */
export type ListedChart = Omit<Chart, 'content'> & Partial<Pick<Chart, 'content'>>

export interface MessageCharts {
  readonly charts: ListedChart[]
  readonly active_tasks: ChartTask[]
  readonly failed_tasks: ChartTask[]
  /** The tasks of the charts by their ids, those that are still kept. */
  readonly chart_tasks: ReadonlyMap<string, ChartTask>
  /** Where a stream of the message goes on without a gap. */
  readonly cursor: string
}

const byId = (tasks: readonly ChartTask[]) => new Map(tasks.map(task => [task.task_id, task]))

interface Caller extends Identity {
  readonly org_id: string | null
}

function describe (task: ChartTask): Omit<Chart, 'content'> {
  const { task_id, message_id, user_id, org_id, visibility, adjustment_query } = task
  return {
    chart_id: task.chart_id!, task_id, message_id: message_id.toLowerCase(), user_id, org_id, visibility, adjustment_query, created_at: task.completed_at!
  }
}

/** Finished charts: beside the tasks, or in the host's store. A chart that its task does not name is never shown. */
export class Charts {
  readonly #store: TaskStore
  readonly #chartStore: ChartStore | undefined

  constructor (store: TaskStore, chartStore: ChartStore | undefined) {
    this.#store = store
    this.#chartStore = chartStore
  }

  /** The chart that a task names; null when it has none, or it is gone. */
  async of (task: ChartTask): Promise<Chart | null> {
    if (task.chart_id === null) return null
    if (this.#chartStore) return await this.#chartStore.get(task.chart_id) ?? null
    const content = await this.#store.readContent(task.chart_id)
    return content === null ? null : { ...describe(task), content: JSON.parse(content) }
  }

  /** Ids are read at once, contents after: large charts must not block the store. */
  async ofMessage (message_id: string, caller: Caller, { limit, content }: { limit: number, content: boolean }): Promise<MessageCharts> {
    const { active, completed, failed, read_at } = await this.#store.readMessage(message_id, caller.user_id, caller.org_id, limit)
    if (!this.#chartStore) {
      const charts = content ? await Promise.all(completed.map(task => this.of(task))) : completed.map(describe)
      return { charts: charts.filter(chart => chart !== null), active_tasks: active, failed_tasks: failed, chart_tasks: byId(completed), cursor: cursorAt(read_at) }
    }
    const { charts, tasks } = await this.#kept(this.#chartStore, message_id, caller, limit)
    // What has completed since the tasks were read is among the charts.
    const done = new Set(charts.map(chart => chart.task_id))
    return {
      charts: content ? charts : charts.map(({ content: _content, ...chart }) => chart),
      active_tasks: active.filter(task => !done.has(task.task_id)),
      failed_tasks: failed,
      chart_tasks: byId(tasks),
      cursor: cursorAt(read_at)
    }
  }

  async #kept (chartStore: ChartStore, message_id: string, caller: Caller, limit: number): Promise<{ charts: Chart[], tasks: ChartTask[] }> {
    const found = await chartStore.findByMessage(message_id, caller)
    const allowed = found.filter(chart => chart.user_id === caller.user_id ||
      (caller.org_id !== null && chart.org_id === caller.org_id && chart.visibility !== ChartVisibility.PRIVATE))
    const tasks = await this.#store.read(allowed.map(chart => chart.task_id))
    // A task that is no longer kept cannot disown its chart.
    const charts = allowed
      .filter((chart, i) => !tasks[i] || tasks[i].chart_id === chart.chart_id)
      .sort((a, b) => b.created_at.localeCompare(a.created_at))
      .slice(0, limit)
    return { charts, tasks: tasks.filter(task => task !== null) }
  }
}
