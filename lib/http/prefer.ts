import type { FastifyReply, FastifyRequest } from 'fastify'
import { isStoreUnavailable } from '../errors.ts'
import type { QueueService } from '../service/queue-service.ts'
import { isFinished, type ChartTask } from '../task.ts'
import { callerOf } from './access.ts'
import { endConnectionAfter, isGone } from './connection.ts'
import type { OpenStreams } from './open-streams.ts'

/** Seconds that a request may wait, whatever it prefers: proxies give up after 60. */
const LONGEST_WAIT = 30

interface Preferences {
  readonly wait: number | null
  readonly respondAsync: boolean
}

/** What `Prefer` asks for (RFC 7240); what is not understood is ignored, as it says, and so is a second one of the same name. */
function preferencesOf (request: FastifyRequest): Preferences {
  const header = [request.headers['prefer'] ?? []].flat().join(',').toLowerCase()
  const preferences = new Map<string, string>()
  // A comma within quotes ends nothing.
  for (const preference of header.match(/(?:"(?:[^"\\]|\\.)*"?|[^",])+/g) ?? []) {
    const [name, value = ''] = preference.split(';', 1)[0]!.split('=').map(part => part.trim())
    if (!preferences.has(name!)) preferences.set(name!, value)
  }
  const wait = /^"?(\d+)"?$/.exec(preferences.get('wait') ?? '')?.[1]
  return {
    wait: wait === undefined ? null : Math.min(Number(wait), LONGEST_WAIT),
    // An empty value is none, says RFC 7240.
    respondAsync: ['', '""'].includes(preferences.get('respond-async')!)
  }
}

/** Lets a caller wait in one request: for a chart to end, or for any change. */
export class Patience {
  readonly #service: QueueService
  readonly #streams: OpenStreams

  constructor (service: QueueService, streams: OpenStreams) {
    this.#service = service
    this.#streams = streams
  }

  /**
   * The task once it has ended, or as it is when `Prefer: wait` has run out, the caller has left or the process closes.
   * With `change`, any state but this one will do. Says in `Preference-Applied` what was done, and `waited` whether it has waited.
   */
  async wait (request: FastifyRequest, reply: FastifyReply, task: ChartTask, options: { change?: boolean } = {}): Promise<{ task: ChartTask, waited: boolean }> {
    const { wait, respondAsync } = preferencesOf(request)
    const vary = reply.getHeader('vary')
    reply.header('vary', vary ? `${String(vary)}, Prefer` : 'Prefer')
    const applied = respondAsync ? ['respond-async'] : []
    let latest = task
    let waited = false
    if (wait !== null) {
      const waiting = new AbortController()
      const stop = () => waiting.abort()
      const release = this.#streams.open(callerOf(request).user_id, 'wait', () => {
        // A connection that is kept alive after this answer would hold up the shutdown.
        endConnectionAfter(reply)
        stop()
      })
      // One wait too many is answered at once, as if nothing had been preferred.
      if (release) {
        waited = true
        applied.push(`wait=${wait}`)
        const timer = setTimeout(stop, wait * 1000)
        reply.raw.on('close', stop)
        // Gone while its task was looked up: the event has passed.
        if (isGone(reply.raw)) stop()
        try {
          latest = await this.#until(task, options.change === true, waiting.signal)
        } finally {
          clearTimeout(timer)
          reply.raw.off('close', stop)
          release()
        }
      }
    }
    if (applied.length > 0) reply.header('preference-applied', applied.join(', '))
    return { task: latest, waited }
  }

  async #until (task: ChartTask, change: boolean, signal: AbortSignal): Promise<ChartTask> {
    let latest = task
    if (isFinished(task)) return task
    try {
      for await (const state of this.#service.watchTask(task.task_id, { after: task.version, signal })) {
        latest = state
        if (change || isFinished(state)) break
      }
    } catch (error) {
      if (!isStoreUnavailable(error)) throw error
    }
    return latest
  }
}
