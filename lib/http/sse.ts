import type { ServerResponse } from 'node:http'
import { once } from 'node:events'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { errors, isStoreUnavailable } from '../errors.ts'
import type { QueueService } from '../service/queue-service.ts'
import { END, type GroupState } from '../service/group-feed.ts'
import { isFinished } from '../task.ts'
import { callerOf, type Gate } from './access.ts'
import { comeBackIn, type OpenStreams } from './open-streams.ts'
import { groupFrame, sseFrame } from './views.ts'

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

type StreamRequest<P> = FastifyRequest<{ Params: P, Querystring: { last_event_id?: string | string[] } }>
type TaskStreamRequest = StreamRequest<{ task_id: string }>
type MessageStreamRequest = StreamRequest<{ message_id: string }>
type BatchStreamRequest = StreamRequest<{ batch_id: string }>

/** Where the reader goes on: the header, else the query for a first connection that knows. */
function cursorOf (request: FastifyRequest): string | undefined {
  const id = request.headers['last-event-id'] ?? (request.query as { last_event_id?: string | string[] }).last_event_id
  return typeof id === 'string' && id !== '' ? id : undefined
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
export function taskStream (dependencies: Dependencies) {
  const { service, gate } = dependencies
  return serve<TaskStreamRequest>(dependencies, async request => {
    const task = await gate.own(request, request.params.task_id, 'read')
    const id = cursorOf(request)
    const after = id !== undefined && /^\d{1,15}$/.test(id) ? Number(id) : undefined
    if (isFinished(task) && after === task.version) return null
    return signal => map(service.watchTask(task.task_id, { after, signal }), sseFrame)
  })
}

/** All of the caller's tasks of a message over one connection, new ones included. */
export function messageStream (dependencies: Dependencies) {
  const { service, gate } = dependencies
  return serve<MessageStreamRequest>(dependencies, async request => {
    const message_id = request.params.message_id.toLowerCase()
    await gate.message(request, message_id)
    // As long as it can be refused: with the first frame it could only be broken.
    if (!(await service.checkHealth()).store) throw new errors.CHARTS_ERR_STORE_UNAVAILABLE()
    const after = cursorOf(request)
    const asked = new Map<string, Promise<boolean>>()
    /** As the stream of a single task has it: asked once, when the task is first seen. */
    const isReadable = ({ task }: GroupState) => {
      const answer = asked.get(task.task_id) ?? gate.reads(request, task.message_id, task)
      asked.set(task.task_id, answer)
      return answer
    }
    return signal => map(filter(service.watchMessage(message_id, callerOf(request), { after, signal }), isReadable), groupFrame)
  })
}

/** All tasks of a batch over one connection, until the last of them has ended. */
export function batchStream (dependencies: Dependencies) {
  const { service, gate } = dependencies
  return serve<BatchStreamRequest>(dependencies, async request => {
    const { batch_id } = request.params
    const { finished } = await gate.batch(request, batch_id, 'read')
    const after = cursorOf(request)
    if (after === END) return null
    // Who has missed the last frame, with its cursor, would come back for ever.
    if (after !== undefined && finished && await isEmpty(service.watchBatch(batch_id, { after, signal: new AbortController().signal }))) return null
    return signal => map(service.watchBatch(batch_id, { after, signal }), groupFrame)
  })
}

async function isEmpty (states: AsyncIterable<unknown>): Promise<boolean> {
  const iterator = states[Symbol.asyncIterator]()
  const { done } = await iterator.next()
  await iterator.return?.()
  return done === true
}

async function * filter<T> (states: AsyncIterable<T>, passes: (state: T) => Promise<boolean>): AsyncGenerator<T, void, void> {
  for await (const state of states) if (await passes(state)) yield state
}

async function * map<T> (states: AsyncIterable<T>, frame: (state: T) => Buffer): AsyncGenerator<Buffer, void, void> {
  for await (const state of states) yield frame(state)
}

type Frames = (signal: AbortSignal) => AsyncIterable<Buffer>

/** Serves what `admit` lets in; null where the reader has seen it all. */
function serve<R extends FastifyRequest> ({ streams, options }: Dependencies, admit: (request: R) => Promise<Frames | null>) {
  return async (request: R, reply: FastifyReply): Promise<void> => {
    let frames: Frames | null
    try {
      frames = await admit(request)
    } catch (error) {
      if (!isStoreUnavailable(error)) throw error
      return refuseForNow(reply, 'not reachable, come back')
    }
    // Nothing will ever follow: 204 is how an EventSource is told to stop.
    if (!frames) return reply.code(204).send()
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
      for await (const frame of frames(stream.signal)) {
        if (!await writer.write(frame)) break
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
    // Asked now: its end aborts the stream, too, on some Nodes before the callback.
    const wasTold = this.#stream.signal.aborted
    const cut = setTimeout(() => this.#raw.destroy(), wasTold ? LAST_BYTES : this.#patience)
    await new Promise(resolve => {
      this.#raw.on('close', resolve)
      this.#raw.end(retry > 0 ? `retry: ${retry}\n\n` : undefined, () => {
        // Kept alive after it was told to end, the connection would hold up a shutdown. An injected request has none.
        if (wasTold && this.#raw.req.httpVersionMajor === 1) this.#raw.socket?.destroySoon?.()
      })
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
