import { ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import type { WebSocket } from '@fastify/websocket'
import { memoize } from './memoize.ts'

// A frame is sent to many readers. Node's response would wrap it into an HTTP chunk, and `ws` into a WebSocket frame, again for each
// of them and in two or three buffers, which costs as much as sending it. Here it is wrapped once, into one buffer.

/** A chunk of HTTP/1.1 (RFC 9112, section 7.1). */
export const toChunk = memoize((bytes: Buffer) => Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from('\r\n')]))

/**
 * The socket to which chunks of a response can be written directly, once its header is sent. Null if something must process them
 * first: HTTP/2, an injected request, a response that is queued behind earlier ones, a host that replaced `write` to compress.
 */
export function chunkedConnection (raw: ServerResponse): Socket | null {
  const { socket } = raw
  return raw.chunkedEncoding && raw.write === ServerResponse.prototype.write && socket instanceof Socket ? socket : null
}

/** First byte of a frame that is a whole text message (RFC 6455, section 5.2). */
const FINAL_TEXT = 0x81
/** Second byte of a frame: its length, up to `MAX_SHORT`, or how many bits the length has that follows. */
const MAX_SHORT = 125
const LENGTH_16_BITS = 126
const LENGTH_64_BITS = 127

/** A text message as a server sends it: unmasked. */
export const toTextMessage = memoize((bytes: Buffer) => {
  const { length } = bytes
  if (length <= MAX_SHORT) return Buffer.concat([Buffer.from([FINAL_TEXT, length]), bytes])
  const header = Buffer.alloc(length < 2 ** 16 ? 4 : 10)
  header[0] = FINAL_TEXT
  if (header.length === 4) {
    header[1] = LENGTH_16_BITS
    header.writeUInt16BE(length, 2)
  } else {
    header[1] = LENGTH_64_BITS
    header.writeBigUInt64BE(BigInt(length), 2)
  }
  return Buffer.concat([header, bytes])
})

/** The socket to which WebSocket frames can be written directly. Null with an extension that compresses, and for an injected request. */
export function plainConnection (socket: WebSocket, connection: Socket | undefined): Socket | null {
  return socket.extensions === '' && connection instanceof Socket ? connection : null
}
