import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { errors, isStoreUnavailable } from '../errors.ts'
import type { QueueService } from '../service/queue-service.ts'
import { END, type GroupState } from '../service/group-feed.ts'
import { isFinished } from '../task.ts'
import { callerOf, type Gate } from './access.ts'
import { endConnection, isGone, mayCarry } from './connection.ts'
import { comeBackIn, type OpenStreams } from './open-streams.ts'
import { StallDetector } from './stall-detector.ts'
import { budgetOf } from './store-budget.ts'
import { groupFrame, sseFrame } from './views.ts'
import { chunkedConnection, toChunk } from './wire.ts'

/** ms after which a browser comes back when a stream breaks, and when it was refused for now. */
const RETRY = { broken: 2_000, refused: 5_000 }
/** ms that a stream that was told to end gets to send its last bytes. */
const LAST_BYTES = 250
/** Bytes that are written at a time: a reader that takes a large frame slowly is seen to take some. */
const SLICE_BYTES = 16_384

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
  for (const [name, value] of Object.entries(reply.getHeaders())) {
    if (value !== undefined && mayCarry(raw, name)) raw.setHeader(name, value)
  }
  raw.writeHead(200, {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-cache, no-transform',
    'x-accel-buffering': 'no'
  })
  return raw
}

/**
 * Any other status than 200 stops an `EventSource` for good: what will pass is told so and ended. No empty line anywhere but
 * behind data: `@microsoft/fetch-event-source` takes it for a message without data.
 */
function refuseForNow (reply: FastifyReply, reason: string): void {
  begin(reply).end(`retry: ${RETRY.refused}\n: ${reason}\n`)
}

/** The stream route: every state of the task as it comes, the finished one last. */
export function taskStream (dependencies: Dependencies) {
  const { service, gate } = dependencies
  return serve<TaskStreamRequest>(dependencies, async request => {
    const task = await gate.own(request, request.params.task_id, 'read')
    const id = cursorOf(request)
    const after = id !== undefined && /^\d{1,15}$/.test(id) ? Number(id) : undefined
    if (isFinished(task) && after === task.version) return null
    return framesOf(signal => service.watchTask(task.task_id, { after, signal }), sseFrame)
  })
}

/** All of the caller's tasks of a message over one connection, new ones included. */
export function messageStream (dependencies: Dependencies) {
  const { service, gate } = dependencies
  return serve<MessageStreamRequest>(dependencies, async request => {
    const message_id = request.params.message_id.toLowerCase()
    await gate.message(request, message_id)
    // As long as it can be refused: with the first frame it could only be broken.
    if (!(await budgetOf(request).spend(() => service.checkHealth())).store) throw new errors.CHARTS_ERR_STORE_UNAVAILABLE()
    const after = cursorOf(request)
    const asked = new Map<string, Promise<boolean>>()
    /** As the stream of a single task has it: asked once, when the task is first seen. */
    const isReadable = ({ task }: GroupState) => {
      const answer = asked.get(task.task_id) ?? gate.reads(request, task.message_id, task)
      asked.set(task.task_id, answer)
      return answer
    }
    return framesOf(signal => filter(service.watchMessage(message_id, callerOf(request), { after, signal }), isReadable), groupFrame)
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
    if (after !== undefined && finished && await budgetOf(request).spend(() => isEmpty(service.watchBatch(batch_id, { after, signal: new AbortController().signal })))) return null
    return framesOf(signal => service.watchBatch(batch_id, { after, signal }), groupFrame)
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

/** Hands each frame to `write` until that says no, or there are no more. */
type Frames = (signal: AbortSignal, write: (frame: Buffer) => boolean | Promise<boolean>) => Promise<void>

function framesOf<T> (watch: (signal: AbortSignal) => AsyncIterable<T>, frameOf: (state: T) => Buffer): Frames {
  return async (signal, write) => {
    for await (const state of watch(signal)) {
      const written = write(frameOf(state))
      // Mostly there is nothing to wait for.
      if (written !== true && !await written) return
    }
  }
}

/** Serves what `admit` lets in; null where the reader has seen it all. */
function serve<R extends FastifyRequest> ({ service, streams, options }: Dependencies, admit: (request: R) => Promise<Frames | null>) {
  return async (request: R, reply: FastifyReply): Promise<void> => {
    let frames: Frames | null
    try {
      frames = await admit(request)
    } catch (error) {
      if (!isStoreUnavailable(error)) throw error
      service.telemetry.refused(error)
      return refuseForNow(reply, 'not reachable, come back')
    }
    // Nothing will ever follow: 204 is how an EventSource is told to stop.
    if (!frames) return reply.code(204).send()
    const stream = new AbortController()
    let retry = 0
    const release = streams.open(callerOf(request).user_id, 'sse', jitter => {
      retry = jitter
      stream.abort()
    })
    if (!release) return refuseForNow(reply, 'too many streams, come back')
    const writer = new SseWriter(begin(reply), options.heartbeat, stream)
    const expiry = setTimeout(() => {
      retry = comeBackIn()
      stream.abort()
    }, options.maxDuration)
    try {
      writer.start()
      await frames(stream.signal, frame => writer.write(frame))
    } catch (error) {
      if (!isStoreUnavailable(error)) request.log.error({ err: error }, 'the stream broke')
      retry = RETRY.refused
    } finally {
      clearTimeout(expiry)
      await writer.end(retry, streams.isClosing)
      release()
    }
  }
}

/** Writes frames to one reader: waits for a slow one, cuts one that takes nothing for two heartbeats. */
class SseWriter {
  readonly #raw: ServerResponse
  readonly #stream: AbortController
  readonly #heartbeat: NodeJS.Timeout
  readonly #stall = new StallDetector()
  readonly #onTaken = (): void => {
    this.#pending--
    this.#taken++
  }

  /** Where frames are written as they are; null where the response writes them. */
  #connection: Socket | null = null
  /** Writes that the connection has not taken yet, and how many it has taken. */
  #pending = 0
  #taken = 0
  #isBetweenFrames = true

  constructor (raw: ServerResponse, heartbeat: number, stream: AbortController) {
    this.#raw = raw
    this.#stream = stream
    // The response, not the request: the request closes as soon as its body was read.
    raw.on('close', () => stream.abort())
    // Gone while its task was looked up: the event has passed.
    if (isGone(raw)) stream.abort()
    this.#heartbeat = setInterval(() => this.#beat(), heartbeat)
  }

  /** The line becomes the first of the first event. */
  start (): void {
    this.#send(`retry: ${RETRY.broken}\n`)
    this.#connection = chunkedConnection(this.#raw)
  }

  /** False when the reader is gone or the stream is to end. */
  write (frame: Buffer): boolean | Promise<boolean> {
    if (frame.length > SLICE_BYTES) return this.#writeSlices(frame)
    return this.#sendFrame(frame) ? !this.#stream.signal.aborted : this.#drained()
  }

  async #writeSlices (frame: Buffer): Promise<boolean> {
    this.#isBetweenFrames = false
    for (let at = 0; at < frame.length; at += SLICE_BYTES) {
      // What has begun is no event without its end, and its reader comes back for it.
      if (!this.#send(frame.subarray(at, at + SLICE_BYTES)) && !await this.#drained()) return false
    }
    this.#isBetweenFrames = true
    return !this.#stream.signal.aborted
  }

  /** Resolves when a slow reader has taken what was written; false when it is gone or the stream is to end. */
  async #drained (): Promise<boolean> {
    const { signal } = this.#stream
    await once(this.#connection ?? this.#raw, 'drain', { signal }).catch(() => {})
    return !signal.aborted
  }

  /**
   * `retry`: ms after which the reader should come back, 0 where it need not. Resolves when the last bytes have left, or
   * are given up: the finished state waits for a slow reader, a stream that was told to end must not hold anything up.
   */
  async end (retry: number, isClosing: boolean): Promise<void> {
    // Asked now: its end aborts the stream, too, on some Nodes before the callback.
    const wasTold = this.#stream.signal.aborted
    const cut = wasTold && setTimeout(() => this.#raw.destroy(), LAST_BYTES)
    if (!isGone(this.#raw)) await this.#finish(retry)
    clearInterval(this.#heartbeat)
    if (cut) clearTimeout(cut)
    if (isClosing) endConnection(this.#raw)
  }

  #finish (retry: number): Promise<void> {
    // Within a frame, the line must not become part of its data.
    const line = retry > 0 ? `${this.#isBetweenFrames ? '' : '\n'}retry: ${retry}\n` : undefined
    this.#isBetweenFrames = false
    this.#pending++
    return new Promise(resolve => {
      this.#raw.on('close', resolve)
      this.#raw.end(line, resolve)
    })
  }

  /** False when the reader is slow. */
  #sendFrame (frame: Buffer): boolean {
    if (!this.#connection) return this.#send(frame)
    this.#pending++
    return this.#connection.write(toChunk(frame), this.#onTaken)
  }

  /** False when the reader is slow. */
  #send (chunk: Buffer | string): boolean {
    this.#pending++
    return this.#raw.write(chunk, 'utf8', this.#onTaken)
  }

  #beat (): void {
    const isPending = this.#pending > 0
    if (this.#stall.isStalled(isPending, this.#taken)) this.#raw.destroy()
    else if (!isPending && this.#isBetweenFrames) this.#send(': heartbeat\n')
  }
}
