import type { QueueSnapshot } from '../store/task-store.ts'
import { ChartStatus, type StoredTask } from '../task.ts'

/** A task that waits longer (ms) shows that no worker is idle: an idle one claims it at once. */
const IDLE_GRACE_MS = 1_000
/** A duration beyond the longest one observed is estimated as that one times `factor`, then times `factor` again, at most `times` times. */
const OVERRUN = { factor: 1.5, times: 3 }
/** Minimum estimated duration, ms. */
const MIN_DURATION_MS = 1_000
/** The share of a step after which only the task's own pace counts. */
const TRUSTED_SHARE = 1 / 3
/** Number of queue positions that are computed one by one. Later ones are extrapolated. */
const MAX_POSITIONS = 2_000

/** The upper median. */
const medianOf = (sorted: readonly number[]): number => sorted[Math.floor(sorted.length / 2)]!

/** Observations of one step, each sorted. */
interface StepSamples {
  /** ms from the beginning of the step to the chart. */
  readonly toChart: number[]
  /** ms from the end of the step to the chart. */
  readonly after: number[]
  /** The overall progress at the end of the step. */
  readonly progress: number[]
}

/** The index at which to insert a value into a sorted list. */
function insertionIndexOf (sorted: readonly number[], value: number): number {
  let low = 0
  let high = sorted.length
  while (low < high) {
    const between = (low + high) >>> 1
    if (sorted[between]! <= value) low = between + 1
    else high = between
  }
  return low
}

/** Whether a task waits for its dependencies. */
export const waitsForOthers = ({ status, current_step }: StoredTask): boolean =>
  status === ChartStatus.PENDING && current_step === 'waiting_for_dependencies'

/**
 * Estimates when tasks will be completed, from the durations of the latest charts. Durations are counted from each step, so an estimate
 * becomes more precise as its task proceeds. A step that has lasted some time is compared only with steps that lasted longer (the mean
 * residual life of survival analysis, with the median in place of the mean). The more progress a step reports, the more its own pace
 * counts. While a task reports nothing, its estimate changes only when the time has passed.
 */
export class Forecast {
  readonly #snapshot: QueueSnapshot
  readonly #steps = new Map<string, StepSamples>()
  /** ms until the task at each queue position starts, computed up to the highest position requested so far. */
  readonly #starts: number[] = []
  /** Number of tasks that run at a time, and the mean duration of one in ms; null: unknown. */
  readonly #slots: number
  readonly #pace: number | null
  /** The duration of a task that has not begun, ms; null: unknown. */
  readonly #fullDuration: number | null
  #slotTimes: number[] | undefined
  #firstSlotTime: number | null | undefined

  constructor (snapshot: QueueSnapshot) {
    this.#snapshot = snapshot
    for (const { steps, at } of snapshot.completed) {
      for (const [i, { step, at: begun }] of steps.entries()) {
        const next = steps[i + 1]
        const samples = this.#steps.get(step) ?? { toChart: [], after: [], progress: [] }
        samples.toChart.push(at - begun)
        samples.after.push(next ? at - next.at : 0)
        samples.progress.push(next ? next.from : 100)
        this.#steps.set(step, samples)
      }
    }
    for (const { toChart, after, progress } of this.#steps.values()) for (const values of [toChart, after, progress]) values.sort((a, b) => a - b)
    this.#slots = this.#countSlots()
    this.#pace = this.#meanDuration()
    this.#fullDuration = this.#durationOf('started', 0)
  }

  get now (): number {
    return this.#snapshot.now
  }

  /**
   * When a task will be completed, ms since the epoch; null: unknown. `find`: returns a dependency. `known`: the results of earlier calls,
   * because many tasks may have the same dependency.
   */
  completionOf (task: StoredTask, find: (task_id: string) => StoredTask | undefined, known = new Map<string, number | null>()): number | null {
    const before = known.get(task.task_id)
    if (before !== undefined) return before
    const completion = this.#completionOf(task, find, known)
    known.set(task.task_id, completion)
    return completion
  }

  #completionOf (task: StoredTask, find: (task_id: string) => StoredTask | undefined, known: Map<string, number | null>): number | null {
    switch (task.status) {
      case ChartStatus.COMPLETED: return this.now
      case ChartStatus.PROCESSING: return this.#completionOfRunning(task)
      case ChartStatus.PENDING: {
        if (this.#snapshot.paused || this.#fullDuration === null) return null
        const start = waitsForOthers(task) ? this.#startAfter(task, find, known) : this.#startOf(task)
        return start === null ? null : start + this.#fullDuration
      }
      default: return null
    }
  }

  /** ms until the task at a position of the queue is claimed; null: unknown. */
  waitOf (position: number): number | null {
    const slots = this.#slots
    const pace = this.#pace
    if (this.#snapshot.paused || slots === 0 || pace === null) return null
    const free = this.#slotTimes ??= this.#freeTimes(slots, pace)
    const computed = Math.min(position, MAX_POSITIONS)
    while (this.#starts.length < computed) {
      const next = free.shift()!
      this.#starts.push(next)
      free.splice(insertionIndexOf(free, next + pace), 0, next + pace)
    }
    const start = this.#starts[computed - 1]!
    if (start === Infinity) return null
    return position === computed ? start : start + (position - computed) * pace / free.filter(at => at !== Infinity).length
  }

  #completionOfRunning (task: StoredTask): number | null {
    const { current_step, step_at, started_at, attempt } = task
    if (step_at === null) return null
    const duration = this.#durationOf(current_step, this.now - step_at)
    if (duration !== null) return step_at + this.#paced(task, duration)
    // The step was not observed before. The duration of a whole first attempt may be known.
    if (this.#steps.has(current_step) || attempt !== 1 || started_at === null) return null
    const begun = Date.parse(started_at)
    const full = this.#durationOf('started', this.now - begun)
    return full === null ? null : begun + full
  }

  /** The observed duration and the one at the task's own pace, weighted by how much of the step is done. */
  #paced ({ current_step, step_progress, step_at, step_from, progress, progress_at }: StoredTask, duration: number): number {
    const samples = this.#steps.get(current_step)!
    const room = medianOf(samples.progress) - step_from
    const overall = room > 0 ? (progress - step_from) / room : 0
    const done = Math.min(1, (step_progress[current_step] ?? 0) / 100 || overall)
    if (progress_at === null || done <= 0) return duration
    const own = (progress_at - step_at!) / done + medianOf(samples.after)
    // The step has already lasted longer: its pace does not predict its duration.
    if (own < this.now - step_at!) return duration
    const trust = Math.min(1, done / TRUSTED_SHARE)
    return own * trust + duration * (1 - trust)
  }

  /** When the last dependency of a task will be completed. */
  #startAfter ({ depends_on }: StoredTask, find: (task_id: string) => StoredTask | undefined, known: Map<string, number | null>): number | null {
    let start = this.now
    for (const task_id of depends_on) {
      const task = find(task_id)
      const completion = task ? this.completionOf(task, find, known) : null
      if (completion === null) return null
      start = Math.max(start, completion)
    }
    return start
  }

  #startOf ({ queue_position, current_step, step_at }: StoredTask): number | null {
    if (queue_position !== null) return this.#after(this.waitOf(queue_position))
    const waitsForTime = current_step === 'scheduled' || current_step === 'retrying'
    if (!waitsForTime || step_at === null) return null
    // No worker was idle when its time came, so it waits until a busy one is free.
    return step_at > this.now - IDLE_GRACE_MS ? Math.max(step_at, this.now) : this.#after(this.#firstFree())
  }

  #after (wait: number | null): number | null {
    return wait === null ? null : this.now + wait
  }

  /** ms until the first busy slot is free; null: unknown. */
  #firstFree (): number | null {
    if (this.#firstSlotTime === undefined) {
      // The pace is known wherever a full duration is.
      const [first = Infinity] = this.#freeTimes(this.#snapshot.processing_count, this.#pace!)
      this.#firstSlotTime = first === Infinity ? null : first
    }
    return this.#firstSlotTime
  }

  /** ms from the beginning of a step to the chart, if the step has already lasted `elapsed` ms; null: unknown. */
  #durationOf (step: string, elapsed: number): number | null {
    const durations = this.#steps.get(step)?.toChart
    if (!durations) return null
    const longer = durations.filter(duration => duration > elapsed)
    if (longer.length > 0 || elapsed < MIN_DURATION_MS) return Math.max(MIN_DURATION_MS, longer.length > 0 ? medianOf(longer) : 0)
    let widened = Math.max(MIN_DURATION_MS, durations.at(-1)!)
    for (let i = 0; i < OVERRUN.times; i++) {
      widened *= OVERRUN.factor
      if (widened > elapsed) return widened
    }
    return null
  }

  #meanDuration (): number | null {
    const durations = this.#steps.get('started')?.toChart
    return durations ? durations.reduce((sum, duration) => sum + duration, 0) / durations.length : null
  }

  /** Number of slots: if tasks wait in vain, as many as run now; else at least as many as the latest charts needed at a time. */
  #countSlots (): number {
    const { waiting_since, processing_count, completed, now } = this.#snapshot
    if (waiting_since !== null && now - waiting_since > IDLE_GRACE_MS) return processing_count
    const changes = completed.flatMap(({ steps, at }) => [{ at: steps[0]!.at, by: 1 }, { at, by: -1 }])
    changes.sort((a, b) => a.at - b.at || a.by - b.by)
    let running = 0
    let max = 1
    for (const { by } of changes) max = Math.max(max, running += by)
    return Math.max(max, processing_count)
  }

  /** ms until each slot is free, sorted; Infinity: its attempt has run longer than can be estimated. */
  #freeTimes (slots: number, pace: number): number[] {
    const { running, processing_count } = this.#snapshot
    const left = running.map(({ step, at }) => {
      const duration = this.#durationOf(step, this.now - at)
      return duration === null ? Infinity : Math.max(0, at + duration - this.now)
    })
    const unseen = Math.max(0, processing_count - running.length)
    const spread = Array.from({ length: unseen }, (_, i) => pace * (i + 0.5) / unseen)
    const idle = Array<number>(Math.max(0, slots - left.length - unseen)).fill(0)
    return [...idle, ...left, ...spread].sort((a, b) => a - b)
  }
}
