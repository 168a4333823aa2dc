import { setMaxListeners } from 'node:events'
import { Signal, sleep } from '../async.ts'
import { isStoreUnavailable } from '../errors.ts'
import type { TaskRef } from '../store/task-store.ts'
import { isFinished, type ChartTask, type StoredTask } from '../task.ts'

/** ms before a cursor from which endings are repeated: one may have been under way when the cursor was sent. */
const OVERLAP_MS = 20_000
/** ms until the next list after one that was incomplete, and after the store was unavailable. */
const INCOMPLETE_RETRY_MS = 250
const UNAVAILABLE_RETRY_MS = 1_000
/** The cursor after the last state of a stream. */
export const END = 'end'

/** A state of one task, and the cursor from which a reader continues after it. */
export interface GroupState<Task extends ChartTask = ChartTask> {
  readonly task: Task
  readonly cursor: string
}

export interface GroupSource {
  /** The unfinished tasks of the group, and those that have ended since a time (ms since the epoch), oldest first. */
  list (since: number): Promise<GroupList>
  /** The first tasks, at least one, as they are now; null: no longer kept. */
  read (task_ids: readonly string[]): Promise<Array<StoredTask | null>>
  /** Calls `more` when the group may have more tasks. Called before `list`. Resolves to a function that ends this. */
  onMore (more: () => void): Promise<() => void>
  /** True: no task will be added, so the stream ends when all tasks have ended. */
  readonly closed: boolean
  /** Aborted when the service closes. */
  readonly over: AbortSignal
}

export interface GroupList {
  readonly tasks: readonly TaskRef[]
  /** ms since the epoch, by the clock of `completed_at`: the next list continues from here. */
  readonly read_at: number
  /** False: there are more unfinished tasks. */
  readonly complete: boolean
}

type Watch = (task_id: string, options: { signal: AbortSignal }) => AsyncIterable<StoredTask>

const timeOf = (task: StoredTask) => Date.parse(task.completed_at ?? task.started_at ?? task.created_at)
const isRef = (state: StoredTask | TaskRef): state is TaskRef => !('status' in state)
/** When a task has ended, ms since the epoch; null: it has not. */
const endOf = (state: StoredTask | TaskRef) => isRef(state) ? state.completed_at : isFinished(state) ? timeOf(state) : null

/** The cursor of a time, ms since the epoch. */
export const cursorAt = (time: number): string => time.toString(36)

/** The time of a cursor. An invalid cursor means 0: from the beginning. So does one from the future; clocks may differ by a minute. */
function readCursor (cursor: string): number {
  const time = /^[0-9a-z]{1,11}$/.test(cursor) ? Number.parseInt(cursor, 36) : 0
  return time > Date.now() + 60_000 ? 0 : time
}

/** The tasks of one stream: which ones it knows, and which of their states were not yielded yet. */
class Group {
  readonly #source: GroupSource
  readonly #watch: Watch
  readonly #since: number
  readonly #members = new Set<string>()
  /** States to be yielded, the latest one of each task. A task that ended earlier is only a reference until its turn comes. */
  readonly #pending = new Map<string, StoredTask | TaskRef>()
  /** Tasks that are watched because they have not ended. */
  readonly #open = new Set<string>()
  readonly #left = new AbortController()
  /** Notified when `next` may have something to return. */
  readonly #changed = new Signal()
  #listedSince: number
  #isListed = false
  #isListing = false
  #isOutdated = false
  #nextList: NodeJS.Timeout | undefined
  #latest = 0
  #failure: unknown

  /** `since`: ms since the epoch; tasks that had ended before are not yielded. */
  constructor (source: GroupSource, watch: Watch, since: number) {
    this.#source = source
    this.#watch = watch
    this.#since = since
    this.#listedSince = Math.max(0, since)
    // One listener per watched task: many are no leak.
    setMaxListeners(0, this.#left.signal)
  }

  /** The next state; null: there are no more. */
  async next (): Promise<GroupState<StoredTask> | null> {
    while (!this.#left.signal.aborted) {
      if (this.#failure) throw this.#failure
      const [state] = this.#pending.values()
      if (state) {
        if (!isRef(state)) return this.#shift(state)
        await this.#readPending()
        continue
      }
      if (this.#source.closed && this.#open.size === 0 && !this.#isListing) return null
      await this.#changed.wait()
    }
    return null
  }

  /** Lists the tasks of the group. One list at a time: calls meanwhile cause one more list. */
  async list (): Promise<void> {
    this.#isOutdated = this.#isListing
    if (this.#isListing || this.#left.signal.aborted) return
    this.#isListing = true
    clearTimeout(this.#nextList)
    const wait = await this.#list()
    this.#isListing = false
    if (!this.#left.signal.aborted) {
      if (this.#isOutdated) void this.list()
      else if (wait !== null) this.#nextList = setTimeout(() => { void this.list() }, wait)
    }
    this.#changed.notify()
  }

  leave (): void {
    this.#left.abort()
    clearTimeout(this.#nextList)
    this.#changed.notify()
  }

  /** ms until the next list; null: only when there may be more tasks. */
  async #list (): Promise<number | null> {
    try {
      const { tasks, read_at, complete } = await this.#source.list(this.#listedSince)
      if (this.#left.signal.aborted) return null
      this.#listedSince = read_at
      this.#isListed = true
      for (const ref of tasks) if (!this.#members.has(ref.task_id)) this.#add(ref)
      return complete ? null : INCOMPLETE_RETRY_MS
    } catch (error) {
      // After the first list, an outage does not end the stream: the tasks outlast it as well.
      if (!this.#isListed || !isStoreUnavailable(error)) this.#failure = error
      return UNAVAILABLE_RETRY_MS
    }
  }

  #add (ref: TaskRef): void {
    this.#members.add(ref.task_id)
    if (ref.completed_at === null) void this.#follow(ref)
    else if (ref.completed_at >= this.#since) this.#pending.set(ref.task_id, ref)
  }

  /** Reads the tasks of some of the references: a reader that has missed a thousand tasks holds only a few of them at a time. */
  async #readPending (): Promise<void> {
    const refs = [...this.#pending.values()].filter(isRef)
    try {
      const tasks = await this.#source.read(refs.map(({ task_id }) => task_id))
      tasks.forEach((task, i) => {
        const { task_id } = refs[i]!
        if (task) this.#pending.set(task_id, task)
        else this.#pending.delete(task_id)
      })
    } catch (error) {
      if (!isStoreUnavailable(error)) throw error
      await sleep(UNAVAILABLE_RETRY_MS, this.#left.signal)
    }
  }

  async #follow ({ task_id }: TaskRef): Promise<void> {
    this.#open.add(task_id)
    try {
      for await (const state of this.#watch(task_id, { signal: this.#left.signal })) {
        if (isFinished(state)) this.#open.delete(task_id)
        this.#pending.set(task_id, state)
        this.#changed.notify()
      }
    } catch (error) {
      this.#failure = error
    } finally {
      this.#open.delete(task_id)
      this.#changed.notify()
    }
  }

  #shift (task: StoredTask): GroupState<StoredTask> {
    this.#pending.delete(task.task_id)
    this.#latest = Math.max(this.#latest, timeOf(task))
    if (this.#source.closed && this.#pending.size === 0 && this.#open.size === 0) return { task, cursor: END }
    // The endings that are still pending must not lie behind the cursor.
    const ends = [...this.#pending.values()].map(endOf).filter(time => time !== null)
    return { task, cursor: cursorAt(Math.min(this.#latest, ...ends)) }
  }
}

/**
 * Watches many tasks over one iteration. A slow reader skips states, but never the last state of a task. With `after`, a cursor, only
 * unfinished tasks and those that have ended since are yielded; an ending shortly before the cursor may be repeated.
 */
export async function * watchGroup (source: GroupSource, watch: Watch, options: { after?: string | undefined, signal: AbortSignal }): AsyncGenerator<GroupState<StoredTask>, void, void> {
  const { after, signal } = options
  const group = new Group(source, watch, after === undefined ? 0 : readCursor(after) - OVERLAP_MS)
  const leave = () => group.leave()
  const ends = [signal, source.over]
  for (const end of ends) end.addEventListener('abort', leave)
  if (ends.some(({ aborted }) => aborted)) leave()
  let off = () => {}
  try {
    off = await source.onMore(() => { void group.list() })
    void group.list()
    for (let state = await group.next(); state; state = await group.next()) yield state
  } finally {
    for (const end of ends) end.removeEventListener('abort', leave)
    leave()
    off()
  }
}
