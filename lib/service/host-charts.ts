import { setMaxListeners } from 'node:events'
import { retryUntilAborted, unlessAborted, withDeadline } from '../async.ts'
import { errors } from '../errors.ts'
import type { Logger } from '../generator.ts'
import type { Settled, Settlement, TaskReader } from '../store/task-store.ts'
import { isFinished, type Chart, type ChartTask, type Identity } from '../task.ts'
import { chartIdOf, chartIdsOf } from './chart-identity.ts'
import type { ChartStore } from './chart-store.ts'
import type { ChartText } from './listed-charts.ts'

/** ms that a save under way gets when its attempt is aborted: a chart that is nearly saved should not be generated again. */
const SAVE_GRACE_MS = 900
/** Maximum ms that a call under way may delay the closing of the service. */
const CLOSE_GRACE_MS = 1_000

/** Timeouts of the host's `chartStore`, in ms. */
export interface ChartStoreTimeouts {
  /** Of one call. */
  readonly call: number
  /** Of all calls that save one chart; its attempt then fails. */
  readonly save: number
}
export const CHART_STORE_TIMEOUTS: ChartStoreTimeouts = { call: 10_000, save: 60_000 }

/** The chart in a row of the host's, which may have more fields, and a date in the form that databases return. @throws TypeError, RangeError: it is not a chart */
function toChart ({ chart_id, task_id, message_id, user_id, org_id, visibility, adjustment_query, created_at: date, content }: Row): Chart {
  const created_at = date instanceof Date || typeof date === 'number' ? new Date(date).toISOString() : date
  if (typeof created_at !== 'string') throw new TypeError(`chart ${chart_id} has no created_at`)
  return { chart_id, task_id, message_id, user_id, org_id, visibility, adjustment_query, created_at, content }
}

type Row = Omit<Chart, 'created_at'> & { readonly created_at: unknown }

/**
 * Charts in the host's `chartStore`. They are saved before their tasks are completed, and deleted if no task names them. Calls that the host
 * does not answer in time fail.
 */
export class HostCharts {
  readonly #chartStore: ChartStore
  readonly #store: TaskReader
  readonly #logger: Logger
  readonly #timeout: number
  readonly #closing = new AbortController()

  /** `timeout`: ms, of one call. */
  constructor (chartStore: ChartStore, store: TaskReader, logger: Logger, timeout: number = CHART_STORE_TIMEOUTS.call) {
    this.#chartStore = chartStore
    this.#store = store
    this.#logger = logger
    this.#timeout = timeout
    // One listener per call under way: many are no leak.
    setMaxListeners(0, this.#closing.signal)
  }

  /** Shortens the timeout of reads to a second, also of those under way. Saves are not shortened: the worker's shutdown ends them. */
  close (): void {
    this.#closing.abort()
  }

  /** The chart; null: it is no longer kept. @throws CHARTS_ERR_STORE_UNAVAILABLE */
  async get (chart_id: string): Promise<Chart | null> {
    return this.#ask(async () => {
      const chart = await this.#chartStore.get(chart_id)
      return chart ? toChart(chart) : null
    })
  }

  /** The charts of a message that the host finds. @throws CHARTS_ERR_STORE_UNAVAILABLE */
  async findByMessage (message_id: string, identity: Identity): Promise<Chart[]> {
    return this.#ask(async () => (await this.#chartStore.findByMessage(message_id, identity) ?? []).map(toChart))
  }

  /** A chart of the host's with its content as JSON. @throws CHARTS_ERR_STORE_UNAVAILABLE: JSON cannot hold it */
  textOf ({ content, ...chart }: Chart): ChartText {
    try {
      return { chart, content: JSON.stringify(content) }
    } catch (cause) {
      throw new errors.CHARTS_ERR_STORE_UNAVAILABLE({ cause })
    }
  }

  /**
   * Saves the chart of a lease, and repeats that until it succeeds or `signal` is aborted. `unsaved` is called once, when a call has failed
   * or `signal` is aborted; its promise settles before this method throws.
   * @throws the reason of the signal
   */
  async save (task: ChartTask, lease: number, json: string, signal: AbortSignal, unsaved: () => Promise<void>): Promise<void> {
    const { task_id, message_id, user_id, org_id, visibility, adjustment_query } = task
    const chart_id = chartIdOf(task_id, lease)
    const chart: Chart = {
      chart_id,
      task_id,
      // In the case in which `findByMessage` asks for it: the host's store may compare texts.
      message_id: message_id.toLowerCase(),
      user_id,
      org_id,
      visibility,
      adjustment_query,
      created_at: new Date().toISOString(),
      content: JSON.parse(json)
    }
    let saving: Promise<unknown> = Promise.resolve()
    let reported: Promise<void> | undefined
    const report = () => { reported ??= unsaved() }
    signal.addEventListener('abort', report, { once: true })
    try {
      await retryUntilAborted(() => {
        saving = Promise.resolve(this.#chartStore.save(chart))
        return withDeadline(saving, this.#timeout, notAnswered(this.#timeout))
      }, {
        signal,
        grace: SAVE_GRACE_MS,
        failed: error => {
          this.#logger.warn({ err: error, task_id, chart_id }, 'the chart could not be saved, trying again')
          report()
        }
      })
    } catch (error) {
      await reported
      // The host may have saved it all the same, or may still do so.
      this.#deleteUnnamed(async () => [chart_id], async () => {
        await saving.catch(() => {})
        const task = await this.#read(task_id)
        return task && isFinished(task) ? task : null
      })
      throw error
    } finally {
      signal.removeEventListener('abort', report)
    }
  }

  /** Deletes in the background what the leases of a task may have saved, after it has ended without them. */
  deleteAll (task: ChartTask): void {
    if (task.started_at === null) return
    this.#deleteUnnamed(async () => {
      const details = await this.#store.inspect(task.task_id)
      return chartIdsOf(task.task_id, details?.attempts.at(-1)?.lease ?? 0)
    }, async () => task)
  }

  /** Deletes in the background what earlier leases of an ended task may have saved, or what this lease saved too late. */
  deleteOthers (settlement: Settlement, { current, finished }: Settled): void {
    const { task_id, lease } = settlement
    if (finished) this.#deleteUnnamed(async () => chartIdsOf(task_id, lease), async () => finished)
    else if (!current && settlement.verb === 'complete') this.#deleteUnnamed(async () => [settlement.chart_id], () => this.#read(task_id))
  }

  /** Any failure of the host's store becomes CHARTS_ERR_STORE_UNAVAILABLE: its message is not meant for users. */
  async #ask<T> (call: () => Promise<T>): Promise<T> {
    const grace = Math.min(this.#timeout, CLOSE_GRACE_MS)
    try {
      const unlessClosing = unlessAborted(call(), this.#closing.signal, notAnswered(grace), grace)
      return await withDeadline(unlessClosing, this.#timeout, notAnswered(this.#timeout))
    } catch (cause) {
      throw new errors.CHARTS_ERR_STORE_UNAVAILABLE({ cause })
    }
  }

  /** Deletes in the background those of the charts that their task does not name. Without a task nothing is deleted: it may name any of them. */
  #deleteUnnamed (chartIds: () => Promise<string[]>, readTask: () => Promise<ChartTask | null>): void {
    if (!this.#chartStore.delete) return
    const deleteUnnamed = async () => {
      const task = await readTask()
      if (!task) return
      for (const chart_id of await chartIds()) if (chart_id !== task.chart_id) await this.#chartStore.delete!(chart_id)
    }
    deleteUnnamed().catch(error => this.#logger.warn({ err: error }, 'a chart that no task names could not be deleted'))
  }

  async #read (task_id: string): Promise<ChartTask | null> {
    const [task] = await this.#store.read([task_id])
    return task!
  }
}

const notAnswered = (ms: number) => (): never => { throw new Error(`chartStore has not answered within ${ms} ms`) }
