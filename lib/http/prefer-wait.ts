import type { FastifyReply, FastifyRequest } from 'fastify'
import { isStoreUnavailable } from '../errors.ts'
import type { ChartQueueService } from '../chart-queue-service.ts'
import { isFinished, type ChartTask } from '../task.ts'
import { callerOf } from './access.ts'
import { endConnectionAfter } from './connection.ts'
import type { OpenStreams } from './streams/open-streams.ts'

/** Maximum seconds that a request waits, whatever it prefers: many proxies give up after 60. */
const MAX_WAIT_SECONDS = 30

interface Preferences {
  /** Seconds; null without the preference. */
  readonly wait: number | null
  readonly respondAsync: boolean
}

/** Parses `Prefer` (RFC 7240). As the RFC requires, unknown preferences are ignored, and so is the second one of a name. */
function preferencesOf (request: FastifyRequest): Preferences {
  const header = [request.headers['prefer'] ?? []].flat().join(',').toLowerCase()
  const preferences = new Map<string, string>()
  // Splits at commas, but not within quotes.
  for (const preference of header.match(/(?:"(?:[^"\\]|\\.)*"?|[^",])+/g) ?? []) {
    const [name, value = ''] = preference.split(';', 1)[0]!.split('=').map(part => part.trim())
    if (!preferences.has(name!)) preferences.set(name!, value)
  }
  const wait = /^"?(\d+)"?$/.exec(preferences.get('wait') ?? '')?.[1]
  return {
    wait: wait === undefined ? null : Math.min(Number(wait), MAX_WAIT_SECONDS),
    // RFC 7240: an empty value is the same as none.
    respondAsync: ['', '""'].includes(preferences.get('respond-async')!)
  }
}

/** What a waiting request waits for: that the task has finished, or any newer version of it. */
export type WaitGoal = 'finished' | 'newer'

/** `Prefer: wait=<seconds>`: delays a response until a task has finished or changed. */
export class PreferWait {
  readonly #service: ChartQueueService
  readonly #streams: OpenStreams

  constructor (service: ChartQueueService, streams: OpenStreams) {
    this.#service = service
    this.#streams = streams
  }

  /**
   * Waits as the request prefers, and sets `Preference-Applied` and `Vary`. Resolves to the task as it is when it reaches `goal`, when
   * the time is over, when the client has gone or when the process closes. `hasWaited`: whether the preference was applied.
   */
  async wait (request: FastifyRequest, reply: FastifyReply, task: ChartTask, goal: WaitGoal = 'finished'): Promise<{ task: ChartTask, hasWaited: boolean }> {
    const { wait, respondAsync } = preferencesOf(request)
    const vary = reply.getHeader('vary')
    reply.header('vary', vary ? `${String(vary)}, Prefer` : 'Prefer')
    const applied = respondAsync ? ['respond-async'] : []
    // A waiting request counts as a stream. One too many is answered at once, as if it had not preferred to wait.
    const stream = wait === null ? null : this.#streams.open(callerOf(request).user_id, 'wait')
    let latest = task
    if (wait !== null && stream) {
      applied.push(`wait=${wait}`)
      stream.endAfter(wait * 1000)
      stream.endOnClose(reply.raw)
      try {
        latest = await this.#latest(task, goal, stream.signal)
      } finally {
        stream.close()
      }
      if (this.#streams.isClosing) endConnectionAfter(reply)
    }
    if (applied.length > 0) reply.header('preference-applied', applied.join(', '))
    return { task: latest, hasWaited: stream !== null }
  }

  /** The newest state once it reaches `goal` or `signal` is aborted; if the store is unavailable, the newest that is known. */
  async #latest (task: ChartTask, goal: WaitGoal, signal: AbortSignal): Promise<ChartTask> {
    if (isFinished(task)) return task
    let latest = task
    try {
      for await (const state of this.#service.watchTask(task.task_id, { after: task.version, signal })) {
        latest = state
        if (goal === 'newer' || isFinished(state)) break
      }
    } catch (error) {
      if (!isStoreUnavailable(error)) throw error
    }
    return latest
  }
}
