import type { Logger } from '../generator.ts'
import type { TaskStore, WorkerRegistration } from '../store/task-store.ts'

/** Says of the workers of this process that they are there. Never in their way: what fails is only logged, once. */
export class Presence {
  readonly #store: TaskStore
  readonly #logger: Logger
  #hasFailed = false

  constructor (store: TaskStore, logger: Logger) {
    this.#store = store
    this.#logger = logger
  }

  /** The store's clock, for what a worker says of itself. */
  get now (): number {
    return this.#store.now?.() ?? Date.now()
  }

  /** That a worker is there, or what has changed of it. */
  register (worker: WorkerRegistration): Promise<void> {
    return this.#try(() => this.#store.registerWorker(worker))
  }

  remove (worker_id: string): Promise<void> {
    return this.#try(() => this.#store.removeWorker(worker_id))
  }

  async #try (tell: () => Promise<void>): Promise<void> {
    try {
      await tell()
    } catch (error) {
      if (!this.#hasFailed) this.#logger.debug({ err: error }, 'the worker could not be registered, operators may not see it')
      this.#hasFailed = true
    }
  }
}
