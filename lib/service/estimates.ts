import { withDeadline } from '../async.ts'
import type { Logger } from '../generator.ts'
import type { QueueSnapshot, QueueStatistics, TaskReader } from '../store/task-store.ts'
import { isFinished, type StoredTask } from '../task.ts'
import type { QueueTelemetry } from '../telemetry/queue-telemetry.ts'
import { Forecast, waitsForOthers } from './forecast.ts'
import { isScheduledRefusal } from './refusals.ts'

/** ms for which all watchers of the same state get the same estimate. */
const SHARED_MS = 100
/** Maximum ms that a response is delayed for an estimate. */
const MAX_DELAY_MS = 250
/** How far an estimate follows dependencies: levels, tasks, and bytes of the tasks of one level. */
const MAX_LEVELS = 8
const MAX_DEPENDENCIES = 200
const MAX_DEPENDENCIES_BYTES = 2 ** 18
/** Estimates are rounded up: at most [0] seconds ahead, to a multiple of [1] seconds. */
const ROUNDING = [[60, 1], [300, 5], [Infinity, 60]] as const
/** `Retry-After` in seconds, without an estimate and at most: of an unfinished task, and of a full queue. */
const TASK_RETRY = { usual: 1, max: 30 }
const QUEUE_RETRY = { usual: 5, max: 60 }

/* c8 ignore next -- a task that waits for no other asks for none */
const noDependency = () => undefined
const toSeconds = (ms: number, max: number): number => Math.min(Math.max(Math.ceil(ms / 1_000), 1), max)

function round (time: number, now: number): number {
  const ahead = (time - now) / 1_000
  const [, seconds] = ROUNDING.find(([max]) => ahead <= max)!
  return Math.ceil(time / seconds / 1_000) * seconds * 1_000
}

/** Estimates when unfinished tasks will be completed. Computed on demand: an estimate is not stored, and does not change a task's version. */
export class Estimates {
  readonly #store: QueueStatistics & TaskReader
  readonly #logger: Logger
  readonly #telemetry: QueueTelemetry
  #snapshot: Promise<QueueSnapshot> | null = null
  /** The forecast of that snapshot; null: the store has failed, or did not answer in time. */
  #latest: Promise<Forecast | null> = Promise.resolve(null)
  readonly #shared = new WeakMap<StoredTask, { readonly at: number, readonly task: Promise<StoredTask> }>()

  constructor (store: QueueStatistics & TaskReader, logger: Logger, telemetry: QueueTelemetry) {
    this.#store = store
    this.#logger = logger
    this.#telemetry = telemetry
  }

  /**
   * Requests the snapshot early, while the store handles another call of the same response. Not at once: it would be sent with that call, and
   * Redis answers both, and signals a worker, only after it has handled both.
   */
  prepareSoon (): void {
    setImmediate(() => { void this.#forecast() })
  }

  /**
   * The tasks with their estimates, as far as there are any. If the store fails, the tasks are returned without estimates.
   * `seen`: other tasks that are at hand, on which they may depend.
   */
  async ofAll (tasks: readonly StoredTask[], seen: ReadonlyMap<string, StoredTask> = new Map()): Promise<StoredTask[]> {
    const estimated = await this.#estimate(tasks, seen)
    this.#telemetry.estimated(estimated)
    return estimated
  }

  async #estimate (tasks: readonly StoredTask[], seen: ReadonlyMap<string, StoredTask>): Promise<StoredTask[]> {
    if (tasks.every(isFinished)) return [...tasks]
    const find = tasks.some(waitsForOthers) ? await this.#readDependencies(tasks, seen) : noDependency
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

  /** The same object for all watchers of a state, so that its frame is serialised once for a thousand of them. */
  shared (task: StoredTask, seen?: ReadonlyMap<string, StoredTask>): Promise<StoredTask> {
    const known = this.#shared.get(task)
    if (known && performance.now() - known.at < SHARED_MS) return known.task
    const estimated = this.of(task, seen)
    this.#shared.set(task, { at: performance.now(), task: estimated })
    return estimated
  }

  /** `Retry-After` of an unfinished task, by the estimate that it carries: whole seconds, 1 to 30; 1 without an estimate. */
  async retryAfter ({ estimated_completion }: Pick<StoredTask, 'estimated_completion'>): Promise<number> {
    const forecast = estimated_completion === null ? null : await this.#forecast()
    return forecast ? toSeconds(Date.parse(estimated_completion!) - forecast.now, TASK_RETRY.max) : TASK_RETRY.usual
  }

  /**
   * `Retry-After` of a full queue: whole seconds until the next waiting task is expected to start, 1 to 60; 5 without an estimate.
   * `refusal`: the error of the refusal. A place for a task that waits for a time or for others is not estimated: 60.
   */
  async queueRetryAfter (refusal: object): Promise<number> {
    if (isScheduledRefusal(refusal)) return QUEUE_RETRY.max
    const forecast = await this.#forecast()
    const wait = forecast && forecast.waitOf(1)
    return wait === null ? QUEUE_RETRY.usual : toSeconds(wait, QUEUE_RETRY.max)
  }

  /** Reads the tasks' dependencies level by level, within the limits. Returns how to find one. */
  async #readDependencies (tasks: readonly StoredTask[], seen: ReadonlyMap<string, StoredTask>): Promise<(task_id: string) => StoredTask | undefined> {
    const known = new Map([...seen, ...tasks.map(task => [task.task_id, task] as const)])
    const end = performance.now() + MAX_DELAY_MS
    let open = [...known.values()]
    for (let level = 0; level < MAX_LEVELS && performance.now() < end; level++) {
      const missing = [...new Set(open.filter(waitsForOthers).flatMap(task => task.depends_on))].filter(task_id => !known.has(task_id))
      if (missing.length === 0 || known.size + missing.length > MAX_DEPENDENCIES + seen.size + tasks.length) break
      const found = await orNull(this.#store.read(missing, MAX_DEPENDENCIES_BYTES), end - performance.now())
      open = (found ?? []).filter(task => task !== null)
      for (const task of open) known.set(task.task_id, task)
    }
    return task_id => known.get(task_id)
  }

  /** One forecast per snapshot: a store may return the same snapshot to several callers. */
  #forecast (): Promise<Forecast | null> {
    let snapshot: Promise<QueueSnapshot>
    try {
      snapshot = this.#store.snapshot()
    } catch (error) {
      snapshot = Promise.reject(error)
    }
    if (snapshot === this.#snapshot) return this.#latest
    this.#snapshot = snapshot
    const forecast = Promise.resolve(snapshot).then(snapshot => new Forecast(snapshot))
    forecast.catch(error => this.#logger.debug({ err: error }, 'the queue snapshot could not be read, tasks have no estimates'))
    this.#latest = orNull(forecast, MAX_DELAY_MS)
    return this.#latest
  }
}

/** The result of a promise; null if it fails, or is not there within `ms`. */
const orNull = <T>(promise: Promise<T>, ms: number): Promise<T | null> => withDeadline(promise.catch(() => null), ms, () => null)
