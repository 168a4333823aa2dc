import type { PublicChartTask } from '../task.ts'
import { ChartsClientError, isPassing, jsonOf, retryAfterOf, tooSilent } from './client-error.ts'
import { SILENCE_MS, readStream } from './event-stream.ts'
import { isFinished, type Source } from './sources.ts'
import { jittered, pause, supervised, type Expect } from './timing.ts'
import type { Transport } from './transport.ts'

/** Consecutive stream failures after which the client polls for a while instead. */
const MAX_FAULTS = 3
/** ms that it polls before it opens a stream again. */
const WITHOUT_STREAM_MS = 60_000
/** ms after which a stream counts as stable: a proxy that buffers or cuts streams does so earlier. */
const STEADY_MS = 10_000
/** ms between two requests without `Retry-After`. */
const POLL_MS = 2_000
/** ms until the next request if the last response was new, or if the next request waits on the server. */
const NEXT_MS = 500

/** Seconds that a request waits on the server for a change of its task. Short, because other tasks may change meanwhile. */
const WAIT_S = 10

/** One watch: of one task, or of all tasks of the channel. */
export interface Watcher {
  readonly task_id: string | undefined
  onState (task: PublicChartTask): void
  /** No state follows: all tasks have ended, or `error` ends the watch. The watcher then leaves the channel. */
  onEnd (error?: unknown): void
}

/** The response to a list request: of a batch, `tasks`; of a message, the other fields. */
interface Listing {
  readonly tasks?: readonly PublicChartTask[]
  readonly active_tasks?: readonly PublicChartTask[]
  readonly failed_tasks?: readonly PublicChartTask[]
  readonly charts?: ReadonlyArray<{ readonly task_id: string }>
}

export interface Channel {
  /** Adds a watcher. Calls it with all known states before this returns. */
  add (watcher: Watcher): void
  remove (watcher: Watcher): void
}

/**
* The one connection of a client for a message or a batch, open while it has watchers: a stream, or polling if streams do not get
 * through. Calls `onTask` with every new state.
 */
export function openChannel (transport: Transport, source: Source, onTask: (task: PublicChartTask) => void, onClose: () => void): Channel {
  const { timeScale } = transport
  const watchers = new Set<Watcher>()
  const closing = new AbortController()
  /** The latest state of each task, and the `ETag` of those that were polled. */
  const states = new Map<string, PublicChartTask>()
  const etags = new Map<string, string>()
  let isListed = false
  let cursor = ''
  let failures = 0
  /** Consecutive streams that ended before they were stable. */
  let faults = 0
  /** When the latest stream was opened (0: none in this round), and when the next one may be opened; ms since the epoch. */
  let openedAt = 0
  let streamAt = 0
  /** Whether requests with `Prefer: wait` get through. */
  let canWait = true

  async function run (): Promise<void> {
    const { signal } = closing
    while (!signal.aborted) {
      let wait
      let isSilent = false
      openedAt = 0
      try {
        wait = jittered(await supervised(signal, tooSilent, (signal, expect) => round(signal, ms => expect(ms * timeScale)))) * timeScale
      } catch (error) {
        if (signal.aborted) return
        if (!isPassing(error)) return end(error)
        isSilent = error === tooSilent
        wait = transport.waitAfter(error, failures++)
      }
      if (openedAt) {
        faults = isSilent ? MAX_FAULTS : Date.now() - openedAt > STEADY_MS * timeScale ? 0 : faults + 1
        // `faults` stays at the maximum until a stream was stable, so the next failure returns to polling at once.
        if (faults >= MAX_FAULTS) {
          streamAt = Date.now() + WITHOUT_STREAM_MS * timeScale
          canWait = true
        }
      }
      await pause(wait, signal)
    }
  }

  /** Lists the tasks, then follows the stream to its end or polls once. Resolves to the ms until the next round. */
  async function round (signal: AbortSignal, expect: Expect): Promise<number> {
    const hasStream = Date.now() >= streamAt
    expect(SILENCE_MS)
    await list(signal, !hasStream)
    failures = 0
    if (hasStream) {
      openedAt = Date.now()
      const comeBackIn = await readStream(transport, source.stream + cursor, signal, expect, (task, id) => {
        cursor = `?last_event_id=${id}`
        accept(task)
      })
      // Both mean that the batch has ended: status 204, and this cursor.
      if (!comeBackIn || cursor.endsWith('=end')) end()
      return comeBackIn
    }
    const [task_id] = unfinished()
    if (!task_id) return POLL_MS
    expect(SILENCE_MS)
    if (!canWait || !etags.has(task_id)) return requestStatus(task_id, signal)
    // If this request fails, the next one does not wait on the server.
    canWait = false
    const wait = await requestStatus(task_id, signal, { prefer: `wait=${WAIT_S}` })
    canWait = true
    return wait
  }

  /** Requests the list of tasks, then each watched task that the list omits and no stream will show. */
  async function list (signal: AbortSignal, hasNoStream: boolean): Promise<void> {
    const { tasks, active_tasks = [], failed_tasks = [], charts = [] } = await transport.json<Listing>(source.list, { signal }, 1)
    isListed = true
    const listed = tasks ?? [...active_tasks, ...failed_tasks]
    for (const task of listed) accept(task)
    const unlisted = new Set(unfinished(hasNoStream ? charts : []))
    for (const { task_id } of listed) unlisted.delete(task_id)
    for (const task_id of unlisted) await requestStatus(task_id, signal)
    // Only a batch has `tasks`, and no task is added to it.
    if (tasks?.every(isFinished)) end()
  }

  /** Requests the status of one task. Resolves to the ms until the next request. */
  async function requestStatus (task_id: string, signal: AbortSignal, preference?: { readonly prefer: string }): Promise<number> {
    const etag = etags.get(task_id)
    try {
      const response = await transport.send(`async/${task_id}/status`, { headers: { ...preference, ...(etag && { 'if-none-match': etag }) }, signal })
      const isNew = response.status === 200 && accept(await jsonOf(response))
      const current = response.headers.get('etag')
      if (current) etags.set(task_id, current)
      // Either this request has waited on the server, or the next one can, because it has an `ETag` now.
      if (isNew || response.headers.has('preference-applied') || (current && !etag)) return NEXT_MS
      const retryAfter = retryAfterOf(response)
      return retryAfter ? retryAfter * 1000 : POLL_MS
    } catch (error) {
      if (!(error instanceof ChartsClientError && error.status === 404)) throw error
      lose(task_id, error)
      return POLL_MS
    }
  }

  /** The watched tasks that have not ended. A watcher of the whole group watches all known tasks, and the `others`. */
  function unfinished (others: Listing['charts'] = []): string[] {
    return [...watchers]
      .flatMap(({ task_id }) => task_id ?? [...states.keys(), ...others.map(({ task_id }) => task_id)])
      .filter(task_id => !isFinished(states.get(task_id)))
  }

  /** Stores a state and passes it on. False if it is not newer than the known one: responses may overtake each other. */
  function accept (task: PublicChartTask): boolean {
    const known = states.get(task.task_id)
    // A final state is always accepted: if the store lost data, its version may be lower.
    if (isFinished(known) || (known && task.version <= known.version && !isFinished(task))) return false
    states.set(task.task_id, task)
    onTask(task)
    for (const watcher of watchers) watcher.onState(task)
    return true
  }

  function lose (task_id: string, error: unknown): void {
    states.delete(task_id)
    for (const watcher of watchers) if (watcher.task_id === task_id) watcher.onEnd(error)
  }

  function end (error?: unknown): void {
    for (const watcher of watchers) watcher.onEnd(error)
  }

  void run()
  return {
    add (watcher) {
      const { task_id } = watcher
      watchers.add(watcher)
      for (const task of states.values()) watcher.onState(task)
      // The stream of a message shows only its latest tasks.
      if (isListed && task_id && !states.has(task_id)) {
        transport.json<PublicChartTask>(`async/${task_id}/status`, { signal: closing.signal }, Infinity).then(accept, error => lose(task_id, error))
      }
    },
    remove (watcher) {
      watchers.delete(watcher)
      if (watchers.size > 0 || closing.signal.aborted) return
      closing.abort()
      onClose()
    }
  }
}
