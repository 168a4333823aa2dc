import type { TaskReader } from '../store/task-store.ts'
import type { StoredTask } from '../task.ts'
import { Budget } from './budget.ts'

/** Maximum bytes that a process reads from the store at a time, for all responses together. */
const MAX_CONCURRENT_BYTES = 4 * 2 ** 20
/** One read of tasks: maximum number, usual bytes of a task, maximum bytes together. */
const TASKS = { count: 100, usual: 4_096, max: 2 ** 18 }
/** Bytes of contents in the first read of a response, which usually is the only one, and in later reads. */
const CONTENTS = { first: 2 ** 16, later: 2 ** 19 }

/** Reads many tasks or large contents in slices: the store serves others in between, and this process holds little at a time. */
export class LargeReads {
  readonly #store: TaskReader
  readonly #budget = new Budget(MAX_CONCURRENT_BYTES)

  constructor (store: TaskReader) {
    this.#store = store
  }

  /** The first tasks, as many as fit into one slice; null: unknown, or no longer kept. */
  tasks (task_ids: readonly string[]): Promise<Array<StoredTask | null>> {
    const ids = task_ids.slice(0, TASKS.count)
    const bytes = Math.min(ids.length * TASKS.usual, TASKS.max)
    return this.#budget.run(bytes, () => this.#store.read(ids, bytes))
  }

  /** All of the tasks that are still kept, in slices. A slice is read when it is requested. */
  async * slices (task_ids: readonly string[]): AsyncGenerator<StoredTask[], void, void> {
    for (let at = 0; at < task_ids.length;) {
      const found = await this.tasks(task_ids.slice(at))
      at += found.length
      yield found.filter(task => task !== null)
    }
  }

  /** The content of a chart as JSON; null: there is none, or no longer. */
  async content (chart_id: string): Promise<string | null> {
    const [found] = await this.#contents([chart_id], CONTENTS.first)
    return typeof found === 'number' ? this.#budget.run(found, () => this.#store.readContent(chart_id)) : found!
  }

  /**
   * The contents of the charts as JSON, in their order; null: there is none, or no longer. A content is read when it is requested.
   * Ends before the first content with which all together would exceed `bytes`, and then returns false.
   */
  async * contents (chart_ids: readonly string[], bytes: number): AsyncGenerator<string | null, boolean, void> {
    let room: number = CONTENTS.first
    for (let at = 0; at < chart_ids.length;) {
      const size = Math.min(room, bytes)
      room = CONTENTS.later
      for (const found of await this.#contents(chart_ids.slice(at, at + TASKS.count), size)) {
        if (typeof found === 'number') {
          if (found > bytes) return false
          room = Math.max(found, CONTENTS.later)
          break
        }
        at++
        bytes -= found === null ? 0 : Buffer.byteLength(found)
        yield found
      }
    }
    return true
  }

  #contents (chart_ids: readonly string[], bytes: number): Promise<Array<string | number | null>> {
    return this.#budget.run(bytes, () => this.#store.readContents(chart_ids, bytes))
  }
}
