import type { ServerResponse } from 'node:http'
import type { Http2ServerResponse } from 'node:http2'
import type { Socket } from 'node:net'
import type { FastifyReply } from 'fastify'

/** The HTTP/2 stream of a response; null for HTTP/1. Fastify types `reply.raw` as an HTTP/1 response, whatever the server speaks. */
const http2StreamOf = (raw: ServerResponse | Http2ServerResponse) => 'stream' in raw ? raw.stream : null

/** Headers of an HTTP/1 connection. HTTP/2 forbids them, and Node throws if one is set. */
const CONNECTION_HEADERS = new Set(['connection', 'http2-settings', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'upgrade'])

/** Whether the protocol of the response permits the header. */
export function mayCarry (raw: ServerResponse, header: string): boolean {
  return http2StreamOf(raw) === null || !CONNECTION_HEADERS.has(header)
}

/** Over HTTP/2, removes the HTTP/1 headers that the host may have set: the error that Node throws for them would end the process. */
export function dropConnectionHeaders (reply: FastifyReply): void {
  if (http2StreamOf(reply.raw) !== null) for (const name of CONNECTION_HEADERS) reply.removeHeader(name)
}

/** Whether the client has closed the connection or the stream. An HTTP/2 response has no `destroyed`; its stream has. */
export function isGone (raw: ServerResponse): boolean {
  return (http2StreamOf(raw) ?? raw).destroyed
}

/** Closes the connection once it has sent what was written: kept alive, it would delay a shutdown. */
export function endConnection (raw: ServerResponse): void {
  const stream = http2StreamOf(raw)
  // Through the request: a response that has been sent has no socket any more. An injected request never had one.
  if (stream === null) (raw.req.socket as Socket | null)?.destroySoon?.()
  else stream.session?.close()
}

/** Closes the connection after a response that has not begun yet. */
export function endConnectionAfter (reply: FastifyReply): void {
  if (http2StreamOf(reply.raw) === null) reply.header('connection', 'close')
  else endConnection(reply.raw)
}
