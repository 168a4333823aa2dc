import type { QueueSnapshot } from '../store/task-store.ts'
import { ChartStatus, type StoredTask } from '../task.ts'

/** ms that a task may wait before what runs is taken for all that can run: a worker that is idle takes one at once. */
const IDLE_GRACE = 1_000
/** An overrun is taken to last half as long again as the longest that was seen, and so on, so many times; after that nobody knows. */
const WIDENED = { by: 1.5, times: 3 }
/** ms that anything takes at the least: what is over in less is not worth an estimate. */
const LEAST = 1_000
/** The part of a step after which its own pace counts alone. */
const TRUSTED = 1 / 3
/** Places in the queue that are worked out one by one; behind them all advance at the same pace. */
const MOST_PLACES = 2_000

const middle = (sorted: readonly number[]): number => sorted[Math.floor(sorted.length / 2)]!

/** What has been seen of one step. */
interface Experience {
  /** ms from the beginning of the step to the chart. */
  readonly toChart: number[]
  /** ms from the end of the step to the chart. */
  readonly after: number[]
  /** The overall progress at the end of the step. */
  readonly progress: number[]
}

/** Where a value belongs among sorted ones. */
function placeOf (sorted: readonly number[], value: number): number {
  let low = 0
  let high = sorted.length
  while (low < high) {
    const between = (low + high) >>> 1
    if (sorted[between]! <= value) low = between + 1
    else high = between
  }
  return low
}

/** Whether a task waits for others of its user to be completed. */
export const waitsForOthers = ({ status, current_step }: StoredTask): boolean =>
  status === ChartStatus.PENDING && current_step === 'waiting_for_dependencies'

/**
 * When tasks will be done, judged by what the latest charts took: from each step on, so that it sharpens as a task goes on.
 * What has lasted some time already is compared only with what lasted longer (the mean residual life of survival analysis, with
 * the median for the mean). The further a step says that it is, the more its own pace counts. While a task does not move, an
 * estimate changes only when it has been overrun.
 */
export class Forecast {
  readonly #outlook: QueueSnapshot
  readonly #steps = new Map<string, Experience>()
  /** ms until the n-th waiting task starts, worked out as far as anybody has asked. */
  readonly #starts: number[] = []
  /** How many tasks run at a time, and what one takes on average: the same for all who ask. */
  readonly #slots: number
  readonly #pace: number | null
  /** What a task takes that has not begun. */
  readonly #whole: number | null
  #free: number[] | undefined
  #busy: number | null | undefined

  constructor (outlook: QueueSnapshot) {
    this.#outlook = outlook
    for (const { steps, at } of outlook.completed) {
      for (const [i, { step, at: begun }] of steps.entries()) {
        const next = steps[i + 1]
        const seen = this.#steps.get(step) ?? { toChart: [], after: [], progress: [] }
        seen.toChart.push(at - begun)
        seen.after.push(next ? at - next.at : 0)
        seen.progress.push(next ? next.from : 100)
        this.#steps.set(step, seen)
      }
    }
    for (const { toChart, after, progress } of this.#steps.values()) for (const values of [toChart, after, progress]) values.sort((a, b) => a - b)
    this.#slots = this.#countSlots()
    this.#pace = this.#meanDuration()
    this.#whole = this.#durationOf('started', 0)
  }

  get now (): number {
    return this.#outlook.now
  }

  /**
   * When a task will be done, ms since the epoch; null where nobody knows. `find`: the tasks that others wait for. `known`: what
   * has been worked out already, because many may wait for the same.
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
        if (this.#outlook.paused || this.#whole === null) return null
        const start = waitsForOthers(task) ? this.#startAfter(task, find, known) : this.#startOf(task)
        return start === null ? null : start + this.#whole
      }
      default: return null
    }
  }

  /** ms until the task at this place in the queue is taken; null where nobody knows. */
  waitOf (position: number): number | null {
    const slots = this.#slots
    const pace = this.#pace
    if (this.#outlook.paused || slots === 0 || pace === null) return null
    const free = this.#free ??= this.#freeTimes(slots, pace)
    const place = Math.min(position, MOST_PLACES)
    while (this.#starts.length < place) {
      const next = free.shift()!
      this.#starts.push(next)
      free.splice(placeOf(free, next + pace), 0, next + pace)
    }
    const start = this.#starts[place - 1]!
    if (start === Infinity) return null
    return position === place ? start : start + (position - place) * pace / free.filter(at => at !== Infinity).length
  }

  #completionOfRunning (task: StoredTask): number | null {
    const { current_step, step_at, started_at, attempt } = task
    if (step_at === null) return null
    const duration = this.#durationOf(current_step, this.now - step_at)
    if (duration !== null) return step_at + this.#paced(task, duration)
    // A step that nobody has seen before; the whole may be known all the same.
    if (this.#steps.has(current_step) || attempt !== 1 || started_at === null) return null
    const begun = Date.parse(started_at)
    const whole = this.#durationOf('started', this.now - begun)
    return whole === null ? null : begun + whole
  }

  /** What others took, and what this one will take at its own pace: weighed by how much of the step it has done. */
  #paced ({ current_step, step_progress, step_at, step_from, progress, progress_at }: StoredTask, duration: number): number {
    const seen = this.#steps.get(current_step)!
    const room = middle(seen.progress) - step_from
    const overall = room > 0 ? (progress - step_from) / room : 0
    const done = Math.min(1, (step_progress[current_step] ?? 0) / 100 || overall)
    if (progress_at === null || done <= 0) return duration
    const own = (progress_at - step_at!) / done + middle(seen.after)
    // It has been at it for longer than that: its pace was no guide.
    if (own < this.now - step_at!) return duration
    const trust = Math.min(1, done / TRUSTED)
    return own * trust + duration * (1 - trust)
  }

  /** When the last of those that a task waits for is there. */
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
    // Where nobody was idle when its time came, it waits for somebody who is busy.
    return step_at > this.now - IDLE_GRACE ? Math.max(step_at, this.now) : this.#after(this.#firstFree())
  }

  #after (wait: number | null): number | null {
    return wait === null ? null : this.now + wait
  }

  /** ms until the first of those that are busy is free; null where nobody knows. */
  #firstFree (): number | null {
    if (this.#busy === undefined) {
      const [first = Infinity] = this.#pace === null ? [] : this.#freeTimes(this.#outlook.processing_count, this.#pace)
      this.#busy = first === Infinity ? null : first
    }
    return this.#busy
  }

  /** How long it is from the beginning of a step to the chart, where it has lasted `elapsed` ms already. */
  #durationOf (step: string, elapsed: number): number | null {
    const durations = this.#steps.get(step)?.toChart
    if (!durations) return null
    const longer = durations.filter(duration => duration > elapsed)
    if (longer.length > 0 || elapsed < LEAST) return Math.max(LEAST, longer.length > 0 ? middle(longer) : 0)
    let widened = Math.max(LEAST, durations.at(-1)!)
    for (let i = 0; i < WIDENED.times; i++) {
      widened *= WIDENED.by
      if (widened > elapsed) return widened
    }
    return null
  }

  #meanDuration (): number | null {
    const durations = this.#steps.get('started')?.toChart
    return durations ? durations.reduce((sum, duration) => sum + duration, 0) / durations.length : null
  }

  /** How many tasks run at a time: those that do where some wait in vain, else also as many as were seen to. */
  #countSlots (): number {
    const { waiting_since, processing_count, completed, now } = this.#outlook
    if (waiting_since !== null && now - waiting_since > IDLE_GRACE) return processing_count
    const changes = completed.flatMap(({ steps, at }) => [{ at: steps[0]!.at, by: 1 }, { at, by: -1 }])
    changes.sort((a, b) => a.at - b.at || a.by - b.by)
    let running = 0
    let most = 1
    for (const { by } of changes) most = Math.max(most, running += by)
    return Math.max(most, processing_count)
  }

  /** ms until each slot is free, sorted; never where what runs in it has overrun everything. */
  #freeTimes (slots: number, pace: number): number[] {
    const { running, processing_count } = this.#outlook
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
