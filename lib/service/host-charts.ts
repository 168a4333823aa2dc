import { errors } from '../errors.ts'
import type { Logger } from '../generator.ts'
import type { Closed, Closing, TaskStore } from '../store/task-store.ts'
import { isFinished, type Chart, type ChartTask, type Identity } from '../task.ts'
import { chartIdOf, chartIdsOf } from './chart-identity.ts'
import type { ChartStore } from './chart-store.ts'
import { retryUntilAborted } from './retry-until-aborted.ts'

/** ms that a save under way gets when its attempt is aborted: a chart that is nearly safe is not to be made anew. */
const SAVE_GRACE = 900

/** A row of the host's may hold more than a chart, and its date as databases give it. @throws TypeError, RangeError where it is no chart */
function toChart ({ chart_id, task_id, message_id, user_id, org_id, visibility, adjustment_query, created_at: date, content }: Row): Chart {
  const created_at = date instanceof Date || typeof date === 'number' ? new Date(date).toISOString() : date
  if (typeof created_at !== 'string') throw new TypeError(`chart ${chart_id} has no created_at`)
  return { chart_id, task_id, message_id, user_id, org_id, visibility, adjustment_query, created_at, content }
}

type Row = Omit<Chart, 'created_at'> & { readonly created_at: unknown }

/** The charts in the host's own store: saved before their task is completed, shown as charts, deleted where no task names them. */
export class HostCharts {
  readonly #chartStore: ChartStore
  readonly #store: TaskStore
  readonly #logger: Logger

  constructor (chartStore: ChartStore, store: TaskStore, logger: Logger) {
    this.#chartStore = chartStore
    this.#store = store
    this.#logger = logger
  }

  /** The chart, or null when it is gone. @throws CHARTS_ERR_STORE_UNAVAILABLE */
  async get (chart_id: string): Promise<Chart | null> {
    return this.#ask(async () => {
      const chart = await this.#chartStore.get(chart_id)
      return chart ? toChart(chart) : null
    })
  }

  /** What the host finds of a message. @throws CHARTS_ERR_STORE_UNAVAILABLE */
  async findByMessage (message_id: string, identity: Identity): Promise<Chart[]> {
    return this.#ask(async () => (await this.#chartStore.findByMessage(message_id, identity) ?? []).map(toChart))
  }

  /** Saves the chart of a lease, again and again with the content at hand until that has worked or `signal` is aborted. */
  async save (task: ChartTask, lease: number, json: string, signal: AbortSignal): Promise<void> {
    const { task_id, message_id, user_id, org_id, visibility, adjustment_query } = task
    const chart_id = chartIdOf(task_id, lease)
    const chart: Chart = {
      chart_id,
      task_id,
      // As it is asked for later: a store that compares texts would not find another spelling.
      message_id: message_id.toLowerCase(),
      user_id,
      org_id,
      visibility,
      adjustment_query,
      created_at: new Date().toISOString(),
      content: JSON.parse(json)
    }
    let saving: Promise<unknown> = Promise.resolve()
    try {
      await retryUntilAborted(() => {
        saving = Promise.resolve(this.#chartStore.save(chart))
        return saving
      }, {
        signal,
        grace: SAVE_GRACE,
        failed: error => this.#logger.warn({ err: error, task_id, chart_id }, 'the chart could not be saved, trying again')
      })
    } catch (error) {
      // It may have been saved all the same, or will be.
      this.#forget(async () => [chart_id], async () => {
        await saving.catch(() => {})
        const task = await this.#read(task_id)
        return task && isFinished(task) ? task : null
      })
      throw error
    }
  }

  /** Forgets what the leases of a task that has ended without them may have saved. */
  forgetAll (task: ChartTask): void {
    if (task.started_at === null) return
    this.#forget(async () => {
      const details = await this.#store.inspect(task.task_id)
      return chartIdsOf(task.task_id, details?.attempts.at(-1)?.lease ?? 0)
    }, async () => task)
  }

  /** Forgets what earlier leases of an ended task may have saved, or what came too late to count. */
  forgetOthers (closing: Closing, { current, finished }: Closed): void {
    const { task_id, lease } = closing
    if (finished) this.#forget(async () => chartIdsOf(task_id, lease), async () => finished)
    else if (!current && closing.verb === 'complete') this.#forget(async () => [closing.chart_id], () => this.#read(task_id))
  }

  /** A store of the host's that fails is one that is not reachable: what it says is not for users. */
  async #ask<T> (question: () => Promise<T>): Promise<T> {
    try {
      return await question()
    } catch (cause) {
      throw new errors.CHARTS_ERR_STORE_UNAVAILABLE({ cause })
    }
  }

  /** Deletes those of the charts that were `saved` that `known`, their task, does not name; none where it is not known. */
  #forget (saved: () => Promise<string[]>, known: () => Promise<ChartTask | null>): void {
    if (!this.#chartStore.delete) return
    const forget = async () => {
      const task = await known()
      if (!task) return
      for (const chart_id of await saved()) if (chart_id !== task.chart_id) await this.#chartStore.delete!(chart_id)
    }
    forget().catch(error => this.#logger.warn({ err: error }, 'a chart that no task names could not be deleted'))
  }

  async #read (task_id: string): Promise<ChartTask | null> {
    const [task] = await this.#store.read([task_id])
    return task!
  }
}
