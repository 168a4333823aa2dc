import type { Transport } from '../telemetry/channels.ts'

/** Ends a stream; `jitter` ms is when its reader should come back. */
type End = (jitter: number) => void

/** ms over which readers come back after a shutdown, so that they do not come all at once. */
const SPREAD = { least: 500, most: 3_000 }

/** When a reader should come back, in ms. */
export const comeBackIn = () => Math.round(SPREAD.least + Math.random() * (SPREAD.most - SPREAD.least))

/** The streams that are open in this process: how many each user has, and how to end them all. */
export class OpenStreams {
  readonly #most: number
  readonly #changed: (transport: Transport, open: boolean) => void
  readonly #perUser = new Map<string, number>()
  readonly #ends = new Set<End>()
  #closed = false

  /** `most` per user, 0 = off. `changed`: told of each stream that opens or ends. */
  constructor (most: number, changed: (transport: Transport, open: boolean) => void) {
    this.#most = most
    this.#changed = changed
  }

  /** Counts a stream in; null when the user has too many, or the process is closing. Call what is returned when it is over. */
  open (user_id: string, transport: Transport, end: End): (() => void) | null {
    const count = this.#perUser.get(user_id) ?? 0
    if (this.#closed || (this.#most > 0 && count >= this.#most)) return null
    this.#perUser.set(user_id, count + 1)
    this.#ends.add(end)
    this.#changed(transport, true)
    return () => {
      if (!this.#ends.delete(end)) return
      this.#changed(transport, false)
      const left = this.#perUser.get(user_id)! - 1
      if (left > 0) this.#perUser.set(user_id, left)
      else this.#perUser.delete(user_id)
    }
  }

  /** Whether all streams are told to end, because the process closes. */
  get isClosing (): boolean {
    return this.#closed
  }

  endAll (): void {
    this.#closed = true
    for (const end of this.#ends) end(comeBackIn())
  }
}
