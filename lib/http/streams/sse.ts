import type { ServerResponse } from 'node:http'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { isStoreUnavailable } from '../../errors.ts'
import { callerOf } from '../access.ts'
import { mayCarry } from '../connection.ts'
import type { RouteContext } from '../route.ts'
import { SseWriter } from './sse-writer.ts'

/** ms after which a reader reconnects that was refused for a reason that will pass. */
const REFUSED_RECONNECT_MS = 5_000

/** Passes each frame to `write`, and waits for the promise if that returns one. Resolves when there are no more frames, or after an abort. */
export type SendFrames = (signal: AbortSignal, write: (frame: Buffer) => Promise<void> | undefined) => Promise<void>

/** The frames of the states that `watch` yields. */
export function framesOf<T> (watch: (signal: AbortSignal) => AsyncIterable<T>, toFrame: (state: T) => Buffer): SendFrames {
  return async (signal, write) => {
    for await (const state of watch(signal)) {
      const isSent = write(toFrame(state))
      // Without an `await` for a reader that is fast enough.
      if (isSent) await isSent
    }
  }
}

/**
 * The handler of an SSE route.
 * `admit`: checks access, and returns what is sent; null if the reader has already seen everything there will be. What it throws
 * becomes an error response.
 */
export function sseHandler<R extends FastifyRequest> (admit: (context: RouteContext, request: R) => Promise<SendFrames | null>) {
  return async (context: RouteContext, request: R, reply: FastifyReply): Promise<void> => {
    const { queue, streams, streamTimings } = context
    let send: SendFrames | null
    try {
      send = await admit(context, request)
    } catch (error) {
      if (!isStoreUnavailable(error)) throw error
      queue.telemetry.refused(error)
      return refuseForNow(begin(reply), 'not reachable, come back')
    }
    // 204 stops an EventSource for good.
    if (!send) return reply.code(204).send()
    const raw = begin(reply)
    const stream = streams.open(callerOf(request).user_id, 'sse')
    if (!stream) return refuseForNow(raw, 'too many streams, come back')
    const writer = new SseWriter(raw, streamTimings.heartbeat, stream)
    stream.endOnClose(raw)
    stream.endAfter(streamTimings.maxDuration)
    let hasFailed = false
    try {
      await send(stream.signal, frame => writer.write(frame))
    } catch (error) {
      if (!isStoreUnavailable(error)) request.log.error({ err: error }, 'stream failed unexpectedly, the client will reconnect')
      hasFailed = true
    } finally {
      await writer.end(hasFailed ? REFUSED_RECONNECT_MS : stream.reconnectDelay, streams.isClosing)
      stream.close()
    }
  }
}

/** Sends the header of the event stream, with the headers that the host has set (CORS). */
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
 * Refuses a reader for a reason that will pass. Not with an error status: any status but 200 stops an EventSource for good. Without an
 * empty line: `@microsoft/fetch-event-source` would take it for a message without data.
 */
function refuseForNow (raw: ServerResponse, reason: string): void {
  raw.end(`retry: ${REFUSED_RECONNECT_MS}\n: ${reason}\n`)
}
