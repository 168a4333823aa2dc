import type { ServerResponse } from 'node:http'
import { once } from 'node:events'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { isStoreUnavailable } from '../errors.ts'
import type { QueueService } from '../service/queue-service.ts'
import { isFinished, type ChartTask } from '../task.ts'
import { callerOf, type Gate } from './access.ts'
import { comeBackIn, type OpenStreams } from './open-streams.ts'
import { sseFrame } from './views.ts'

/** ms after which a browser comes back when a stream breaks, and when it was refused for now. */
const RETRY = { broken: 2_000, refused: 5_000 }
/** ms that a stream that was told to end gets to send its last bytes. */
const LAST_BYTES = 250

export interface StreamOptions {
  readonly heartbeat: number
  readonly maxDuration: number
}

interface Dependencies {
  readonly service: QueueService
  readonly gate: Gate
  readonly streams: OpenStreams
  readonly options: StreamOptions
}

type StreamRequest = FastifyRequest<{ Params: { task_id: string }, Querystring: { last_event_id?: string } }>

function cursorOf (request: StreamRequest): number | undefined {
  const id = request.headers['last-event-id'] ?? request.query.last_event_id
  return typeof id === 'string' && /^\d{1,15}$/.test(id) ? Number(id) : undefined
}

/** Takes the connection over; headers that the host has set (CORS) are kept. */
function begin (reply: FastifyReply): ServerResponse {
  reply.hijack()
  const { raw } = reply
  for (const [name, value] of Object.entries(reply.getHeaders())) if (value !== undefined) raw.setHeader(name, value)
  raw.writeHead(200, {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-cache, no-transform',
    'x-accel-buffering': 'no'
  })
  return raw
}

/** Any other status than 200 stops an `EventSource` for good: what will pass is told so and ended. */
function refuseForNow (reply: FastifyReply, reason: string): void {
  begin(reply).end(`retry: ${RETRY.refused}\n: ${reason}\n\n`)
}

/** The stream route: every state of the task as it comes, the finished one last. */
export function sseHandler ({ service, gate, streams, options }: Dependencies) {
  return async (request: StreamRequest, reply: FastifyReply): Promise<void> => {
    let task: ChartTask
    try {
      task = await gate.own(request, request.params.task_id, 'read')
    } catch (error) {
      if (!isStoreUnavailable(error)) throw error
      return refuseForNow(reply, 'not reachable, come back')
    }
    const after = cursorOf(request)
    if (isFinished(task) && after === task.version) {
      // Nothing will ever follow: 204 is how an EventSource is told to stop.
      return reply.code(204).send()
    }
    const stream = new AbortController()
    let retry = 0
    const release = streams.open(callerOf(request).user_id, jitter => {
      retry = jitter
      stream.abort()
    })
    if (!release) return refuseForNow(reply, 'too many streams, come back')
    const raw = begin(reply)
    const writer = new SseWriter(raw, options.heartbeat, stream)
    const expiry = setTimeout(() => {
      retry = comeBackIn()
      stream.abort()
    }, options.maxDuration)
    try {
      raw.write(`retry: ${RETRY.broken}\n\n`)
      for await (const state of service.watchTask(task.task_id, { after, signal: stream.signal })) {
        if (!await writer.write(sseFrame(state))) break
      }
    } catch (error) {
      if (!isStoreUnavailable(error)) request.log.error({ err: error }, 'the stream broke')
      retry = RETRY.refused
    } finally {
      clearTimeout(expiry)
      await writer.end(retry)
      release()
    }
  }
}

/** Writes frames to one reader: waits for a slow one, cuts one that takes nothing for two heartbeats. */
class SseWriter {
  readonly #raw: ServerResponse
  readonly #stream: AbortController
  readonly #patience: number
  readonly #heartbeat: NodeJS.Timeout
  #stuck = 0

  constructor (raw: ServerResponse, heartbeat: number, stream: AbortController) {
    this.#raw = raw
    this.#stream = stream
    this.#patience = 2 * heartbeat
    // The response, not the request: the request closes as soon as its body was read.
    raw.on('close', () => stream.abort())
    // Gone while its task was looked up: the event has passed.
    if (raw.destroyed) stream.abort()
    raw.on('drain', () => { this.#stuck = 0 })
    this.#heartbeat = setInterval(() => this.#beat(), heartbeat)
  }

  /** False when the reader is gone or the stream is to end. */
  async write (frame: Buffer): Promise<boolean> {
    if (!this.#raw.write(frame)) await once(this.#raw, 'drain', { signal: this.#stream.signal }).catch(() => {})
    return !this.#stream.signal.aborted
  }

  /**
   * `retry`: ms after which the reader should come back, 0 where it need not. Resolves when the last bytes have left, or
   * are given up: the finished state is worth some patience, a stream that was told to end must not hold anything up.
   */
  async end (retry: number): Promise<void> {
    clearInterval(this.#heartbeat)
    if (this.#raw.destroyed) return
    const cut = setTimeout(() => this.#raw.destroy(), this.#stream.signal.aborted ? LAST_BYTES : this.#patience)
    await new Promise(resolve => {
      this.#raw.on('close', resolve)
      this.#raw.end(retry > 0 ? `retry: ${retry}\n\n` : undefined)
    })
    clearTimeout(cut)
  }

  #beat (): void {
    if (!this.#raw.writableNeedDrain) {
      this.#raw.write(': heartbeat\n\n')
    } else if (++this.#stuck >= 2) {
      this.#raw.destroy()
    }
  }
}
