import type { ServerResponse } from 'node:http'
import type { Transport } from '../../telemetry/channels.ts'
import { isGone } from '../connection.ts'

/** Readers reconnect after a random delay in this range, in ms, so that a shutdown does not bring all of them back at once. */
const MIN_RECONNECT_MS = 500
const MAX_RECONNECT_MS = 3_000

const randomReconnectDelay = (): number => Math.round(MIN_RECONNECT_MS + Math.random() * (MAX_RECONNECT_MS - MIN_RECONNECT_MS))

/** The times of a stream that the `stream` option sets, in ms. */
export interface StreamTimings {
  readonly heartbeat: number
  readonly maxDuration: number
}

/** One open stream. It ends when its reader has gone, when its time is over, or when the process closes. */
export class OpenStream {
  readonly #controller = new AbortController()
  readonly #remove: (stream: OpenStream) => void
  readonly #onGone = (): void => this.end()
  #response: ServerResponse | undefined
  #expiry: NodeJS.Timeout | undefined
  #reconnectDelay = 0

  /** `remove`: called once, when the stream is closed. */
  constructor (remove: (stream: OpenStream) => void) {
    this.#remove = remove
  }

  /** Aborted when the stream is to end. */
  get signal (): AbortSignal {
    return this.#controller.signal
  }

  /** ms after which the reader should reconnect; 0 if it should not. */
  get reconnectDelay (): number {
    return this.#reconnectDelay
  }

  /** Ends the stream for good. */
  end (): void {
    this.#controller.abort()
  }

  /** Ends the stream, and lets its reader reconnect. */
  endForNow (): void {
    if (this.signal.aborted) return
    this.#reconnectDelay = randomReconnectDelay()
    this.#controller.abort()
  }

  /** Ends the stream after `ms`, and lets its reader reconnect. */
  endAfter (ms: number): void {
    this.#expiry = setTimeout(() => this.endForNow(), ms)
  }

  /** Ends the stream when the client closes the response. The request would not do: it closes as soon as its body was read. */
  endOnClose (response: ServerResponse): void {
    this.#response = response
    response.on('close', this.#onGone)
    // The client may have gone while its task was read: the event was emitted before there was a listener.
    if (isGone(response)) this.end()
  }

  /** Releases the stream's place among those of its user. Call it when the last bytes have been sent. */
  close (): void {
    clearTimeout(this.#expiry)
    this.#response?.off('close', this.#onGone)
    this.#remove(this)
  }
}

/** The open streams of this process, counted per user. */
export class OpenStreams {
  readonly #maxPerUser: number
  readonly #onChange: (transport: Transport, isOpen: boolean) => void
  readonly #counts = new Map<string, number>()
  readonly #streams = new Set<OpenStream>()
  #isClosing = false

  /** `maxPerUser`: 0 = no limit. `onChange`: called for each stream that opens or closes. */
  constructor (maxPerUser: number, onChange: (transport: Transport, isOpen: boolean) => void) {
    this.#maxPerUser = maxPerUser
    this.#onChange = onChange
  }

  /** Opens a stream. Null if the user has too many, or if the process is closing. */
  open (user_id: string, transport: Transport): OpenStream | null {
    const count = this.#counts.get(user_id) ?? 0
    if (this.#isClosing || (this.#maxPerUser > 0 && count >= this.#maxPerUser)) return null
    const stream = new OpenStream(closed => this.#remove(closed, user_id, transport))
    this.#counts.set(user_id, count + 1)
    this.#streams.add(stream)
    this.#onChange(transport, true)
    return stream
  }

  /** Whether the process is closing, and all streams are ending. */
  get isClosing (): boolean {
    return this.#isClosing
  }

  /** Ends all streams, and opens no more. */
  endAll (): void {
    this.#isClosing = true
    for (const stream of this.#streams) stream.endForNow()
  }

  #remove (stream: OpenStream, user_id: string, transport: Transport): void {
    this.#streams.delete(stream)
    this.#onChange(transport, false)
    const left = this.#counts.get(user_id)! - 1
    if (left > 0) this.#counts.set(user_id, left)
    else this.#counts.delete(user_id)
  }
}
