import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { endConnection, isGone } from '../connection.ts'
import type { OpenStream } from './open-streams.ts'
import { StallDetector } from './stall-detector.ts'
import { chunkedConnection, toChunk } from './wire.ts'

/** ms after which a browser reconnects if the connection breaks. */
const BROKEN_RECONNECT_MS = 2_000
/** ms that a stream gets to send its last bytes once it was told to end. */
const END_GRACE_MS = 250
/** Larger frames are written in slices of this size, so that a slow reader is seen to read. */
const SLICE_BYTES = 16_384

/** Writes frames to one reader. Waits for a slow reader; disconnects one that reads nothing for two heartbeats. */
export class SseWriter {
  readonly #raw: ServerResponse
  readonly #stream: OpenStream
  readonly #heartbeat: NodeJS.Timeout
  readonly #stall = new StallDetector()
  readonly #onSent = (): void => {
    this.#pending--
    this.#sent++
  }

  /** Where frames are written directly; null if the response must write them. */
  readonly #connection: Socket | null
  /** Writes that have not been sent yet, and the number of those that have. */
  #pending = 0
  #sent = 0
  #isBetweenFrames = true

  /** `raw`: a response whose header was written; `heartbeat`: ms. */
  constructor (raw: ServerResponse, heartbeat: number, stream: OpenStream) {
    this.#raw = raw
    this.#stream = stream
    this.#heartbeat = setInterval(() => this.#beat(), heartbeat)
    // Without an empty line, so that it becomes the first line of the first event.
    this.#send(`retry: ${BROKEN_RECONNECT_MS}\n`)
    this.#connection = chunkedConnection(raw)
  }

  /** A promise only if there is something to wait for: it resolves when a slow reader has read the frame, or the stream is to end. */
  write (frame: Buffer): Promise<void> | undefined {
    if (frame.length > SLICE_BYTES) return this.#writeSlices(frame)
    return this.#sendFrame(frame) ? undefined : this.#drained()
  }

  async #writeSlices (frame: Buffer): Promise<void> {
    const { signal } = this.#stream
    this.#isBetweenFrames = false
    for (let start = 0; start < frame.length; start += SLICE_BYTES) {
      if (!this.#send(frame.subarray(start, start + SLICE_BYTES))) await this.#drained()
      // An incomplete event is not delivered by the client, which gets it again when it reconnects.
      if (signal.aborted) return
    }
    this.#isBetweenFrames = true
  }

  async #drained (): Promise<void> {
    await once(this.#connection ?? this.#raw, 'drain', { signal: this.#stream.signal }).catch(() => {})
  }

  /**
   * Ends the response. Resolves when the last bytes were sent, or were given up: a finished task waits for a slow reader, but a stream
   * that was told to end must not delay a shutdown.
   * `reconnectDelay`: ms after which the reader should reconnect, 0 if it need not; `endsConnection`: whether the connection, too, is closed.
   */
  async end (reconnectDelay: number, endsConnection: boolean): Promise<void> {
    // Read before the response ends: that aborts the stream, on some versions of Node before the callback.
    const wasAborted = this.#stream.signal.aborted
    const cut = wasAborted ? setTimeout(() => this.#raw.destroy(), END_GRACE_MS) : undefined
    if (!isGone(this.#raw)) await this.#finish(reconnectDelay)
    clearInterval(this.#heartbeat)
    clearTimeout(cut)
    if (endsConnection) endConnection(this.#raw)
  }

  #finish (reconnectDelay: number): Promise<void> {
    // After an incomplete frame, the line must not become part of its data.
    const line = reconnectDelay > 0 ? `${this.#isBetweenFrames ? '' : '\n'}retry: ${reconnectDelay}\n` : undefined
    this.#isBetweenFrames = false
    this.#pending++
    return new Promise(resolve => {
      this.#raw.on('close', resolve)
      this.#raw.end(line, resolve)
    })
  }

  /** False if the reader is slow. */
  #sendFrame (frame: Buffer): boolean {
    if (!this.#connection) return this.#send(frame)
    this.#pending++
    return this.#connection.write(toChunk(frame), this.#onSent)
  }

  /** False if the reader is slow. */
  #send (chunk: Buffer | string): boolean {
    this.#pending++
    return this.#raw.write(chunk, 'utf8', this.#onSent)
  }

  #beat (): void {
    const isPending = this.#pending > 0
    if (this.#stall.isStalled(isPending, this.#sent)) this.#raw.destroy()
    else if (!isPending && this.#isBetweenFrames) this.#send(': heartbeat\n')
  }
}
