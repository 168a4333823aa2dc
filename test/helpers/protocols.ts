import { once } from 'node:events'
import { Agent as HttpAgent, request as requestHttp, type IncomingMessage } from 'node:http'
import { connect, type ClientHttp2Stream } from 'node:http2'
import { Agent as HttpsAgent, request as requestHttps } from 'node:https'
import { text } from 'node:stream/consumers'
import type { FastifyInstance, FastifyServerOptions } from 'fastify'
import { generate } from 'selfsigned'

/** How a host may be spoken to: injected, by HTTP/1 and HTTP/2, in clear and encrypted. */
export const protocols = ['inject', 'h1', 'h2c', 'inject into h2', 'h2', 'h1 beside h2'] as const
export type Protocol = typeof protocols[number]

export interface Asked {
  readonly method: string
  readonly path: string
  readonly headers?: Record<string, string> | undefined
  readonly payload?: string | undefined
}

export interface Answer {
  readonly status: number
  readonly headers: Record<string, unknown>
  readonly body: string
}

const certified = generate([{ name: 'commonName', value: 'localhost' }], { keySize: 2048 })

/** Options of Fastify for a server that speaks the protocol. */
export async function serverOptions (protocol: Protocol): Promise<FastifyServerOptions> {
  if (protocol === 'inject' || protocol === 'h1') return {}
  const http2: object = { http2: true, http2SessionTimeout: 60_000 }
  if (protocol === 'h2c') return http2
  const { private: key, cert } = await certified
  return { ...http2, https: { key, cert, allowHTTP1: true } } as FastifyServerOptions
}

/** One who asks by the protocol, until closed. */
export async function startClient (app: FastifyInstance, protocol: Protocol): Promise<{ ask (asked: Asked): Promise<Answer>, leave (asked: Asked): Promise<void>, close (): void }> {
  if (protocol === 'inject' || protocol === 'inject into h2') {
    return {
      async ask ({ method, path, headers, payload }) {
        const { statusCode, headers: sent, body } = await app.inject({ method: method as 'GET', url: path, ...(headers && { headers }), ...(payload === undefined ? {} : { payload }) })
        return { status: statusCode, headers: sent, body }
      },
      async leave () {},
      close () {}
    }
  }
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as { port: number }
  return protocol === 'h1' || protocol === 'h1 beside h2' ? clientOfHttp1(protocol, port) : clientOfHttp2(protocol, port)
}

function clientOfHttp1 (protocol: 'h1' | 'h1 beside h2', port: number) {
  const agent = new (protocol === 'h1' ? HttpAgent : HttpsAgent)({ keepAlive: true, maxSockets: 10 })
  const open = ({ method, path, headers, payload }: Asked) => {
    const request = protocol === 'h1' ? requestHttp : requestHttps
    const length = payload === undefined ? {} : { 'content-length': String(Buffer.byteLength(payload)) }
    return request({ host: '127.0.0.1', port, method, path, headers: { ...headers, ...length }, agent, rejectUnauthorized: false } as object).end(payload)
  }
  return {
    async ask (asked: Asked): Promise<Answer> {
      const [response] = await once(open(asked), 'response') as [IncomingMessage]
      return { status: response.statusCode!, headers: response.headers, body: await text(response) }
    },
    async leave (asked: Asked) {
      const outgoing = open(asked).on('error', () => {})
      await once(outgoing, 'finish')
      outgoing.destroy()
    },
    close () { agent.destroy() }
  }
}

function clientOfHttp2 (protocol: Protocol, port: number) {
  const session = connect(`${protocol === 'h2c' ? 'http' : 'https'}://127.0.0.1:${port}`, { rejectUnauthorized: false })
  session.on('error', () => {})
  const open = ({ method, path, headers, payload }: Asked): ClientHttp2Stream => {
    const stream = session.request({ ...headers, ':method': method, ':path': path }, { endStream: payload === undefined })
    if (payload !== undefined) stream.end(payload)
    return stream
  }
  return {
    async ask (asked: Asked): Promise<Answer> {
      const stream = open(asked)
      const [headers] = await once(stream, 'response') as [Record<string, unknown>]
      return { status: Number(headers[':status']), headers, body: await text(stream) }
    },
    async leave (asked: Asked) {
      const stream = open(asked).on('error', () => {})
      stream.close(8)
      await once(stream, 'close')
    },
    close () { session.destroy() }
  }
}
