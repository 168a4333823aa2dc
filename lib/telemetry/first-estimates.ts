import { ChartStatus, isFinished, type ChartTask } from '../task.ts'

/** Estimates that a process remembers at most: the oldest are forgotten first. */
const MAX_REMEMBERED = 10_000

/** What this process has first said of when charts will be there, to be compared with when they were. */
export class FirstEstimates {
  readonly #first = new Map<string, number>()

  /** Remembers the estimate of an unfinished task. Of one that has ended: how many ms its chart came late; null where nothing was said of it. */
  compare (task: ChartTask): number | null {
    const { task_id, estimated_completion } = task
    if (isFinished(task)) {
      const first = this.#first.get(task_id)
      if (first === undefined) return null
      this.#first.delete(task_id)
      return task.status === ChartStatus.COMPLETED ? Date.parse(task.completed_at!) - first : null
    }
    if (estimated_completion === null || this.#first.has(task_id)) return null
    if (this.#first.size === MAX_REMEMBERED) this.#first.delete(this.#first.keys().next().value!)
    this.#first.set(task_id, Date.parse(estimated_completion))
    return null
  }
}
