import { setMaxListeners } from 'node:events'
import { errors } from '../errors.ts'
import type { Logger } from '../generator.ts'
import type { Settled, Settlement, TaskReader } from '../store/task-store.ts'
import { isFinished, type Chart, type ChartTask, type Identity } from '../task.ts'
import { chartIdOf, chartIdsOf } from './chart-identity.ts'
import type { ChartStore } from './chart-store.ts'
import type { ChartText } from './listed-charts.ts'
import { retryUntilAborted } from '../async.ts'

/** ms that a save under way gets when its attempt is aborted: a chart that is nearly safe is not to be made anew. */
const SAVE_GRACE = 900
/** ms that a call gets where the service closes meanwhile: nobody may hold that up. */
const CLOSE_GRACE = 1_000

/** How long the host's store is waited for, in ms. */
export interface ChartStoreTimeouts {
  /** For the answer to one call. */
  readonly call: number
  /** For a chart to be saved, all calls together; then its attempt fails. */
  readonly save: number
}
export const CHART_STORE_TIMEOUTS: ChartStoreTimeouts = { call: 10_000, save: 60_000 }

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
  readonly #store: TaskReader
  readonly #logger: Logger
  readonly #timeout: number
  readonly #closing = new AbortController()

  /** `timeout`: ms for the answer to one call. */
  constructor (chartStore: ChartStore, store: TaskReader, logger: Logger, timeout: number = CHART_STORE_TIMEOUTS.call) {
    this.#chartStore = chartStore
    this.#store = store
    this.#logger = logger
    this.#timeout = timeout
    // Every call listens.
    setMaxListeners(0, this.#closing.signal)
  }

  /** From now on a question gets a second, those under way as well. What is being saved has the worker's time to shut down. */
  close (): void {
    this.#closing.abort()
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

  /** A chart of the host's with its content as JSON. @throws CHARTS_ERR_STORE_UNAVAILABLE where that is no JSON */
  textOf ({ content, ...chart }: Chart): ChartText {
    try {
      return { chart, content: JSON.stringify(content) }
    } catch (cause) {
      throw new errors.CHARTS_ERR_STORE_UNAVAILABLE({ cause })
    }
  }

  /**
   * Saves the chart of a lease, again and again with the content at hand until that has worked or `signal` is aborted. `unsaved` is
   * called once, when a call has failed or `signal` is aborted, and settles before this throws.
   */
  async save (task: ChartTask, lease: number, json: string, signal: AbortSignal, unsaved: () => Promise<void>): Promise<void> {
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
    let told: Promise<void> | undefined
    const tell = () => { told ??= unsaved() }
    signal.addEventListener('abort', tell, { once: true })
    try {
      await retryUntilAborted(() => {
        saving = Promise.resolve(this.#chartStore.save(chart))
        return inTime(saving, this.#timeout)
      }, {
        signal,
        grace: SAVE_GRACE,
        failed: error => {
          this.#logger.warn({ err: error, task_id, chart_id }, 'the chart could not be saved, trying again')
          tell()
        }
      })
    } catch (error) {
      await told
      // It may have been saved all the same, or will be.
      this.#forget(async () => [chart_id], async () => {
        await saving.catch(() => {})
        const task = await this.#read(task_id)
        return task && isFinished(task) ? task : null
      })
      throw error
    } finally {
      signal.removeEventListener('abort', tell)
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
  forgetOthers (closing: Settlement, { current, finished }: Settled): void {
    const { task_id, lease } = closing
    if (finished) this.#forget(async () => chartIdsOf(task_id, lease), async () => finished)
    else if (!current && closing.verb === 'complete') this.#forget(async () => [closing.chart_id], () => this.#read(task_id))
  }

  /** A store of the host's that fails is one that is not reachable: what it says is not for users. */
  async #ask<T> (question: () => Promise<T>): Promise<T> {
    try {
      return await inTime(question(), this.#timeout, this.#closing.signal)
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

/** What the host's store answers within `ms`, or a second after `closing`. What comes later is dropped. @throws where it comes later */
async function inTime<T> (answer: Promise<T>, ms: number, closing?: AbortSignal): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  let giveUpSoon = () => {}
  const late = new Promise<never>((_resolve, reject) => {
    const giveUpIn = (wait: number) => {
      clearTimeout(timer)
      timer = setTimeout(() => reject(new Error(`chartStore has not answered within ${wait} ms`)), wait)
    }
    giveUpSoon = () => giveUpIn(Math.min(ms, CLOSE_GRACE))
    if (closing?.aborted) giveUpSoon()
    else giveUpIn(ms)
  })
  closing?.addEventListener('abort', giveUpSoon, { once: true })
  try {
    return await Promise.race([answer, late])
  } finally {
    clearTimeout(timer)
    closing?.removeEventListener('abort', giveUpSoon)
  }
}
