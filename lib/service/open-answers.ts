import type { MessageIndex, TaskRef } from '../store/task-store.ts'
import type { ChartTask, Identity, StoredTask } from '../task.ts'
import { idOf, messageIdOf } from './arguments.ts'
import type { Cancellation } from './cancellation.ts'
import type { Charts } from './charts.ts'
import type { Estimates } from './estimates.ts'
import { checkIdentity } from './identity.ts'
import type { LargeReads } from './large-reads.ts'
import type { ChartText, MessageChartsOptions } from './listed-charts.ts'
import type { MessageListing } from './message-listing.ts'

/** A batch whose tasks are read on demand. */
export interface OpenBatch {
  readonly user_id: string
  /** Whether all of its tasks have ended. */
  readonly finished: boolean
  /** The tasks that are still kept, in the order of the request, in slices. Each call reads them again. */
  tasks (): AsyncGenerator<StoredTask[], void, void>
}

interface OpenAnswersOptions {
  readonly store: Pick<MessageIndex, 'readBatch'>
  readonly reads: LargeReads
  readonly charts: Charts
  readonly estimates: Estimates
  readonly cancellation: Cancellation
}

/** Answers with many tasks or large charts, read slice by slice while they are sent. Contents are JSON as it is stored. */
export class OpenAnswers {
  readonly #options: OpenAnswersOptions

  constructor (options: OpenAnswersOptions) {
    this.#options = options
  }

  /** The charts and tasks of a message. @throws CHARTS_ERR_INVALID_REQUEST, CHARTS_ERR_INVALID_IDENTITY */
  message (message_id: string, identity: Identity, options: MessageChartsOptions): Promise<MessageListing> {
    const { user_id, org_id } = checkIdentity(identity)
    return this.#options.charts.ofMessage(messageIdOf(message_id), { ...identity, user_id, org_id }, options)
  }

  /** Null: unknown, or no longer kept. */
  async batch (batch_id: string): Promise<OpenBatch | null> {
    const batch = await this.#options.store.readBatch(idOf(batch_id, 'batch_id'))
    return batch && { user_id: batch.user_id, finished: batch.tasks.every(({ completed_at }) => completed_at !== null), tasks: () => this.tasks(batch.tasks) }
  }

  /** The batch after its unfinished tasks were cancelled. Null: unknown, or no longer kept. */
  async cancelledBatch (batch_id: string): Promise<OpenBatch | null> {
    const batch = await this.#options.cancellation.batch(idOf(batch_id, 'batch_id'))
    return batch && { user_id: batch.user_id, finished: true, tasks: () => this.tasks(batch.tasks) }
  }

  /** The tasks that are still kept, with estimates, in slices. */
  async * tasks (refs: readonly TaskRef[]): AsyncGenerator<StoredTask[], void, void> {
    const { reads, estimates } = this.#options
    for await (const tasks of reads.slices(refs.map(({ task_id }) => task_id))) yield await estimates.ofAll(tasks)
  }

  /** The chart that a finished task names; null: it names none, or the chart is no longer kept. */
  chart (task: ChartTask): Promise<ChartText | null> {
    return this.#options.charts.textOf(task)
  }

  /** The tasks with estimates. */
  estimated (tasks: readonly StoredTask[]): Promise<StoredTask[]> {
    return this.#options.estimates.ofAll(tasks)
  }
}
