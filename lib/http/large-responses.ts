import type { ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import { finished } from 'node:stream/promises'
import { setImmediate } from 'node:timers/promises'
import type { FastifyReply } from 'fastify'
import { Budget } from '../service/budget.ts'
import type { ChartText } from '../service/listed-charts.ts'
import { budgetOf } from './store-budget.ts'

/** Responses per user that are generated at the same time: a slow reader delays only the user's own other responses. */
const MAX_PER_USER = 4
/** Characters that are collected before the response begins: if the store fails until then, the response is an error. */
const MAX_COLLECTED = 2 ** 18
/** Bytes that are written to the connection at a time. */
const SLICE_BYTES = 2 ** 16
/** ms that responses under way get to be read when the server closes. */
const CLOSE_GRACE_MS = 1_000

export interface LargeResponsesOptions {
  /** ms after which a reader that reads nothing is disconnected. */
  readonly stallTimeout: number
  /** Whether the content is read from the queue's store, and so counts towards the store budget of the request. */
  readonly isBudgeted: boolean
}

/** JSON responses that may be large. They are generated piece by piece as they are read, so that no process holds one as a whole. */
export class LargeResponses {
  readonly #stallTimeout: number
  readonly #isBudgeted: boolean
  readonly #budgets = new Map<string, Budget>()
  readonly #open = new Set<ServerResponse>()

  constructor ({ stallTimeout, isBudgeted }: LargeResponsesOptions) {
    this.#stallTimeout = stallTimeout
    this.#isBudgeted = isBudgeted
  }

  /**
   * Sends the JSON that `generate` yields. Resolves when the response has begun; an error before that rejects, an error after it breaks
   * the connection.
   * `user_id`: the user whose other responses this one may have to wait for; null if it must not wait.
   */
  send (user_id: string | null, reply: FastifyReply, generate: () => AsyncGenerator<string, void, void>): Promise<FastifyReply> {
    return new Promise((resolve, reject) => {
      const send = () => this.#send(reply, generate(), () => resolve(reply))
      const sent = user_id === null ? send() : this.#inTurn(user_id, send)
      sent.catch(reject)
    })
  }

  /** Disconnects readers that are still reading after a grace period: they must not delay a shutdown. */
  endAll (): void {
    setTimeout(() => { for (const raw of this.#open) raw.destroy() }, CLOSE_GRACE_MS).unref()
  }

  async #inTurn (user_id: string, send: () => Promise<void>): Promise<void> {
    const budget = this.#budgets.get(user_id) ?? new Budget(MAX_PER_USER)
    this.#budgets.set(user_id, budget)
    try {
      await budget.run(1, send)
    } finally {
      if (budget.idle && this.#budgets.get(user_id) === budget) this.#budgets.delete(user_id)
    }
  }

  /** Resolves when the response was read, or given up. `onBegun`: called when it begins. */
  async #send (reply: FastifyReply, pieces: AsyncGenerator<string, void, void>, onBegun: () => void): Promise<void> {
    reply.type('application/json; charset=utf-8')
    const next = () => this.#isBudgeted ? budgetOf(reply.request).spend(() => pieces.next()) : pieces.next()
    let collected = ''
    let piece = await next()
    for (; !piece.done && collected.length < MAX_COLLECTED; piece = await next()) collected += piece.value
    const { raw } = reply
    if (piece.done) {
      reply.send(collected)
      return onBegun()
    }
    collected += piece.value
    this.#open.add(raw)
    try {
      reply.send(Readable.from(this.#body(collected, pieces, raw)))
      onBegun()
      await finished(raw).catch(() => {})
    } finally {
      this.#open.delete(raw)
    }
  }

  async * #body (collected: string, pieces: AsyncGenerator<string, void, void>, raw: ServerResponse): AsyncGenerator<Buffer, void, void> {
    let stallTimer: NodeJS.Timeout | undefined
    const inSlices = async function * (text: string, stallTimeout: number) {
      const bytes = Buffer.from(text)
      for (let start = 0; start < bytes.length; start += SLICE_BYTES) {
        // With a fast reader, neither the socket nor the memory store ever waits for the event loop: let other requests have a turn.
        await setImmediate()
        stallTimer = setTimeout(() => raw.destroy(), stallTimeout)
        yield bytes.subarray(start, start + SLICE_BYTES)
        clearTimeout(stallTimer)
      }
    }
    try {
      yield * inSlices(collected, this.#stallTimeout)
      for await (const piece of pieces) yield * inSlices(piece, this.#stallTimeout)
    } finally {
      clearTimeout(stallTimer)
      await pieces.return()
    }
  }
}

/** The items of a JSON array without its brackets: one string per item, slice by slice. */
export async function * listPieces<T> (slices: AsyncIterable<readonly T[]> | Iterable<readonly T[]>, toJson: (item: T) => string): AsyncGenerator<string, void, void> {
  let separator = ''
  for await (const slice of slices) {
    for (const item of slice) {
      yield separator + toJson(item)
      separator = ','
    }
  }
}

/** A chart as JSON, with its content as it is stored. */
export function chartJson ({ chart, content }: ChartText): string {
  const json = JSON.stringify(chart)
  return content === undefined ? json : `${json.slice(0, -1)},"content":${content}}`
}
