import type { TaskReader } from '../store/task-store.ts'
import type { StoredTask } from '../task.ts'
import { Budget } from './budget.ts'

/** Bytes that one process reads from the store at a time, of all answers together. */
const AT_A_TIME = 4 * 2 ** 20
/** Tasks that one read asks for, and its bytes: what most of them need, and at most. */
const TASKS = { count: 100, usual: 4_096, most: 2 ** 18 }
/** Bytes of contents of the first read of an answer, which mostly is the only one, and of the others. */
const CONTENTS = { first: 2 ** 16, others: 2 ** 19 }

/** Reads that may be large, in slices: the store serves others in between, and what this process holds stays small. */
export class LargeReads {
  readonly #store: TaskReader
  readonly #budget = new Budget(AT_A_TIME)

  constructor (store: TaskReader) {
    this.#store = store
  }

  /** The first of the tasks, as many as one slice has; null for what is no longer kept. */
  tasks (task_ids: readonly string[]): Promise<Array<StoredTask | null>> {
    const ids = task_ids.slice(0, TASKS.count)
    const bytes = Math.min(ids.length * TASKS.usual, TASKS.most)
    return this.#budget.run(bytes, () => this.#store.read(ids, bytes))
  }

  /** All of the tasks that are still kept, slice by slice, each read when it is asked for. */
  async * slices (task_ids: readonly string[]): AsyncGenerator<StoredTask[], void, void> {
    for (let at = 0; at < task_ids.length;) {
      const found = await this.tasks(task_ids.slice(at))
      at += found.length
      yield found.filter(task => task !== null)
    }
  }

  /** The content of a chart as JSON; null where there is none (any more). */
  async content (chart_id: string): Promise<string | null> {
    const [found] = await this.#contents([chart_id], CONTENTS.first)
    return typeof found === 'number' ? this.#budget.run(found, () => this.#store.readContent(chart_id)) : found!
  }

  /**
   * The contents of the charts as JSON in their order, each read when it is asked for; null where there is none (any more). Ends before
   * the first that would pass `bytes`, returns then false.
   */
  async * contents (chart_ids: readonly string[], bytes: number): AsyncGenerator<string | null, boolean, void> {
    let room: number = CONTENTS.first
    for (let at = 0; at < chart_ids.length;) {
      const asked = Math.min(room, bytes)
      room = CONTENTS.others
      for (const found of await this.#contents(chart_ids.slice(at, at + TASKS.count), asked)) {
        if (typeof found === 'number') {
          if (found > bytes) return false
          room = Math.max(found, CONTENTS.others)
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
