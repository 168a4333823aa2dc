import { ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import type { WebSocket } from '@fastify/websocket'
import { once } from './once.ts'

// A frame goes to many readers. Node's response wraps it into a chunk, and `ws` into a WebSocket frame, anew for each of them, in two or
// three buffers: that costs as much as to send it. Here it is wrapped once, and written as one buffer.

/** A chunk of HTTP/1.1 (RFC 9112, section 7.1). */
export const toChunk = once((bytes: Buffer) => Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from('\r\n')]))

/**
 * The connection of a response whose body is written in chunks, after its header. Null where somebody stands in between: HTTP/2, an
 * injected request, a response that waits for those before it, a host that has put its own `write` into the response to compress it.
 */
export function chunkedConnection (raw: ServerResponse): Socket | null {
  const { socket } = raw
  return raw.chunkedEncoding && raw.write === ServerResponse.prototype.write && socket instanceof Socket ? socket : null
}

/** Bits of the first byte of a frame: the last of a message, and text. The second says how long the rest is (RFC 6455, section 5.2). */
const LAST_TEXT = 0x81
const LENGTHS = { short: 125, in16bits: 126, in64bits: 127 }

/** An unmasked text message, as servers send them. */
export const toTextMessage = once((bytes: Buffer) => {
  const { length } = bytes
  if (length <= LENGTHS.short) return Buffer.concat([Buffer.from([LAST_TEXT, length]), bytes])
  const header = Buffer.alloc(length < 2 ** 16 ? 4 : 10)
  header[0] = LAST_TEXT
  if (header.length === 4) {
    header[1] = LENGTHS.in16bits
    header.writeUInt16BE(length, 2)
  } else {
    header[1] = LENGTHS.in64bits
    header.writeBigUInt64BE(BigInt(length), 2)
  }
  return Buffer.concat([header, bytes])
})

/** The connection under a WebSocket. Null where a message is not sent as it is: with an extension that compresses, or an injected one. */
export function plainConnection (socket: WebSocket, connection: Socket | undefined): Socket | null {
  return socket.extensions === '' && connection instanceof Socket ? connection : null
}
