import { once } from 'node:events'
import { createServer, request as ask, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { inTime } from './gate.ts'

/**
 * What a proxy does to an answer: keeps it until it is complete, breaks the connection behind its first bytes, swallows it, never
 * asks for it, or gives one of its own.
 */
export type ConnectionFault = 'buffer' | 'cut' | 'lose' | 'hang' | { readonly status: number, readonly headers?: Record<string, string>, readonly body?: string }

export interface Passed {
  readonly method: string
  readonly url: string
  readonly headers: IncomingMessage['headers']
  /** Resolves when the connection of the answer is closed. */
  readonly closed: Promise<unknown>
}

export interface HttpProxy {
  readonly url: string
  readonly passed: Passed[]
  /** Where requests go. */
  target: string
  /** Asked for each request; undefined: it passes. */
  fault: (request: Passed) => ConnectionFault | undefined
  /** Resolves to the next request from now on that is as wanted. Rejects after a minute without one. */
  next (isWanted: (request: Passed) => boolean): Promise<Passed>
}

const REQUEST_TIMEOUT_MS = 240_000

/** A proxy between a client and a server, with the faults that proxies have. */
export async function startHttpProxy (t: { teardown (ended: () => unknown): unknown }, target: string): Promise<HttpProxy> {
  const waiting = new Set<(request: Passed) => void>()
  const server = createServer((request, response) => { serve(request, response) })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const proxy: HttpProxy = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    passed: [],
    target: new URL(target).origin,
    fault: () => undefined,
    next (isWanted) {
      let look: (request: Passed) => void
      const found = new Promise<Passed>(resolve => {
        look = request => { if (isWanted(request)) resolve(request) }
        waiting.add(look)
      })
      const soon = inTime(found, REQUEST_TIMEOUT_MS, () => `a request with ${isWanted}, the last were ${proxy.passed.slice(-10).map(({ url }) => url).join(' ')}`)
        .finally(() => waiting.delete(look))
      // A test that has failed before does not wait for it.
      soon.catch(() => {})
      return soon
    }
  }

  async function serve (request: IncomingMessage, response: ServerResponse): Promise<void> {
    const passed = { method: request.method!, url: request.url!, headers: request.headers, closed: once(response, 'close') }
    proxy.passed.push(passed)
    const fault = proxy.fault(passed)
    for (const look of [...waiting]) look(passed)
    if (typeof fault === 'object') {
      request.resume()
      response.writeHead(fault.status, fault.headers).end(fault.body)
      return
    }
    if (fault === 'hang') return
    const outgoing = ask(new URL(request.url!, proxy.target), { method: request.method!, headers: request.headers, agent: false })
    response.on('close', () => outgoing.destroy())
    outgoing.on('error', () => response.destroy())
    outgoing.on('response', async answer => {
      try {
        if (fault === 'lose') {
          await text(answer)
          response.destroy()
          return
        }
        const chunks: Buffer[] = []
        if (fault !== 'buffer') response.writeHead(answer.statusCode!, answer.headers).flushHeaders()
        for await (const chunk of answer) {
          if (fault === 'buffer') chunks.push(chunk)
          else response.write(chunk)
          if (fault === 'cut') return setImmediate(() => response.destroy())
        }
        if (fault === 'buffer') response.writeHead(answer.statusCode!, answer.headers)
        response.end(Buffer.concat(chunks))
      } catch {
        response.destroy()
      }
    })
    request.pipe(outgoing)
  }

  return proxy
}
