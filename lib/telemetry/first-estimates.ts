import { ChartStatus, isFinished, type ChartTask } from '../task.ts'

/** Maximum number of estimates that a process remembers; the oldest are dropped first. */
const MAX_REMEMBERED = 10_000

/** The first estimate that this process gave of each unfinished task, to compare with its end. */
export class FirstEstimates {
  readonly #first = new Map<string, number>()

  /** Of an unfinished task: remembers its estimate, and returns null. Of an ended one: ms by which it completed later than its first estimate; null: there was none. */
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
