import type { MessageTasks, TaskRef } from '../store/task-store.ts'
import { ChartStatus, isFinished, type Chart, type ChartTask, type StoredTask } from '../task.ts'
import { describe, type ChartText, type MessageChartsOptions } from './listed-charts.ts'
import { cursorAt } from './group-feed.ts'
import type { HostCharts } from './host-charts.ts'
import type { LargeReads } from './large-reads.ts'

/** Maximum bytes of contents in one answer. */
const MAX_CONTENT_BYTES = 8 * 2 ** 20
/** Number of charts of the host's whose tasks are read at once. */
const PAGE_SIZE = 100

interface MessageListingOptions {
  readonly reads: LargeReads
  readonly hostCharts: HostCharts | null
  readonly refs: MessageTasks
  /** The charts that the host has found, newest first; null: charts are kept beside the tasks. */
  readonly found: readonly Chart[] | null
  readonly options: MessageChartsOptions
}

const idsOf = (refs: readonly TaskRef[]) => refs.map(({ task_id }) => task_id)

/**
 * The tasks and charts of a message, read piece by piece, so that they are never in memory together. Read the active tasks first, then the
 * failed ones, then the charts: a task that has ended since it was listed is then part of a later list.
 */
export class MessageListing {
  /** Continues without a gap in a stream of the message. */
  readonly cursor: string
  readonly #options: MessageListingOptions
  readonly #active = new Set<string>()
  readonly #completedMeanwhile: StoredTask[] = []
  readonly #failedMeanwhile: string[] = []
  #room = MAX_CONTENT_BYTES
  #contentComplete = true

  constructor (options: MessageListingOptions) {
    this.#options = options
    this.cursor = cursorAt(options.refs.read_at)
  }

  /** Whether no content was left out for its size; known once the charts have been read. */
  get contentComplete (): boolean {
    return this.#contentComplete
  }

  /** Unfinished tasks, in slices. */
  async * active (): AsyncGenerator<StoredTask[], void, void> {
    const { reads, refs } = this.#options
    for await (const tasks of reads.slices(idsOf(refs.active))) {
      for (const task of tasks) {
        if (task.status === ChartStatus.COMPLETED) this.#completedMeanwhile.push(task)
        else if (task.status === ChartStatus.FAILED) this.#failedMeanwhile.push(task.task_id)
      }
      const readable = await this.#readable(tasks.filter(task => !isFinished(task)))
      for (const { task_id } of readable) this.#active.add(task_id)
      yield readable
    }
  }

  /** Failed tasks, in slices. */
  async * failed (): AsyncGenerator<StoredTask[], void, void> {
    const { reads, refs, options } = this.#options
    const ids = [...this.#failedMeanwhile, ...idsOf(refs.failed)].slice(0, options.limit)
    for await (const tasks of reads.slices(ids)) yield await this.#readable(tasks)
  }

  /** Charts, with contents if those are wanted, as far as they fit. */
  charts (): AsyncGenerator<ChartText, void, void> {
    return this.#options.found ? this.#hostCharts(this.#options.found) : this.#ownCharts()
  }

  async * #ownCharts (): AsyncGenerator<ChartText, void, void> {
    const { reads, refs, options } = this.#options
    yield * this.#withContents(await this.#readable(this.#completedMeanwhile))
    const rest = idsOf(refs.completed).slice(0, Math.max(0, options.limit - this.#completedMeanwhile.length))
    for await (const tasks of reads.slices(rest)) yield * this.#withContents(await this.#readable(tasks))
  }

  async * #withContents (tasks: readonly StoredTask[]): AsyncGenerator<ChartText, void, void> {
    const { reads, options } = this.#options
    const charts = tasks.map(describe)
    let at = 0
    if (options.content && this.#contentComplete) {
      const contents = reads.contents(charts.map(({ chart_id }) => chart_id), this.#room)
      for (let next = await contents.next(); ; next = await contents.next()) {
        if (next.done) {
          this.#contentComplete = next.value
          break
        }
        const chart = charts[at++]!
        if (next.value === null) continue
        this.#room -= Buffer.byteLength(next.value)
        yield { chart, content: next.value }
      }
    }
    for (const chart of charts.slice(at)) yield { chart, content: undefined }
  }

  /** The newest charts that the host has found. One whose task is still kept, and does not name it, is left out. */
  async * #hostCharts (found: readonly Chart[]): AsyncGenerator<ChartText, void, void> {
    const { reads, hostCharts, options } = this.#options
    const missed = this.#completedMeanwhile.filter(task => !found.some(chart => chart.chart_id === task.chart_id))
    let left = options.limit
    for (const task of await this.#readable(missed)) {
      const chart = await hostCharts!.get(task.chart_id!)
      if (chart && left-- > 0) yield this.#hostText(chart)
    }
    for (let at = 0; at < found.length && left > 0;) {
      for (const task of await reads.tasks(found.slice(at, at + PAGE_SIZE).map(({ task_id }) => task_id))) {
        const chart = found[at++]!
        // A task that ran when the active tasks were read was listed there.
        const isNamed = (!task || task.chart_id === chart.chart_id) && !this.#active.has(chart.task_id)
        if (isNamed && left-- > 0 && await this.#mayRead(task)) yield this.#hostText(chart)
      }
    }
  }

  #hostText (chart: Chart): ChartText {
    const { content: _, ...described } = chart
    const { options, hostCharts } = this.#options
    if (!options.content || !this.#contentComplete) return { chart: described, content: undefined }
    const text = hostCharts!.textOf(chart)
    this.#room -= Buffer.byteLength(text.content ?? '')
    if (this.#room >= 0) return text
    this.#contentComplete = false
    return { chart: described, content: undefined }
  }

  async #readable (tasks: readonly StoredTask[]): Promise<StoredTask[]> {
    const passed = await Promise.all(tasks.map(task => this.#mayRead(task)))
    return tasks.filter((_task, i) => passed[i])
  }

  async #mayRead (task: ChartTask | null): Promise<boolean> {
    return await this.#options.options.mayRead?.(task) ?? true
  }
}
