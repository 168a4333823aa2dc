import type { MessageIndex, TaskReader } from '../store/task-store.ts'
import { ChartVisibility, type Chart, type ChartTask, type JsonValue } from '../task.ts'
import type { HostCharts } from './host-charts.ts'
import { LargeReads } from './large-reads.ts'
import { describe, type Caller, type ChartText, type MessageChartsOptions } from './listed-charts.ts'
import { MessageListing } from './message-listing.ts'

/** The content of a chart; null if the stored text is not JSON. */
export function toContent (text: string): { content: JsonValue } | null {
  try {
    return { content: JSON.parse(text) }
  } catch {
    return null
  }
}

/** Reads finished charts, beside the tasks or in the host's `chartStore`. A chart that its task does not name is never returned. */
export class Charts {
  readonly #store: MessageIndex & TaskReader
  readonly #reads: LargeReads
  readonly #hostCharts: HostCharts | null

  constructor (store: MessageIndex & TaskReader, hostCharts: HostCharts | null, reads: LargeReads = new LargeReads(store)) {
    this.#store = store
    this.#reads = reads
    this.#hostCharts = hostCharts
  }

  /** The chart that a task names; null: it names none, or the chart is no longer kept. */
  async of (task: ChartTask): Promise<Chart | null> {
    if (task.chart_id !== null && this.#hostCharts) return this.#hostCharts.get(task.chart_id)
    const found = await this.textOf(task)
    const content = found && toContent(found.content!)
    return content ? { ...found.chart, ...content } : null
  }

  /** The same, with the content as JSON. */
  async textOf (task: ChartTask): Promise<ChartText | null> {
    if (task.chart_id === null) return null
    if (this.#hostCharts) {
      const chart = await this.#hostCharts.get(task.chart_id)
      return chart && this.#hostCharts.textOf(chart)
    }
    const content = await this.#reads.content(task.chart_id)
    return content === null ? null : { chart: describe(task), content }
  }

  /**
   * The charts that a task depends on, in the order of the request; null: one of them is no longer kept. Read one after the other, because
   * they are up to 20, each as large as `limits.chartBytes` of the worker that made it.
   */
  async ofDependencies ({ depends_on }: ChartTask): Promise<Chart[] | null> {
    const charts: Chart[] = []
    for (const task of await this.#store.read(depends_on)) {
      const chart = task && await this.of(task)
      if (!chart) return null
      charts.push(chart)
    }
    return charts
  }

  /** The charts and tasks of a message. Tasks and contents are read while the listing is read. */
  async ofMessage (message_id: string, caller: Caller, options: MessageChartsOptions): Promise<MessageListing> {
    const refs = await this.#store.readMessage({ message_id, user_id: caller.user_id, org_id: caller.org_id, limit: options.limit })
    // Ask the host second: a chart that completes in between is then found here.
    const found = this.#hostCharts && await this.#foundBy(this.#hostCharts, message_id, caller)
    return new MessageListing({ reads: this.#reads, hostCharts: this.#hostCharts, refs, found, options })
  }

  /** The charts that the host finds and the caller may see, newest first. */
  async #foundBy (hostCharts: HostCharts, message_id: string, caller: Caller): Promise<Chart[]> {
    const found = await hostCharts.findByMessage(message_id, caller)
    const allowed = found.filter(chart => chart.user_id === caller.user_id ||
      (caller.org_id !== null && chart.org_id === caller.org_id && chart.visibility !== ChartVisibility.PRIVATE))
    return allowed.sort((a, b) => b.created_at.localeCompare(a.created_at))
  }
}
