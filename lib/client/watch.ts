import type { PublicChartTask } from '../task.ts'
import type { Watcher } from './channel.ts'
import { isFinished } from './sources.ts'
import type { Watch } from './types.ts'

export interface WatchStart {
  /** Ends the watch when it is aborted. */
  readonly signal?: AbortSignal | undefined
  /** One task to its end; absent: a group. */
  readonly task_id?: string
  /** What the caller has seen of it. */
  readonly version?: number
  /** Begins to tell the watcher; the signal is aborted when nothing more is wanted. */
  readonly start: (watcher: Watcher, signal: AbortSignal) => Promise<void>
}

/**
 * The states that a watcher is told, from when the first is asked for. A slow reader skips states, but never the last. Ends quietly
 * when `signal` is aborted, and frees the connection at once, whatever its reader is at.
 */
export function iterate ({ signal, task_id, version = 0, start }: WatchStart): Watch {
  const pending = new Map<string, PublicChartTask>()
  const waiting: Array<() => void> = []
  /** Aborted when nothing follows what is pending. */
  const own = new AbortController()
  let isStarted = false
  let failure: unknown

  const watcher: Watcher = {
    task_id,
    onState (task) {
      if (task_id) {
        if (task.task_id !== task_id || (task.version <= version && !isFinished(task))) return
        version = task.version
      }
      pending.set(task.task_id, task)
      if (task_id && isFinished(task)) watcher.onEnd()
      wake()
    },
    onEnd (error) {
      if (!own.signal.aborted) failure = error
      signal?.removeEventListener('abort', leave)
      own.abort()
      wake()
    }
  }
  const wake = () => waiting.splice(0).forEach(resolve => resolve())
  const leave = () => {
    pending.clear()
    watcher.onEnd()
  }

  const watch: Watch = {
    async next () {
      if (signal?.aborted) leave()
      if (!isStarted) {
        isStarted = true
        signal?.addEventListener('abort', leave)
        if (!own.signal.aborted) start(watcher, own.signal).catch(watcher.onEnd)
      }
      while (pending.size === 0 && !own.signal.aborted) await new Promise<void>(resolve => waiting.push(resolve))
      const [value] = pending.values()
      if (value) {
        pending.delete(value.task_id)
        return { done: false, value }
      }
      const error = failure
      failure = undefined
      if (error) throw error
      return { done: true, value: undefined }
    },
    return () {
      leave()
      return watch.next()
    },
    [Symbol.asyncIterator]: () => watch
  }
  return watch
}
