import { setMaxListeners } from 'node:events'
import { isStoreUnavailable } from '../errors.ts'
import { isFinished, type ChartTask } from '../task.ts'

/** ms before a cursor that are repeated: a change may have been on its way when the cursor was given. */
const OVERLAP = 20_000
/** ms after which it is looked again for what there was no room for, and after the store has not answered. */
const LOOK_AGAIN = { incomplete: 250, unavailable: 1_000 }
/** The cursor after which nothing follows. */
export const END = 'end'

/** One task's state, and where a reader who comes back goes on. */
export interface GroupState {
  readonly task: ChartTask
  readonly cursor: string
}

export interface GroupSource {
  /** Its unfinished tasks, and those that have ended since a time (ms since the epoch), oldest first. */
  list (since: number): Promise<GroupList>
  /** Calls back when it may have more tasks; starts before `list` is asked. Returns what ends that. */
  onMore (more: () => void): Promise<() => void>
  /** Whether it is over when all of its tasks have ended: nothing will be added to it. */
  readonly closed: boolean
  /** Aborted when nothing comes any more, because the process closes. */
  readonly over: AbortSignal
}

export interface GroupList {
  readonly tasks: readonly ChartTask[]
  /** When that was, ms since the epoch by the clock that says when a task ended: the next list goes on from there. */
  readonly read_at: number
  /** False: there was no room for all unfinished ones. */
  readonly complete: boolean
}

type Watch = (task_id: string, options: { after: number, signal: AbortSignal }) => AsyncIterable<ChartTask>

const timeOf = (task: ChartTask) => Date.parse(task.completed_at ?? task.started_at ?? task.created_at)

/** The cursor of a moment, ms since the epoch. */
export const cursorAt = (time: number): string => time.toString(36)

/** A cursor that is none, or of a time to come, is from the beginning: clocks differ by less than a minute. */
function readCursor (cursor: string): number {
  const time = /^[0-9a-z]{1,11}$/.test(cursor) ? Number.parseInt(cursor, 36) : 0
  return time > Date.now() + 60_000 ? 0 : time
}

/**
 * Many tasks as one stream: every state of each as it comes, a slow reader skipping states but never the last of any. A reader
 * that comes back with a cursor gets what has not ended, and what ended since, a little of it once more.
 */
export async function * watchGroup (source: GroupSource, watch: Watch, options: { after?: string | undefined, signal: AbortSignal }): AsyncGenerator<GroupState, void, void> {
  const { after, signal } = options
  const since = after === undefined ? 0 : readCursor(after) - OVERLAP
  const pending = new Map<string, ChartTask>()
  const members = new Set<string>()
  const left = new AbortController()
  // Every unfinished task of the group listens: that they are many is no leak.
  setMaxListeners(0, left.signal)
  /** Whose end has not been seen yet. */
  const open = new Set<string>()
  let latest = 0
  let failure: unknown
  let notify: () => void = () => {}
  let listedSince = Math.max(0, since)
  let isListed = false
  let listing = false
  let outdated = false
  let lookAgain: NodeJS.Timeout | undefined

  const pump = async (task: ChartTask) => {
    open.add(task.task_id)
    try {
      for await (const state of watch(task.task_id, { after: task.version, signal: left.signal })) {
        if (isFinished(state)) open.delete(state.task_id)
        pending.set(state.task_id, state)
        notify()
      }
    } catch (error) {
      failure = error
    } finally {
      open.delete(task.task_id)
      notify()
    }
  }
  const add = (tasks: readonly ChartTask[]) => {
    for (const task of tasks) {
      if (members.has(task.task_id)) continue
      members.add(task.task_id)
      if (!isFinished(task) || timeOf(task) >= since) pending.set(task.task_id, task)
      if (!isFinished(task)) pump(task)
    }
    notify()
  }
  /** ms after which to list again, null: when there is more. */
  const list = async (): Promise<number | null> => {
    try {
      const { tasks, read_at, complete } = await source.list(listedSince)
      if (left.signal.aborted) return null
      listedSince = read_at
      isListed = true
      add(tasks)
      return complete ? null : LOOK_AGAIN.incomplete
    } catch (error) {
      // A reader who has been let in is not sent away: its tasks outlast an outage as well.
      if (!isListed || !isStoreUnavailable(error)) failure = error
      return LOOK_AGAIN.unavailable
    }
  }
  /** One list at a time: what asks for another meanwhile asks for one more. */
  const relist = async () => {
    outdated = listing
    if (listing || left.signal.aborted) return
    listing = true
    clearTimeout(lookAgain)
    const again = await list()
    listing = false
    if (!left.signal.aborted && outdated) relist()
    else if (!left.signal.aborted && again !== null) lookAgain = setTimeout(relist, again)
    notify()
  }
  const stop = () => {
    left.abort()
    notify()
  }
  for (const end of [signal, source.over]) {
    end.addEventListener('abort', stop)
    if (end.aborted) stop()
  }
  let off = () => {}
  try {
    off = await source.onMore(relist)
    relist()
    while (!left.signal.aborted) {
      if (failure) throw failure
      const [next] = pending.values()
      if (next) {
        pending.delete(next.task_id)
        latest = Math.max(latest, timeOf(next))
        const last = source.closed && pending.size === 0 && open.size === 0
        // What is still to be told must not lie behind the cursor.
        const untold = [...pending.values()].filter(isFinished).map(timeOf)
        yield { task: next, cursor: last ? END : cursorAt(Math.min(latest, ...untold)) }
      } else if (source.closed && open.size === 0 && !listing) {
        return
      } else {
        await new Promise<void>(resolve => { notify = resolve })
      }
    }
  } finally {
    for (const end of [signal, source.over]) end.removeEventListener('abort', stop)
    left.abort()
    clearTimeout(lookAgain)
    off()
  }
}
