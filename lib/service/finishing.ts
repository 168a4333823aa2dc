import { setTimeout as delay } from 'node:timers/promises'
import type { Logger } from '../generator.ts'
import type { ChartTask } from '../task.ts'

/** ms that `onFinished` gets to return when the service closes. */
const GRACE = 1_000

/** Tells the host of tasks that have ended; its errors are only logged. */
export class Finishing {
  readonly #onFinished: ((task: ChartTask) => unknown) | undefined
  readonly #logger: Logger
  readonly #calls = new Set<Promise<void>>()

  constructor (onFinished: ((task: ChartTask) => unknown) | undefined, logger: Logger) {
    this.#onFinished = onFinished
    this.#logger = logger
  }

  tell (task: ChartTask): void {
    if (!this.#onFinished) return
    const call = Promise.resolve(task).then(this.#onFinished).then(
      () => {},
      error => this.#logger.error({ err: error, task_id: task.task_id }, 'onFinished failed'))
    this.#calls.add(call)
    void call.then(() => this.#calls.delete(call))
  }

  /** Waits until the host has been told, a second at most. */
  async settle (): Promise<void> {
    const timer = new AbortController()
    const late = delay(GRACE, true, { signal: timer.signal }).catch(() => false)
    const all = Promise.allSettled(this.#calls).then(() => false)
    if (await Promise.race([all, late])) this.#logger.error({ waiting: this.#calls.size }, 'onFinished does not return: no longer waited for')
    timer.abort()
  }
}
