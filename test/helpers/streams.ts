import { once } from 'node:events'
import { request, type IncomingHttpHeaders, type IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { WebSocket, type ClientOptions } from 'ws'
import type { PublicChartTask } from '../../lib/index.ts'

/** One block of an event stream: an event, what ends the stream without one, or a comment on its own. */
export interface Block {
  readonly text: string
  readonly id?: string
  readonly data?: string
  readonly retry?: string
  readonly comment?: string
}

function parse (text: string): Block {
  const fields = text.split('\n').filter(Boolean).map(line => {
    const [, name, value] = /^([^:]*): ?(.*)$/.exec(line)!
    return [name || 'comment', value]
  })
  return { text, ...Object.fromEntries(fields) }
}

/** A stream as it is on the wire, block by block. */
export class SseReader {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly response: IncomingMessage
  readonly #blocks: AsyncGenerator<Block, void>

  constructor (response: IncomingMessage) {
    this.status = response.statusCode!
    this.headers = response.headers
    this.response = response
    this.#blocks = this.#read()
  }

  /** The next block; null at the end. */
  async next (): Promise<Block | null> {
    const { done, value } = await this.#blocks.next()
    return done ? null : value
  }

  /** The task of the next event; null at the end. What stands in between is passed over. */
  async task (): Promise<PublicChartTask | null> {
    for (let block = await this.next(); block; block = await this.next()) {
      if (block.data) return JSON.parse(block.data).data
    }
    return null
  }

  /** All that is still to come. */
  async rest (): Promise<Block[]> {
    const blocks = []
    for await (const block of this.#blocks) blocks.push(block)
    return blocks
  }

  destroy (): void {
    this.response.destroy()
  }

  async * #read (): AsyncGenerator<Block, void> {
    let text = ''
    let lines: string[] = []
    for await (const chunk of this.response.setEncoding('utf8')) {
      text += chunk
      const complete = text.split('\n')
      text = complete.pop()!
      for (const line of complete) {
        if (line !== '') lines.push(line)
        if (line !== '' && (lines.length > 1 || !line.startsWith(':'))) continue
        const block = parse(lines.join('\n'))
        // There are clients that take it for a message without data.
        if (line === '' && block.data === undefined) throw new Error(`an empty line without data, behind ${block.text}`)
        lines = []
        yield block
      }
    }
    const last = parse(lines.join('\n'))
    if (text || last.data !== undefined) throw new Error(`the stream ended in the middle of ${last.text}${text}`)
    if (lines.length > 0) yield last
  }
}

export async function openSse (url: string, headers: Record<string, string> = {}): Promise<SseReader> {
  const outgoing = request(url, { headers: { accept: 'text/event-stream', ...headers }, agent: false }).end()
  const [response] = await once(outgoing, 'response') as [IncomingMessage]
  return new SseReader(response)
}

/** A WebSocket whose messages wait to be read. */
export class SocketReader {
  readonly socket: WebSocket
  readonly closed: Promise<{ code: number, reason: string }>
  readonly #messages: string[] = []
  #wake: () => void = () => {}

  constructor (socket: WebSocket) {
    this.socket = socket
    socket.on('message', data => {
      this.#messages.push(String(data))
      this.#wake()
    })
    this.closed = new Promise(resolve => socket.once('close', (code, reason) => resolve({ code, reason: String(reason) })))
    this.closed.then(() => this.#wake())
  }

  /** The next message as it came; null once the socket is closed. */
  async next (): Promise<string | null> {
    while (this.#messages.length === 0) {
      if (this.socket.readyState === WebSocket.CLOSED) return null
      await new Promise<void>(resolve => { this.#wake = resolve })
    }
    return this.#messages.shift()!
  }

  async task (): Promise<PublicChartTask | null> {
    const message = await this.next()
    return message && JSON.parse(message)
  }

  async rest (): Promise<PublicChartTask[]> {
    const tasks = []
    for (let task = await this.task(); task; task = await this.task()) tasks.push(task)
    return tasks
  }
}

/** The connection under a WebSocket. */
export const netSocketOf = ({ socket }: SocketReader): Socket => (socket as unknown as { _socket: Socket })._socket

export interface Refusal {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

/** The open socket, or the answer that there was instead. */
export async function tryWebSocket (url: string, options: ClientOptions = {}): Promise<SocketReader | Refusal> {
  const socket = new WebSocket(url.replace(/^http/, 'ws'), options)
  // Made at once: the first message may come with the upgrade.
  const reader = new SocketReader(socket)
  return new Promise((resolve, reject) => {
    socket.once('open', () => resolve(reader))
    socket.once('error', reject)
    socket.once('unexpected-response', async (_request, response: IncomingMessage) => {
      let body = ''
      for await (const chunk of response.setEncoding('utf8')) body += chunk
      resolve({ status: response.statusCode!, headers: response.headers, body })
    })
  })
}

export async function openWebSocket (url: string, options: ClientOptions = {}): Promise<SocketReader> {
  const opened = await tryWebSocket(url, options)
  if (opened instanceof SocketReader) return opened
  throw new Error(`no upgrade: ${opened.status} ${opened.body}`)
}
