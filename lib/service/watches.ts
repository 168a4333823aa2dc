import type { MessageIndex } from '../store/task-store.ts'
import type { ChartTask, Identity, StoredTask } from '../task.ts'
import { idOf, messageIdOf } from './arguments.ts'
import type { Estimates } from './estimates.ts'
import { watchGroup, type GroupSource, type GroupState } from './group-feed.ts'
import { checkIdentity } from './identity.ts'
import type { LargeReads } from './large-reads.ts'
import type { TaskFeed, WatchOptions } from './task-feed.ts'

/** Maximum number of unfinished tasks in one list of a message, and of ended ones in a first list. */
const MAX_LISTED = 100
/** Maximum number of ended tasks in a list that continues from a cursor. */
const MAX_MISSED = 1_000

export interface GroupWatchOptions {
  readonly after?: string | undefined
  readonly signal: AbortSignal
}

export interface WatchesOptions {
  readonly store: Pick<MessageIndex, 'readActive' | 'readEnded' | 'readBatch'>
  readonly feed: TaskFeed
  readonly reads: LargeReads
  readonly estimates: Estimates
}

/** Watches tasks, with estimates: one, those of a message, or those of a batch. */
export class Watches {
  readonly #options: WatchesOptions

  constructor (options: WatchesOptions) {
    this.#options = options
  }

  /** As `ChartQueueService.watchTask`. */
  async * task (task_id: string, options: WatchOptions): AsyncGenerator<ChartTask, void, void> {
    const { feed, estimates } = this.#options
    for await (const task of feed.watch(idOf(task_id), options)) yield await estimates.shared(task)
  }

  /**
   * As `task`, but calls `deliver` with each state, and waits for the promise if it returns one. Resolves at the end.
   * @throws what `ChartQueueService.watchTask` throws
   */
  follow (task_id: string, options: WatchOptions, deliver: (task: ChartTask) => Promise<unknown> | undefined): Promise<void> {
    const { feed, estimates } = this.#options
    return feed.follow(idOf(task_id), options, task => estimates.shared(task).then(deliver))
  }

  /** As `ChartQueueService.watchMessage`. */
  message (message_id: string, identity: Identity, options: GroupWatchOptions): AsyncIterable<GroupState> {
    const { store, feed } = this.#options
    const { user_id } = checkIdentity(identity)
    const message = messageIdOf(message_id)
    const list = async (since: number) => {
      const active = await store.readActive({ message_id: message, user_id, limit: MAX_LISTED })
      // Read the ended tasks second: a task that ends between the reads then appears twice (deduplicated below), never zero times.
      const { tasks: ended, read_at } = await store.readEnded({ message_id: message, user_id, since, limit: since === 0 ? MAX_LISTED : MAX_MISSED })
      const tasks = new Map([...active, ...ended].map(task => [task.task_id, task]))
      return { tasks: [...tasks.values()].sort((a, b) => a.created_at - b.created_at), read_at, complete: active.length < MAX_LISTED }
    }
    const onMore = (more: () => void) => feed.onMore(message, user_id, more)
    return this.#group({ list, onMore, closed: false }, options)
  }

  /** As `ChartQueueService.watchBatch`. */
  batch (batch_id: string, options: GroupWatchOptions): AsyncIterable<GroupState> {
    const { store } = this.#options
    const list = async (since: number) => ({ tasks: (await store.readBatch(idOf(batch_id, 'batch_id')))?.tasks ?? [], read_at: since, complete: true })
    const onMore = async () => () => {}
    return this.#group({ list, onMore, closed: true }, options)
  }

  async * #group (source: Pick<GroupSource, 'list' | 'onMore' | 'closed'>, options: GroupWatchOptions): AsyncGenerator<GroupState, void, void> {
    const { feed, reads, estimates } = this.#options
    const read = (task_ids: readonly string[]) => reads.tasks(task_ids)
    const states = watchGroup({ ...source, read, over: feed.closing }, (task_id, options) => feed.watch(task_id, options), options)
    const seen = new Map<string, StoredTask>()
    for await (const { task, cursor } of states) {
      // An estimate does not depend on `adjustment_query`, which may be large.
      seen.set(task.task_id, { ...task, adjustment_query: null })
      yield { task: await estimates.shared(task, seen), cursor }
    }
  }
}
