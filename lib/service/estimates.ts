import type { Logger } from '../generator.ts'
import type { QueueSnapshot, QueueStatistics, TaskReader } from '../store/task-store.ts'
import { isFinished, type ChartTask, type StoredTask } from '../task.ts'
import type { QueueTelemetry } from '../telemetry/queue-telemetry.ts'
import { Forecast, waitsForOthers } from './forecast.ts'

/** ms that an estimate is shared by all who watch the same state. */
const SHARED = 100
/** ms that an answer waits for its estimates: they are not worth more. */
const PATIENCE = 250
/** How far an estimate follows what a task waits for: so many tasks, one behind the other, and so many in all. */
const MOST_LEVELS = 8
const MOST_NEEDED = 200
const MAX_NEEDED_BYTES = 2 ** 18
/** Seconds to which an estimate is rounded up where it is no more than so many ahead. */
const GRID = [[60, 1], [300, 5], [Infinity, 60]] as const
/** Seconds after which it is worth asking again where nobody knows more, and at the latest. */
const ASK_AGAIN = { usual: 1, latest: 30 }
/** Likewise for a place in a queue that is full. */
const PLACE = { usual: 5, latest: 60 }

const nobody = () => undefined
const inSeconds = (ms: number, latest: number): number => Math.min(Math.max(Math.ceil(ms / 1_000), 1), latest)

/** To the second where it is near, to the minute where it is far: nobody knows it better. */
function round (time: number, now: number): number {
  const ahead = (time - now) / 1_000
  const [, seconds] = GRID.find(([most]) => ahead <= most)!
  return Math.ceil(time / seconds / 1_000) * seconds * 1_000
}

/** Tells of unfinished tasks when they will be done. Worked out when it is asked for: no change of the task. */
export class Estimates {
  readonly #store: QueueStatistics & TaskReader
  readonly #logger: Logger
  readonly #telemetry: QueueTelemetry
  #asked: Promise<QueueSnapshot> | null = null
  #answer: Promise<Forecast | null> = Promise.resolve(null)
  readonly #shared = new WeakMap<StoredTask, { readonly at: number, readonly task: Promise<StoredTask> }>()

  constructor (store: QueueStatistics & TaskReader, logger: Logger, telemetry: QueueTelemetry) {
    this.#store = store
    this.#logger = logger
    this.#telemetry = telemetry
  }

  /** Lets the store look ahead while it has something else to do for an answer. */
  prepare (): void {
    void this.#forecast()
  }

  /**
   * The tasks, each with its estimate where there is one; a store that does not answer costs the estimates alone.
   * `seen`: others that they may wait for, as far as they are at hand.
   */
  async ofAll (tasks: readonly StoredTask[], seen: ReadonlyMap<string, StoredTask> = new Map()): Promise<StoredTask[]> {
    const estimated = await this.#estimate(tasks, seen)
    this.#telemetry.estimated(estimated)
    return estimated
  }

  async #estimate (tasks: readonly StoredTask[], seen: ReadonlyMap<string, StoredTask>): Promise<StoredTask[]> {
    if (tasks.every(isFinished)) return [...tasks]
    const find = tasks.some(waitsForOthers) ? await this.#needed(tasks, seen) : nobody
    const forecast = await this.#forecast()
    if (!forecast) return [...tasks]
    const known = new Map<string, number | null>()
    return tasks.map(task => {
      const completion = isFinished(task) ? null : forecast.completionOf(task, find, known)
      return completion === null ? task : { ...task, estimated_completion: new Date(round(completion, forecast.now)).toISOString() }
    })
  }

  async of (task: StoredTask, seen?: ReadonlyMap<string, StoredTask>): Promise<StoredTask> {
    const [estimated] = await this.ofAll([task], seen)
    return estimated!
  }

  /** One for all who watch: a thousand watchers of a task are told the same, in a frame that is made once. */
  async shared (task: StoredTask, seen?: ReadonlyMap<string, StoredTask>): Promise<StoredTask> {
    const known = this.#shared.get(task)
    if (known && performance.now() - known.at < SHARED) return known.task
    const estimated = this.of(task, seen)
    this.#shared.set(task, { at: performance.now(), task: estimated })
    return estimated
  }

  /** Seconds after which it is worth asking for an unfinished task again, by the estimate that it has. */
  async askAgainIn ({ estimated_completion }: ChartTask): Promise<number> {
    const forecast = estimated_completion === null ? null : await this.#forecast()
    return forecast ? inSeconds(Date.parse(estimated_completion!) - forecast.now, ASK_AGAIN.latest) : ASK_AGAIN.usual
  }

  /** Seconds after which a queue that is full may have a place; `scheduled`: for one that waits for a time or for others. */
  async placeIn (scheduled: boolean): Promise<number> {
    if (scheduled) return PLACE.latest
    const forecast = await this.#forecast()
    const wait = forecast && forecast.waitOf(1)
    return wait === null ? PLACE.usual : inSeconds(wait, PLACE.latest)
  }

  /** Finds what the tasks wait for, and what that waits for, as far as it is worth it. */
  async #needed (tasks: readonly StoredTask[], seen: ReadonlyMap<string, StoredTask>): Promise<(task_id: string) => StoredTask | undefined> {
    const known = new Map([...seen, ...tasks.map(task => [task.task_id, task] as const)])
    const end = performance.now() + PATIENCE
    let open = [...known.values()]
    for (let level = 0; level < MOST_LEVELS && performance.now() < end; level++) {
      const missing = [...new Set(open.filter(waitsForOthers).flatMap(task => task.depends_on))].filter(task_id => !known.has(task_id))
      if (missing.length === 0 || known.size + missing.length > MOST_NEEDED + seen.size + tasks.length) break
      const found = await inTime(this.#store.read(missing, MAX_NEEDED_BYTES), end - performance.now())
      open = (found ?? []).filter(task => task !== null)
      for (const task of open) known.set(task.task_id, task)
    }
    return task_id => known.get(task_id)
  }

  /** One forecast for all who are given the same snapshot: a store may return one to several callers. */
  #forecast (): Promise<Forecast | null> {
    let asked: Promise<QueueSnapshot>
    try {
      asked = this.#store.snapshot()
    } catch (error) {
      asked = Promise.reject(error)
    }
    if (asked === this.#asked) return this.#answer
    this.#asked = asked
    const forecast = Promise.resolve(asked).then(snapshot => new Forecast(snapshot))
    forecast.catch(error => this.#logger.debug({ err: error }, 'nothing can be estimated'))
    this.#answer = inTime(forecast, PATIENCE)
    return this.#answer
  }
}

/** What it resolves to; null where it fails, or does not come in `ms`. */
function inTime<T> (promise: Promise<T>, ms: number): Promise<T | null> {
  return new Promise(resolve => {
    const timer = setTimeout(resolve, ms, null)
    promise.then(resolve, () => resolve(null)).finally(() => clearTimeout(timer))
  })
}
