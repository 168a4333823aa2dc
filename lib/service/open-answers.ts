import type { MessageIndex, TaskQueue, TaskRef } from '../store/task-store.ts'
import type { ChartTask, Identity, StoredTask } from '../task.ts'
import { idOf, messageIdOf } from './arguments.ts'
import type { Charts } from './charts.ts'
import { dependentsFirst } from './dependents-first.ts'
import type { Estimates } from './estimates.ts'
import { checkIdentity } from './intake.ts'
import type { LargeReads } from './large-reads.ts'
import type { ChartText, MessageChartsOptions } from './listed-charts.ts'
import type { MessageListing } from './message-listing.ts'

/** Tasks of a batch that are cancelled at once: a store serves nobody else meanwhile. */
const MOST_CANCELLED = 25

/** A batch whose tasks are read when they are asked for. */
export interface OpenBatch {
  readonly user_id: string
  /** Whether all of its tasks have ended. */
  readonly finished: boolean
  /** Those that are still kept in the order asked, in slices; anew each time. */
  tasks (): AsyncGenerator<StoredTask[], void, void>
}

interface OpenAnswersOptions {
  readonly store: TaskQueue & MessageIndex
  readonly reads: LargeReads
  readonly charts: Charts
  readonly estimates: Estimates
  readonly ended: (task: ChartTask) => void
  /** Told where more may be to end than was ended. */
  readonly deferred: () => void
}

/** Answers of many that are read while they are sent, contents as they are stored. */
export class OpenAnswers {
  readonly #options: OpenAnswersOptions

  constructor (options: OpenAnswersOptions) {
    this.#options = options
  }

  /** What there is of a message. */
  message (message_id: string, identity: Identity, options: MessageChartsOptions): Promise<MessageListing> {
    const { user_id, org_id } = checkIdentity(identity)
    return this.#options.charts.ofMessage(messageIdOf(message_id), { ...identity, user_id, org_id }, options)
  }

  /** Null: unknown, or no longer kept. */
  async batch (batch_id: string): Promise<OpenBatch | null> {
    const batch = await this.#options.store.readBatch(idOf(batch_id, 'batch_id'))
    return batch && {
      user_id: batch.user_id,
      finished: batch.tasks.every(({ completed_at }) => completed_at !== null),
      tasks: () => this.tasks(batch.tasks)
    }
  }

  /** Ends what has not ended of a batch, a part at a time. Null: unknown, or no longer kept. */
  async cancelledBatch (batch_id: string): Promise<OpenBatch | null> {
    const { store, ended, deferred } = this.#options
    const batch = await store.readBatch(idOf(batch_id, 'batch_id'))
    if (!batch) return null
    const task_ids = await this.#dependentsFirst(batch.tasks)
    for (let from = 0; from < task_ids.length; from += MOST_CANCELLED) {
      for (const task of await store.cancelAll(task_ids.slice(from, from + MOST_CANCELLED))) ended(task)
    }
    deferred()
    return { user_id: batch.user_id, finished: true, tasks: () => this.tasks(batch.tasks) }
  }

  /** In the order in which they may be cancelled a part at a time; what is cancelled at once needs none. */
  async #dependentsFirst (refs: readonly TaskRef[]): Promise<string[]> {
    const ids = refs.map(({ task_id }) => task_id)
    if (ids.length <= MOST_CANCELLED) return ids
    const tasks: Array<Pick<ChartTask, 'task_id' | 'depends_on'>> = []
    for await (const slice of this.#options.reads.slices(ids)) tasks.push(...slice.map(({ task_id, depends_on }) => ({ task_id, depends_on })))
    return dependentsFirst(tasks)
  }

  /** The tasks that are still kept, with their estimates, in slices. */
  async * tasks (refs: readonly TaskRef[]): AsyncGenerator<StoredTask[], void, void> {
    const { reads, estimates } = this.#options
    for await (const tasks of reads.slices(refs.map(({ task_id }) => task_id))) yield await estimates.ofAll(tasks)
  }

  /** The chart that a finished task names; null when it has none, or it is gone. */
  chart (task: ChartTask): Promise<ChartText | null> {
    return this.#options.charts.textOf(task)
  }

  /** Tasks with their estimates. */
  estimated (tasks: readonly StoredTask[]): Promise<StoredTask[]> {
    return this.#options.estimates.ofAll(tasks)
  }
}

/** All that comes in slices. */
export async function collect<T> (slices: AsyncIterable<readonly T[]>): Promise<T[]> {
  const all: T[] = []
  for await (const slice of slices) all.push(...slice)
  return all
}
