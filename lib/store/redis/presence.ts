import type { WorkerRegistration } from '../task-store.ts'

/** ms that a worker is kept without another word of its process, and after which there is one at the latest. */
const KEPT_MS = 10_000
const RENEW_MS = 6_000
/** ms between two looks at whether one is due. */
const LOOK_MS = 1_000

/** Runs `register.lua`: for how long, a channel that hears of it or '', and the workers. */
type Renew = (keep: number, channel: string, workers: readonly WorkerRegistration[]) => Promise<unknown>

/**
 * The workers of this process, as long as it lives. What an idle process sends to find out whether messages arrive says that they
 * are there as well, so that they cost no command of their own; only where other messages take its place does a timer see to it.
 */
export class Presence {
  readonly #renew: Renew
  readonly #workers = new Map<string, WorkerRegistration>()
  #timer: NodeJS.Timeout | undefined
  #renewedAt = 0

  constructor (renew: Renew) {
    this.#renew = renew
  }

  get isEmpty (): boolean {
    return this.#workers.size === 0
  }

  async add (worker: WorkerRegistration): Promise<void> {
    this.#workers.set(worker.worker_id, worker)
    this.#timer ??= setInterval(() => { this.#look() }, LOOK_MS).unref()
    await this.announce('')
  }

  remove (worker_id: string): void {
    this.#workers.delete(worker_id)
    if (this.isEmpty) this.close()
  }

  /** Says that they are there, on the channel too. */
  async announce (channel: string): Promise<void> {
    this.#renewedAt = performance.now()
    await this.#renew(KEPT_MS, channel, [...this.#workers.values()])
  }

  close (): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  #look (): void {
    // A store that does not answer is asked again when this is due the next time.
    if (performance.now() - this.#renewedAt >= RENEW_MS) this.announce('').catch(() => {})
  }
}
