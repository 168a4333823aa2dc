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
  const own = new AbortController()
  /** Aborted when nothing follows what is pending. Many watches may have one `signal`: none of them adds a listener to it. */
  let ended: AbortSignal | undefined
  let failure: unknown

  const wake = () => waiting.splice(0).forEach(resolve => resolve())
  const watcher: Watcher = {
    task_id,
    onState (task) {
      if (task_id) {
        if (task.task_id !== task_id || (task.version <= version && !isFinished(task))) return
        version = task.version
      }
      pending.set(task.task_id, task)
      if (task_id && isFinished(task)) own.abort()
      wake()
    },
    onEnd (error) {
      if (!own.signal.aborted) failure = error
      own.abort()
    }
  }

  const watch: Watch = {
    async next () {
      if (!ended) {
        ended = AbortSignal.any([own.signal, ...signal ? [signal] : []])
        ended.addEventListener('abort', wake)
        if (!ended.aborted) start(watcher, ended).catch(watcher.onEnd)
      }
      while (pending.size === 0 && !ended.aborted) await new Promise<void>(resolve => waiting.push(resolve))
      const [value] = pending.values()
      if (value && !signal?.aborted) {
        pending.delete(value.task_id)
        return { done: false, value }
      }
      const error = failure
      failure = undefined
      if (error && !signal?.aborted) throw error
      return { done: true, value: undefined }
    },
    return () {
      pending.clear()
      own.abort()
      failure = undefined
      return watch.next()
    },
    [Symbol.asyncIterator]: () => watch
  }
  return watch
}
