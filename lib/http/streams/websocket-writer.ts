import type { Socket } from 'node:net'
import type { WebSocket } from '@fastify/websocket'
import { Signal } from '../../async.ts'
import { StallDetector } from './stall-detector.ts'
import { plainConnection, toTextMessage } from './wire.ts'

/** ms that a client gets to reply to a close frame. */
const CLOSE_GRACE_MS = 250

/** A code and a reason of a close frame. */
export type CloseReason = readonly [code: number, reason: string]

/** Writes frames to one WebSocket. Waits for a slow reader; disconnects one that misses a pong, or reads nothing for two heartbeats. */
export class WebSocketWriter {
  readonly #socket: WebSocket
  readonly #signal: AbortSignal
  /** The connection beneath the WebSocket; an injected one has none. */
  readonly #connection: Socket | undefined
  /** Where frames are written directly; null if the WebSocket must write them. */
  readonly #direct: Socket | null
  readonly #heartbeat: NodeJS.Timeout
  readonly #stall = new StallDetector()
  readonly #frameSent = new Signal()
  readonly #onSent = (): void => {
    this.#pending--
    this.#frameSent.notify()
  }

  /** Frames that have not been sent yet. */
  #pending = 0
  #hasPonged = true

  /** `heartbeat`: ms; `signal`: aborted when the stream is to end. */
  constructor (socket: WebSocket, connection: Socket | undefined, heartbeat: number, signal: AbortSignal) {
    this.#socket = socket
    this.#signal = signal
    this.#connection = connection
    this.#direct = plainConnection(socket, connection)
    this.#heartbeat = setInterval(() => this.#beat(), heartbeat)
    socket.on('pong', () => { this.#hasPonged = true })
    signal.addEventListener('abort', this.#frameSent.notify)
  }

  /** A promise only if there is something to wait for: it resolves when the frame was sent, so that a slow reader skips states. */
  write (frame: Buffer): Promise<void> | undefined {
    this.#pending++
    // Written directly, a message could follow the close frame.
    if (this.#direct && this.#socket.readyState === this.#socket.OPEN) this.#direct.write(toTextMessage(frame), this.#onSent)
    else this.#socket.send(frame, { binary: false }, this.#onSent)
    return this.#direct?.writableLength === 0 ? undefined : this.#allSent()
  }

  async #allSent (): Promise<void> {
    while (this.#pending > 0 && !this.#signal.aborted) await this.#frameSent.wait()
  }

  /** Closes the WebSocket. */
  close (reason: CloseReason): void {
    clearInterval(this.#heartbeat)
    closeSocket(this.#socket, reason)
  }

  #beat (): void {
    const isPending = this.#socket.bufferedAmount > 0
    // An injected socket has no connection, and everything is sent at once.
    const sent = this.#connection ? this.#connection.bytesWritten - this.#connection.writableLength : 0
    if (this.#stall.isStalled(isPending, sent)) return this.#socket.terminate()
    if (isPending) {
      // A ping would queue behind the pending bytes, and the pong of a client that is only slow would come too late.
      this.#hasPonged = true
      return
    }
    if (!this.#hasPonged) return this.#socket.terminate()
    this.#hasPonged = false
    this.#socket.ping()
  }
}

/** Closes a WebSocket, and disconnects a client that does not reply: it must not delay a shutdown. */
export function closeSocket (socket: WebSocket, [code, reason]: CloseReason): void {
  socket.close(code, reason)
  const cut = setTimeout(() => socket.terminate(), CLOSE_GRACE_MS)
  socket.on('close', () => clearTimeout(cut))
}
