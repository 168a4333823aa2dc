import type { PublicChartTask } from '../task.ts'
import { ChartsClientError, isPassing, jsonOf, retryAfterOf, tooSilent } from './client-error.ts'
import { SILENCE_MS, readStream } from './event-stream.ts'
import { isFinished, type Source } from './sources.ts'
import { jittered, pause, supervised, type Expect } from './timing.ts'
import type { Transport } from './transport.ts'

/** Faults of a stream in a row after which the client does without for a while. */
const MAX_FAULTS = 3
/** How long that is. */
const WITHOUT_STREAM_MS = 60_000
/** A stream that has lasted so long was not cut by a proxy. */
const STEADY_MS = 10_000
/** Between requests: where the server gives no pace, and where the answer was new or the next request waits. */
const POLL_MS = 2_000
const NEXT_MS = 500

/** Seconds that a request waits for a change of its task: others may change meanwhile. */
const WAIT_S = 10

/** Somebody who watches: one task, or all of the channel. */
export interface Watcher {
  readonly task_id: string | undefined
  onState (task: PublicChartTask): void
  /** Nothing follows: all has ended, or an error says why. The watcher then leaves the channel. */
  onEnd (error?: unknown): void
}

/** What a message or a batch answers when it is asked for its tasks. */
interface Listing {
  readonly tasks?: readonly PublicChartTask[]
  readonly active_tasks?: readonly PublicChartTask[]
  readonly failed_tasks?: readonly PublicChartTask[]
  readonly charts?: ReadonlyArray<{ readonly task_id: string }>
}

export interface Channel {
  /** The watcher is told what is known before this returns. */
  add (watcher: Watcher): void
  remove (watcher: Watcher): void
}

/**
 * The one connection of a page for a message or a batch, open as long as somebody watches: a stream, or requests where a stream does
 * not get through. `onTask` is called with every new state.
 */
export function openChannel (transport: Transport, source: Source, onTask: (task: PublicChartTask) => void, onClose: () => void): Channel {
  const { timeScale } = transport
  const watchers = new Set<Watcher>()
  const closing = new AbortController()
  /** The latest state of each task, and its validator where it was asked for by itself. */
  const states = new Map<string, PublicChartTask>()
  const etags = new Map<string, string>()
  let isListed = false
  let cursor = ''
  let failures = 0
  /** Streams in a row that were cut soon. */
  let faults = 0
  /** When the latest stream was opened, 0 in a round without one, and when the next may be; ms since the epoch. */
  let openedAt = 0
  let streamAt = 0
  /** Whether requests that wait get through. */
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
        // Until a stream has lasted, the next fault leads back here.
        if (faults >= MAX_FAULTS) {
          streamAt = Date.now() + WITHOUT_STREAM_MS * timeScale
          canWait = true
        }
      }
      await pause(wait, signal)
    }
  }

  /** Lists the tasks, then follows the stream to its end; without a stream, waits for a change. Resolves to the ms until the next round. */
  async function round (signal: AbortSignal, expect: Expect): Promise<number> {
    const hasStream = Date.now() >= streamAt
    expect(SILENCE_MS)
    await list(signal, !hasStream)
    failures = 0
    if (hasStream) {
      openedAt = Date.now()
      const comeBackIn = await readStream(transport, source.stream + cursor, signal, expect, (task, id) => {
        cursor = `?last_event_id=${id}`
        take(task)
      })
      // The last cursor of a batch says the same as a 204.
      if (!comeBackIn || cursor.endsWith('=end')) end()
      return comeBackIn
    }
    const [task_id] = unfinished()
    if (!task_id) return POLL_MS
    expect(SILENCE_MS)
    if (!canWait || !etags.has(task_id)) return ask(task_id, signal)
    // Until it has turned out to get through.
    canWait = false
    const wait = await ask(task_id, signal, { prefer: `wait=${WAIT_S}` })
    canWait = true
    return wait
  }

  /** Asks for all tasks of a group, and one by one for those that the listing leaves out and no stream will show. */
  async function list (signal: AbortSignal, hasNoStream: boolean): Promise<void> {
    const { tasks, active_tasks = [], failed_tasks = [], charts = [] } = await transport.json<Listing>(source.list, { signal }, 1)
    isListed = true
    const listed = tasks ?? [...active_tasks, ...failed_tasks]
    for (const task of listed) take(task)
    const unlisted = new Set(unfinished(hasNoStream ? charts : []))
    for (const { task_id } of listed) unlisted.delete(task_id)
    for (const task_id of unlisted) await ask(task_id, signal)
    // A message may get more tasks, a batch does not.
    if (tasks?.every(isFinished)) end()
  }

  /** Asks for one task; ms after which to ask again. */
  async function ask (task_id: string, signal: AbortSignal, preference?: { readonly prefer: string }): Promise<number> {
    const etag = etags.get(task_id)
    try {
      const response = await transport.send(`async/${task_id}/status`, { headers: { ...preference, ...(etag && { 'if-none-match': etag }) }, signal })
      const isNew = response.status === 200 && take(await jsonOf(response))
      const current = response.headers.get('etag')
      if (current) etags.set(task_id, current)
      // This request has waited for a change, or the next one can.
      if (isNew || response.headers.has('preference-applied') || (current && !etag)) return NEXT_MS
      const retryAfter = retryAfterOf(response)
      return retryAfter ? retryAfter * 1000 : POLL_MS
    } catch (error) {
      if (!(error instanceof ChartsClientError && error.status === 404)) throw error
      lose(task_id, error)
      return POLL_MS
    }
  }

  /** The tasks whose end somebody waits for. Who watches the whole group waits for all that are known, and for the `others`. */
  function unfinished (others: Listing['charts'] = []): string[] {
    return [...watchers]
      .flatMap(({ task_id }) => task_id ?? [...states.keys(), ...others.map(({ task_id }) => task_id)])
      .filter(task_id => !isFinished(states.get(task_id)))
  }

  /** Whether the state is new. What has ended stays as it is, and nothing becomes older: answers overtake each other. */
  function take (task: PublicChartTask): boolean {
    const known = states.get(task.task_id)
    // A server that has lost something may end a task with a lower version.
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

  run()
  return {
    add (watcher) {
      const { task_id } = watcher
      watchers.add(watcher)
      for (const task of states.values()) watcher.onState(task)
      // The stream shows the latest tasks of a message only.
      if (isListed && task_id && !states.has(task_id)) {
        transport.json<PublicChartTask>(`async/${task_id}/status`, { signal: closing.signal }, Infinity).then(take, error => lose(task_id, error))
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
