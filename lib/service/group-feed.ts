import { setMaxListeners } from 'node:events'
import { isFinished, type ChartTask } from '../task.ts'

/** ms before a cursor that are repeated: a change may have been on its way when the cursor was given. */
const OVERLAP = 20_000
/** The cursor after which nothing follows. */
export const END = 'end'

/** One task's state, and where a reader who comes back goes on. */
export interface GroupState {
  readonly task: ChartTask
  readonly cursor: string
}

export interface GroupSource {
  /** The tasks that belong to it now, oldest first. */
  list (): Promise<ChartTask[]>
  /** Calls back when it may have more tasks; starts before `list` is asked. Returns what ends that. */
  onMore (more: () => void): Promise<() => void>
  /** Whether it is over when all of its tasks have ended: nothing will be added to it. */
  readonly closed: boolean
  /** How many tasks `list` may leave no room for others with: then those come when one of these has ended. */
  readonly most: number
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

  const pump = async (task: ChartTask) => {
    open.add(task.task_id)
    try {
      for await (const state of watch(task.task_id, { after: task.version, signal: left.signal })) {
        if (isFinished(state)) {
          open.delete(state.task_id)
          if (members.size >= source.most) relist()
        }
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
  const add = (tasks: ChartTask[]) => {
    for (const task of tasks) {
      if (members.has(task.task_id)) continue
      members.add(task.task_id)
      if (!isFinished(task) || timeOf(task) >= since) pending.set(task.task_id, task)
      if (!isFinished(task)) pump(task)
    }
    notify()
  }
  const relist = () => { source.list().then(add, error => { failure = error; notify() }) }
  const stop = () => {
    left.abort()
    notify()
  }
  signal.addEventListener('abort', stop)
  const off = await source.onMore(relist)
  try {
    add(await source.list())
    while (!signal.aborted) {
      if (failure) throw failure
      const [next] = pending.values()
      if (next) {
        pending.delete(next.task_id)
        latest = Math.max(latest, timeOf(next))
        const last = source.closed && pending.size === 0 && open.size === 0
        // What is still to be told must not lie behind the cursor.
        const untold = [...pending.values()].filter(isFinished).map(timeOf)
        yield { task: next, cursor: last ? END : cursorAt(Math.min(latest, ...untold)) }
      } else if (source.closed && open.size === 0) {
        return
      } else {
        await new Promise<void>(resolve => { notify = resolve })
      }
    }
  } finally {
    signal.removeEventListener('abort', stop)
    left.abort()
    off()
  }
}
