import type { PublicChartTask } from '../task.ts'
import type { Watcher } from './channel.ts'
import { isFinished } from './sources.ts'
import type { Watch } from './types.ts'

export interface WatchStart {
  /** Ends the watch when aborted. */
  readonly signal?: AbortSignal | undefined
  /** Watches this task until it ends. Absent: watches all tasks of the channel. */
  readonly task_id?: string
  /** The last version of the task that the caller has seen. */
  readonly version?: number
  /** Starts to call the watcher. The signal is aborted when the watch has ended. */
  readonly start: (watcher: Watcher, signal: AbortSignal) => Promise<void>
}

/**
* Makes the states that a watcher receives an async iterator. It starts with the first `next`. A slow reader skips states, but never the
 * last one. When `signal` is aborted it ends without an error, and leaves the connection at once even if the reader is not waiting.
 */
export function iterate ({ signal, task_id, version = 0, start }: WatchStart): Watch {
  const pending = new Map<string, PublicChartTask>()
  const waiting: Array<() => void> = []
  const own = new AbortController()
  /** Aborted when no more states are added to `pending`. `AbortSignal.any`, because many watches may share a `signal`, and listeners on it would add up. */
  let ended: AbortSignal | undefined
  let failure: unknown

  const notify = () => waiting.splice(0).forEach(resolve => resolve())
  const watcher: Watcher = {
    task_id,
    onState (task) {
      if (task_id) {
        if (task.task_id !== task_id || (task.version <= version && !isFinished(task))) return
        version = task.version
      }
      pending.set(task.task_id, task)
      if (task_id && isFinished(task)) own.abort()
      notify()
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
        ended.addEventListener('abort', notify)
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
