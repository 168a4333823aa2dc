import { withDeadline } from '../async.ts'
import type { Logger } from '../generator.ts'
import type { ChartTask } from '../task.ts'

/** Maximum ms that closing waits for calls of `onFinished`. */
const DRAIN_GRACE_MS = 1_000

/** Calls the host's `onFinished`. An error of it is logged and has no other effect. */
export class FinishedHook {
  readonly #onFinished: ((task: ChartTask) => unknown) | undefined
  readonly #logger: Logger
  readonly #calls = new Set<Promise<void>>()

  constructor (onFinished: ((task: ChartTask) => unknown) | undefined, logger: Logger) {
    this.#onFinished = onFinished
    this.#logger = logger
  }

  notify (task: ChartTask): void {
    if (!this.#onFinished) return
    const call = Promise.resolve(task).then(this.#onFinished).then(
      () => {},
      error => this.#logger.error({ err: error, task_id: task.task_id }, 'onFinished failed'))
    this.#calls.add(call)
    void call.then(() => this.#calls.delete(call))
  }

  /** Waits for the calls under way, a second at most. */
  async drain (): Promise<void> {
    await withDeadline(Promise.all(this.#calls), DRAIN_GRACE_MS, () => {
      this.#logger.error({ waiting: this.#calls.size }, 'onFinished does not return: no longer waited for')
    })
  }
}
