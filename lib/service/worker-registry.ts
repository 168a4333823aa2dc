import type { Logger } from '../generator.ts'
import type { StoreClock, WorkerDirectory, WorkerRegistration } from '../store/task-store.ts'

/** Registers the workers of this process in the store. A failure is logged once, and never disturbs the worker. */
export class WorkerRegistry {
  readonly #store: WorkerDirectory & StoreClock
  readonly #logger: Logger
  #hasFailed = false

  constructor (store: WorkerDirectory & StoreClock, logger: Logger) {
    this.#store = store
    this.#logger = logger
  }

  /** The store's clock, ms since the epoch. */
  get now (): number {
    return this.#store.now?.() ?? Date.now()
  }

  /** Registers a worker, or updates its registration. */
  register (worker: WorkerRegistration): Promise<void> {
    return this.#orLog(() => this.#store.registerWorker(worker))
  }

  remove (worker_id: string): Promise<void> {
    return this.#orLog(() => this.#store.removeWorker(worker_id))
  }

  async #orLog (call: () => Promise<void>): Promise<void> {
    try {
      await call()
    } catch (error) {
      if (!this.#hasFailed) this.#logger.debug({ err: error }, 'the worker could not be registered, operators may not see it')
      this.#hasFailed = true
    }
  }
}
