import type { TaskStore } from '../store/task-store.ts'
import { ChartVisibility, type Chart, type ChartTask, type Identity } from '../task.ts'
import { aFewAtATime } from './a-few-at-a-time.ts'
import { cursorAt } from './group-feed.ts'
import type { HostCharts } from './host-charts.ts'

/** A chart as a list shows it: `content` is left out where the caller did not want it. */
export type ListedChart = Omit<Chart, 'content'> & Partial<Pick<Chart, 'content'>>

export interface MessageCharts {
  readonly charts: ListedChart[]
  readonly active_tasks: ChartTask[]
  readonly failed_tasks: ChartTask[]
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

/** Tasks of a host's charts that are read at once. */
const PAGE = 100

interface FoundChart {
  readonly chart: ListedChart
  /** null when it is no longer kept. */
  readonly task: ChartTask | null
}

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
  readonly #hostCharts: HostCharts | null

  constructor (store: TaskStore, hostCharts: HostCharts | null) {
    this.#store = store
    this.#hostCharts = hostCharts
  }

  /** The chart that a task names; null when it has none, or it is gone. */
  async of (task: ChartTask): Promise<Chart | null> {
    if (task.chart_id === null) return null
    return this.#hostCharts ? this.#hostCharts.get(task.chart_id) : this.#withContent(describe(task))
  }

  /** Ids are read at once, contents after: large charts must not block the store. */
  async ofMessage (message_id: string, caller: Caller, { limit, content, mayRead = everything }: MessageChartsOptions): Promise<MessageCharts> {
    const { active, completed, failed, read_at } = await this.#store.readMessage(message_id, caller.user_id, caller.org_id, limit)
    const found: FoundChart[] = this.#hostCharts
      ? await this.#kept(this.#hostCharts, message_id, caller, limit)
      : completed.map(task => ({ chart: describe(task), task }))
    // What has completed since the tasks were read is among the charts.
    const done = new Set(found.map(({ chart }) => chart.task_id))
    const [shown, active_tasks, failed_tasks] = await Promise.all([
      filter(found, ({ task }) => mayRead(task)),
      filter(active.filter(task => !done.has(task.task_id)), mayRead),
      filter(failed, mayRead)
    ])
    const listed = shown.map(({ chart }) => content ? chart : withoutContent(chart))
    const charts = content && !this.#hostCharts ? await aFewAtATime(listed, chart => this.#withContent(chart)) : listed
    return { charts: charts.filter(chart => chart !== null), active_tasks, failed_tasks, cursor: cursorAt(read_at) }
  }

  async #withContent (chart: Omit<Chart, 'content'>): Promise<Chart | null> {
    const content = await this.#store.readContent(chart.chart_id)
    return content === null ? null : { ...chart, content: JSON.parse(content) }
  }

  /** The newest of those that the host finds and the caller may see, as far as their tasks, if they are still kept, name them. */
  async #kept (hostCharts: HostCharts, message_id: string, caller: Caller, limit: number): Promise<FoundChart[]> {
    const found = await hostCharts.findByMessage(message_id, caller)
    const allowed = found.filter(chart => chart.user_id === caller.user_id ||
      (caller.org_id !== null && chart.org_id === caller.org_id && chart.visibility !== ChartVisibility.PRIVATE))
    allowed.sort((a, b) => b.created_at.localeCompare(a.created_at))
    const kept: FoundChart[] = []
    for (let i = 0; i < allowed.length && kept.length < limit; i += PAGE) {
      const page = allowed.slice(i, i + PAGE)
      const tasks = await this.#store.read(page.map(chart => chart.task_id))
      kept.push(...page.map((chart, i) => ({ chart, task: tasks[i] ?? null })).filter(({ chart, task }) => !task || task.chart_id === chart.chart_id))
    }
    return kept.slice(0, limit)
  }
}

const everything = async () => true

function withoutContent ({ content: _content, ...chart }: ListedChart): ListedChart {
  return chart
}

async function filter<T> (items: readonly T[], passes: (item: T) => Promise<boolean>): Promise<T[]> {
  const passed = await Promise.all(items.map(passes))
  return items.filter((_item, i) => passed[i])
}
