import type { ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import { finished } from 'node:stream/promises'
import { setImmediate } from 'node:timers/promises'
import type { FastifyReply } from 'fastify'
import { Budget } from '../service/budget.ts'
import type { ChartText } from '../service/listed-charts.ts'
import { budgetOf } from './store-budget.ts'

/** Answers of one user that are made and taken at a time: a reader who takes them slowly delays only the own ones. */
const MAX_PER_USER = 4
/** Characters of an answer that are collected first: a store that fails until then is answered with an error. */
const MAX_COLLECTED = 2 ** 18
/** Bytes that are handed to the connection at a time. */
const PIECE_BYTES = 2 ** 16
/** ms that answers under way get to be taken when the server closes. */
const CLOSE_GRACE = 1_000

/** Answers that may be large: made piece by piece as they are taken, so that no process holds them as a whole. */
export class LargeAnswers {
  readonly #stallTimeout: number
  readonly #isBudgeted: boolean
  readonly #users = new Map<string, Budget>()
  readonly #open = new Set<ServerResponse>()

  /** `stallTimeout`: ms after which a reader who takes nothing is cut; `isBudgeted`: what is made is read from the queue's store. */
  constructor ({ stallTimeout, isBudgeted }: { readonly stallTimeout: number, readonly isBudgeted: boolean }) {
    this.#stallTimeout = stallTimeout
    this.#isBudgeted = isBudgeted
  }

  /**
   * Sends the JSON that `make` makes; what it throws before the answer has begun is thrown. After that, the connection breaks.
   * `user_id`: whose other answers it may have to wait for; null where it must not.
   */
  send (user_id: string | null, reply: FastifyReply, make: () => AsyncGenerator<string, void, void>): Promise<FastifyReply> {
    if (user_id === null) return new Promise((resolve, reject) => { this.#send(reply, make(), () => resolve(reply)).catch(reject) })
    const budget = this.#users.get(user_id) ?? new Budget(MAX_PER_USER)
    this.#users.set(user_id, budget)
    return new Promise((resolve, reject) => {
      budget.run(1, () => this.#send(reply, make(), () => resolve(reply))).catch(reject).finally(() => {
        if (budget.idle && this.#users.get(user_id) === budget) this.#users.delete(user_id)
      })
    })
  }

  /** Nobody who takes an answer slowly may hold up a shutdown. */
  endAll (): void {
    setTimeout(() => { for (const raw of this.#open) raw.destroy() }, CLOSE_GRACE).unref()
  }

  /** Resolves when the answer has been taken, or given up. */
  async #send (reply: FastifyReply, pieces: AsyncGenerator<string, void, void>, begun: () => void): Promise<void> {
    reply.type('application/json; charset=utf-8')
    const next = () => this.#isBudgeted ? budgetOf(reply.request).spend(() => pieces.next()) : pieces.next()
    let collected = ''
    let piece = await next()
    for (; !piece.done && collected.length < MAX_COLLECTED; piece = await next()) collected += piece.value
    const { raw } = reply
    if (piece.done) {
      reply.send(collected)
      return begun()
    }
    collected += piece.value
    this.#open.add(raw)
    try {
      reply.send(Readable.from(this.#body(collected, pieces, raw)))
      begun()
      await finished(raw).catch(() => {})
    } finally {
      this.#open.delete(raw)
    }
  }

  async * #body (collected: string, pieces: AsyncGenerator<string, void, void>, raw: ServerResponse): AsyncGenerator<Buffer, void, void> {
    let stalled: NodeJS.Timeout | undefined
    const inPieces = async function * (text: string, stallTimeout: number) {
      const bytes = Buffer.from(text)
      for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
        // A reader who takes it at once would let nobody else have a turn: neither the socket nor memory waits for the event loop.
        await setImmediate()
        stalled = setTimeout(() => raw.destroy(), stallTimeout)
        yield bytes.subarray(at, at + PIECE_BYTES)
        clearTimeout(stalled)
      }
    }
    try {
      yield * inPieces(collected, this.#stallTimeout)
      for await (const piece of pieces) yield * inPieces(piece, this.#stallTimeout)
    } finally {
      clearTimeout(stalled)
      await pieces.return()
    }
  }
}

/** The items of a JSON array, those of each slice together. */
export async function * listPieces<T> (slices: AsyncIterable<readonly T[]> | Iterable<readonly T[]>, textOf: (item: T) => string): AsyncGenerator<string, void, void> {
  let separator = ''
  for await (const slice of slices) {
    for (const item of slice) {
      yield separator + textOf(item)
      separator = ','
    }
  }
}

/** A chart as JSON, its content as it is stored. */
export function chartJson ({ chart, content }: ChartText): string {
  const json = JSON.stringify(chart)
  return content === undefined ? json : `${json.slice(0, -1)},"content":${content}}`
}
