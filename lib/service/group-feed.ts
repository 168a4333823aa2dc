import { setMaxListeners } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { isStoreUnavailable } from '../errors.ts'
import type { TaskRef } from '../store/task-store.ts'
import { isFinished, type ChartTask, type StoredTask } from '../task.ts'

/** ms before a cursor that are repeated: a change may have been on its way when the cursor was given. */
const OVERLAP = 20_000
/** ms after which it is looked again for what there was no room for, and after the store has not answered. */
const LOOK_AGAIN = { incomplete: 250, unavailable: 1_000 }
/** The cursor after which nothing follows. */
export const END = 'end'

/** One task's state, and where a reader who comes back goes on. */
export interface GroupState<Task extends ChartTask = ChartTask> {
  readonly task: Task
  readonly cursor: string
}

export interface GroupSource {
  /** Its unfinished tasks, and those that have ended since a time (ms since the epoch), oldest first. */
  list (since: number): Promise<GroupList>
  /** The first of the tasks as they are now, at least one; null for what is no longer kept. */
  read (task_ids: readonly string[]): Promise<Array<StoredTask | null>>
  /** Calls back when it may have more tasks; starts before `list` is asked. Returns what ends that. */
  onMore (more: () => void): Promise<() => void>
  /** Whether it is over when all of its tasks have ended: nothing will be added to it. */
  readonly closed: boolean
  /** Aborted when nothing comes any more, because the process closes. */
  readonly over: AbortSignal
}

export interface GroupList {
  readonly tasks: readonly TaskRef[]
  /** When that was, ms since the epoch by the clock that says when a task ended: the next list goes on from there. */
  readonly read_at: number
  /** False: there was no room for all unfinished ones. */
  readonly complete: boolean
}

type Watch = (task_id: string, options: { signal: AbortSignal }) => AsyncIterable<StoredTask>

const timeOf = (task: StoredTask) => Date.parse(task.completed_at ?? task.started_at ?? task.created_at)
const isRef = (state: StoredTask | TaskRef): state is TaskRef => !('status' in state)
/** When a task that is still to be told has ended; null where it has not. */
const endOf = (state: StoredTask | TaskRef) => isRef(state) ? state.completed_at : isFinished(state) ? timeOf(state) : null

/** The cursor of a moment, ms since the epoch. */
export const cursorAt = (time: number): string => time.toString(36)

/** A cursor that is none, or of a time to come, is from the beginning: clocks differ by less than a minute. */
function readCursor (cursor: string): number {
  const time = /^[0-9a-z]{1,11}$/.test(cursor) ? Number.parseInt(cursor, 36) : 0
  return time > Date.now() + 60_000 ? 0 : time
}

/** The tasks of a stream: which have been seen, what of them is still to be told, and what they are waited for with. */
class Group {
  readonly #source: GroupSource
  readonly #watch: Watch
  readonly #since: number
  readonly #members = new Set<string>()
  /** What is still to be told, the latest of each task; of one that has ended before only its name, until its turn comes. */
  readonly #pending = new Map<string, StoredTask | TaskRef>()
  /** Whose end has not been seen yet. */
  readonly #open = new Set<string>()
  readonly #left = new AbortController()
  #listedSince: number
  #isListed = false
  #listing = false
  #outdated = false
  #lookAgain: NodeJS.Timeout | undefined
  #latest = 0
  #failure: unknown
  #notify: () => void = () => {}

  /** `since`: ms since the epoch; what had ended before is not told. */
  constructor (source: GroupSource, watch: Watch, since: number) {
    this.#source = source
    this.#watch = watch
    this.#since = since
    this.#listedSince = Math.max(0, since)
    // Every unfinished task of the group listens: that they are many is no leak.
    setMaxListeners(0, this.#left.signal)
  }

  /** The next state that is to be told; null when nothing follows. */
  async next (): Promise<GroupState<StoredTask> | null> {
    while (!this.#left.signal.aborted) {
      if (this.#failure) throw this.#failure
      const [state] = this.#pending.values()
      if (state) {
        if (!isRef(state)) return this.#tell(state)
        await this.#readPending()
        continue
      }
      if (this.#source.closed && this.#open.size === 0 && !this.#listing) return null
      await new Promise<void>(resolve => { this.#notify = resolve })
    }
    return null
  }

  /** Finds out who belongs to it. One list at a time: what asks for another meanwhile asks for one more. */
  async list (): Promise<void> {
    this.#outdated = this.#listing
    if (this.#listing || this.#left.signal.aborted) return
    this.#listing = true
    clearTimeout(this.#lookAgain)
    const again = await this.#list()
    this.#listing = false
    if (!this.#left.signal.aborted) {
      if (this.#outdated) void this.list()
      else if (again !== null) this.#lookAgain = setTimeout(() => { void this.list() }, again)
    }
    this.#notify()
  }

  leave (): void {
    this.#left.abort()
    clearTimeout(this.#lookAgain)
    this.#notify()
  }

  /** ms after which to list again, where that is not only when there may be more. */
  async #list (): Promise<number | null> {
    try {
      const { tasks, read_at, complete } = await this.#source.list(this.#listedSince)
      if (this.#left.signal.aborted) return null
      this.#listedSince = read_at
      this.#isListed = true
      for (const ref of tasks) if (!this.#members.has(ref.task_id)) this.#add(ref)
      return complete ? null : LOOK_AGAIN.incomplete
    } catch (error) {
      // A reader who has been let in is not sent away: its tasks outlast an outage as well.
      if (!this.#isListed || !isStoreUnavailable(error)) this.#failure = error
      return LOOK_AGAIN.unavailable
    }
  }

  #add (ref: TaskRef): void {
    this.#members.add(ref.task_id)
    if (ref.completed_at === null) void this.#follow(ref)
    else if (ref.completed_at >= this.#since) this.#pending.set(ref.task_id, ref)
  }

  /** Reads some of those that are told next: a reader who has missed a thousand holds no more of them at a time. */
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
      await delay(LOOK_AGAIN.unavailable, undefined, { signal: this.#left.signal }).catch(() => {})
    }
  }

  async #follow ({ task_id }: TaskRef): Promise<void> {
    this.#open.add(task_id)
    try {
      for await (const state of this.#watch(task_id, { signal: this.#left.signal })) {
        if (isFinished(state)) this.#open.delete(task_id)
        this.#pending.set(task_id, state)
        this.#notify()
      }
    } catch (error) {
      this.#failure = error
    } finally {
      this.#open.delete(task_id)
      this.#notify()
    }
  }

  #tell (task: StoredTask): GroupState<StoredTask> {
    this.#pending.delete(task.task_id)
    this.#latest = Math.max(this.#latest, timeOf(task))
    if (this.#source.closed && this.#pending.size === 0 && this.#open.size === 0) return { task, cursor: END }
    // What is still to be told must not lie behind the cursor.
    const untold = [...this.#pending.values()].map(endOf).filter(time => time !== null)
    return { task, cursor: cursorAt(Math.min(this.#latest, ...untold)) }
  }
}

/**
 * Many tasks as one stream: every state of each as it comes, a slow reader skipping states but never the last of any. A reader
 * that comes back with a cursor gets what has not ended, and what ended since, a little of it once more.
 */
export async function * watchGroup (source: GroupSource, watch: Watch, options: { after?: string | undefined, signal: AbortSignal }): AsyncGenerator<GroupState<StoredTask>, void, void> {
  const { after, signal } = options
  const group = new Group(source, watch, after === undefined ? 0 : readCursor(after) - OVERLAP)
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
