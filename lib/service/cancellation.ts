import type { MessageIndex, TaskQueue, TaskRef } from '../store/task-store.ts'
import type { ChartTask } from '../task.ts'
import type { QueueTelemetry } from '../telemetry/queue-telemetry.ts'
import type { DeferredWork } from './deferred-work.ts'
import { dependentsFirst } from './dependents-first.ts'
import type { Endings } from './endings.ts'
import type { LargeReads } from './large-reads.ts'

/** Maximum number of tasks that one call to the store cancels: the store serves nobody else meanwhile. */
export const MAX_CANCELLED_AT_ONCE = 25

type Dependent = Pick<ChartTask, 'task_id' | 'depends_on'>

export interface CancellationOptions {
  readonly store: Pick<TaskQueue, 'cancel' | 'cancelAll'> & Pick<MessageIndex, 'readBatch'>
  readonly reads: LargeReads
  readonly endings: Endings
  readonly deferredWork: DeferredWork
  readonly telemetry: QueueTelemetry
}

/** Cancels tasks: one, many, or those of a batch. */
export class Cancellation {
  readonly #options: CancellationOptions

  constructor (options: CancellationOptions) {
    this.#options = options
  }

  /** The task after it was cancelled; one that had ended before is as it was. Null: unknown. */
  async task (task_id: string): Promise<ChartTask | null> {
    const { store, endings, deferredWork, telemetry } = this.#options
    const cancelled = await telemetry.cancel(task_id, () => store.cancel(task_id))
    if (!cancelled) return null
    for (const task of cancelled.ended) endings.ended(task)
    if (cancelled.deferred) deferredWork.start()
    return cancelled.task
  }

  /** Cancels those of the tasks that have not ended, in parts. Returns all tasks that have ended by it. */
  async tasks (tasks: readonly Dependent[]): Promise<ChartTask[]> {
    return this.#inParts(dependentsFirst(tasks))
  }

  /** Cancels the unfinished tasks of a batch. Null: the batch is unknown, or no longer kept. */
  async batch (batch_id: string): Promise<{ user_id: string, tasks: readonly TaskRef[] } | null> {
    const batch = await this.#options.store.readBatch(batch_id)
    if (batch) await this.#inParts(await this.#dependentsFirst(batch.tasks))
    return batch
  }

  async #inParts (task_ids: readonly string[]): Promise<ChartTask[]> {
    const { store, endings, deferredWork } = this.#options
    const ended: ChartTask[] = []
    for (let from = 0; from < task_ids.length; from += MAX_CANCELLED_AT_ONCE) {
      const part = await store.cancelAll(task_ids.slice(from, from + MAX_CANCELLED_AT_ONCE))
      for (const task of part) endings.ended(task)
      ended.push(...part)
    }
    // `cancelAll` does not say whether it has deferred something.
    deferredWork.start()
    return ended
  }

  /** A batch that is cancelled by one call needs no order, so its tasks need not be read. */
  async #dependentsFirst (refs: readonly TaskRef[]): Promise<string[]> {
    const ids = refs.map(({ task_id }) => task_id)
    if (ids.length <= MAX_CANCELLED_AT_ONCE) return ids
    const tasks: Dependent[] = []
    for await (const slice of this.#options.reads.slices(ids)) tasks.push(...slice.map(({ task_id, depends_on }) => ({ task_id, depends_on })))
    return dependentsFirst(tasks)
  }
}
