import type { StoredTask } from '../../task.ts'
import type { HintListener } from '../task-store.ts'

/** Tells listeners what has happened, after it has: as with Redis, none of them sees a store that is half-way. */
export class Hints {
  readonly #listeners = new Set<HintListener>()

  listen (listener: HintListener): () => void {
    this.#listeners.add(listener)
    queueMicrotask(() => { if (this.#listeners.has(listener)) listener.feed(true) })
    return () => this.#listeners.delete(listener)
  }

  changed (task: StoredTask): void {
    this.#notifyDependents(listener => listener.hint(task.task_id, task))
  }

  cancelled (task_id: string): void {
    this.#notifyDependents(listener => listener.cancelled(task_id))
  }

  added (message_id: string, user_id: string): void {
    this.#notifyDependents(listener => listener.added(message_id, user_id))
  }

  #notifyDependents (call: (listener: HintListener) => void): void {
    for (const listener of this.#listeners) queueMicrotask(() => call(listener))
  }
}
