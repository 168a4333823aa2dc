import type { TaskState } from '../store/task-store.ts'
import { isFinished, type StoredTask } from '../task.ts'

/** A watched task, shared by all its watchers in this process. */
export interface Topic {
  readonly task_id: string
  /** The newest known state; null: the task is unknown or no longer kept; undefined: not read yet. */
  task: StoredTask | null | undefined
  /** The newest hint that arrived before the first read. */
  early: TaskState | undefined
  /** Incremented when the store has lost acknowledged writes, after which versions begin again. */
  epoch: number
  /** Settles with the first read. */
  opened: Promise<void>
  /** A read under way that refreshes the queue position. */
  refreshing: Promise<void> | null
  /** One function per watcher, called when `task` has changed. */
  readonly watchers: Set<() => void>
}

/** Which states of a topic a watcher has seen. */
export class Place {
  readonly #topic: Topic
  #epoch: number
  #seen: number

  constructor (topic: Topic, seen: number) {
    this.#topic = topic
    this.#epoch = topic.epoch
    this.#seen = seen
  }

  /** The newest state; undefined: it was seen already; null: the task is unknown or no longer kept, or it has finished and was seen. */
  next (): StoredTask | null | undefined {
    const { task, epoch } = this.#topic
    if (!task) return null
    if (epoch !== this.#epoch) {
      this.#epoch = epoch
      this.#seen = 0
    }
    if (task.version > this.#seen) {
      this.#seen = task.version
      return task
    }
    return isFinished(task) ? null : undefined
  }
}
