import type { WorkerRegistration } from '../task-store.ts'

/** ms after which a registration expires, and after which it is renewed at the latest. */
const EXPIRES_MS = 11_000
const RENEW_MS = 8_500
/** ms that the index has a worker, and after which that is renewed. */
const INDEX_EXPIRES_MS = 60_000
const RENEW_INDEX_MS = 30_000
/** ms between two checks whether a renewal is due. */
const CHECK_INTERVAL_MS = 1_000

/** Runs `register.lua`: ms until the registrations expire, and until the index forgets them or 0, a channel to publish on or '', and the workers. */
type Register = (expires: number, indexExpires: number, channel: string, workers: readonly WorkerRegistration[]) => Promise<unknown>

/**
 * Renews the registrations of the workers of this process while it lives. An idle process publishes to itself every 8 s, to know that
 * messages arrive; that command renews the registrations as well, so an idle worker costs no command of its own. If other messages make
 * it superfluous, a timer renews them.
 */
export class WorkerRenewal {
  readonly #register: Register
  readonly #workers = new Map<string, WorkerRegistration>()
  #timer: NodeJS.Timeout | undefined
  #renewedAt = 0
  #indexedAt = -Infinity

  constructor (register: Register) {
    this.#register = register
  }

  get isEmpty (): boolean {
    return this.#workers.size === 0
  }

  async add (worker: WorkerRegistration): Promise<void> {
    this.#workers.set(worker.worker_id, worker)
    this.#indexedAt = -Infinity
    this.#timer ??= setInterval(() => { this.#renewIfDue() }, CHECK_INTERVAL_MS).unref()
    await this.renew('')
  }

  remove (worker_id: string): void {
    this.#workers.delete(worker_id)
    if (this.isEmpty) this.close()
  }

  /** Renews all registrations and publishes on the channel, unless it is ''. */
  async renew (channel: string): Promise<void> {
    const now = performance.now()
    const isIndexDue = now - this.#indexedAt >= RENEW_INDEX_MS
    this.#renewedAt = now
    await this.#register(EXPIRES_MS, isIndexDue ? INDEX_EXPIRES_MS : 0, channel, [...this.#workers.values()])
    if (isIndexDue) this.#indexedAt = now
  }

  close (): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  #renewIfDue (): void {
    // If the store does not answer, the next renewal is due after the same time again.
    if (performance.now() - this.#renewedAt >= RENEW_MS) this.renew('').catch(() => {})
  }
}
