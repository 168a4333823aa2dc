import type { ServerResponse } from 'node:http'
import type { Http2ServerResponse } from 'node:http2'
import type { Socket } from 'node:net'
import type { FastifyReply } from 'fastify'

/** Fastify types `reply.raw` as a response of HTTP/1, whatever the server speaks. */
const http2StreamOf = (raw: ServerResponse | Http2ServerResponse) => 'stream' in raw ? raw.stream : null

/** Headers of an HTTP/1 connection. HTTP/2 forbids them, and Node throws when it is given one. */
const CONNECTION_HEADERS = new Set(['connection', 'http2-settings', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'upgrade'])

/** Whether the response may carry the header. */
export function mayCarry (raw: ServerResponse, header: string): boolean {
  return http2StreamOf(raw) === null || !CONNECTION_HEADERS.has(header)
}

/** Takes from a reply what a host may have set for HTTP/1: over HTTP/2 it would end the process. */
export function dropConnectionHeaders (reply: FastifyReply): void {
  if (http2StreamOf(reply.raw) !== null) for (const name of CONNECTION_HEADERS) reply.removeHeader(name)
}

/** Whether the reader has gone. An HTTP/2 response has no `destroyed`; its stream has. */
export function isGone (raw: ServerResponse): boolean {
  return (http2StreamOf(raw) ?? raw).destroyed
}

/** Ends the connection after what it carries: kept alive, it would hold up a shutdown. An injected request has none. */
export function endConnection (raw: ServerResponse): void {
  const stream = http2StreamOf(raw)
  // The socket of the request: a response that has been sent has none any more.
  if (stream === null) (raw.req.socket as Socket | null)?.destroySoon?.()
  else stream.session?.close()
}

/** Ends the connection after a response that has not begun yet. */
export function endConnectionAfter (reply: FastifyReply): void {
  if (http2StreamOf(reply.raw) === null) reply.header('connection', 'close')
  else endConnection(reply.raw)
}
