import { sleep } from '../async.ts'
import type { Logger, ProgressUpdate } from '../generator.ts'
import { toContent } from '../service/charts.ts'
import type { Leases } from '../service/leases.ts'
import { AttemptError, serializeValue } from '../service/outcome.ts'
import type { ClaimedTask } from '../store/task-store.ts'
import type { QueueTelemetry } from '../telemetry/queue-telemetry.ts'

const MAX_NAME_LENGTH = 64
/** ms between the attempts to store the result of a step. After the last one, the generator continues without. */
const STORE_DELAYS_MS = [200, 1_000]

/** Null: the name is valid for a step. */
export function stepNameError (name: unknown): TypeError | null {
  const isName = typeof name === 'string' && name !== '' && name.length <= MAX_NAME_LENGTH && name.isWellFormed()
  return isName ? null : new TypeError(`a step needs a name of 1 to ${MAX_NAME_LENGTH} characters of well-formed Unicode`)
}

export interface CheckpointsOptions {
  readonly claimed: ClaimedTask
  readonly leases: Leases
  readonly telemetry: QueueTelemetry
  readonly signal: AbortSignal
  readonly log: () => Logger
  readonly progress: (update: ProgressUpdate) => void
  /** Called when the store refuses a result because the lease is not current any more. */
  readonly onStale: () => void
}

/** The steps of an attempt. A step whose result was stored by an earlier attempt does not run again. */
export class Checkpoints {
  readonly #options: CheckpointsOptions
  readonly #running = new Map<string, Promise<unknown>>()

  constructor (options: CheckpointsOptions) {
    this.#options = options
  }

  /**
   * Resolves to the result of `fn`, from this attempt or an earlier one. Calls with the same name share one run.
   * @throws what `fn` throws; TypeError if the name is invalid; the reason of the signal once that is aborted
   */
  step<T> (name: string, fn: () => T | Promise<T>): Promise<T> {
    const nameError = stepNameError(name)
    if (nameError) return Promise.reject(nameError)
    let running = this.#running.get(name)
    if (!running) {
      running = this.#run(name, fn)
      this.#running.set(name, running)
      // After a failure, the generator may run the step again.
      running.catch(() => this.#running.delete(name))
    }
    return running as Promise<T>
  }

  async #run<T> (name: string, fn: () => T | Promise<T>): Promise<T> {
    const { claimed, telemetry, signal, progress } = this.#options
    signal.throwIfAborted()
    const stored = deserializeStep(claimed.checkpoints.get(name))
    if (stored) {
      progress({ step: name, step_progress: 100 })
      return telemetry.step(claimed.task, name, true, () => stored.value as T)
    }
    progress({ step: name, step_progress: 0 })
    const value = await telemetry.step(claimed.task, name, false, async () => {
      const value = await fn()
      signal.throwIfAborted()
      await this.#store(name, serializeStep(value))
      return value
    })
    progress({ step: name, step_progress: 100 })
    return value
  }

  async #store (name: string, text: string): Promise<void> {
    const { claimed: { task, lease }, leases, signal, log, onStale } = this.#options
    for (const wait of [...STORE_DELAYS_MS, null]) {
      let answer
      try {
        answer = await leases.checkpoint(task.task_id, lease, name, text)
      } catch (error) {
        if (wait === null) return log().warn({ err: error, step: name }, 'the result of a step could not be stored: another attempt would run the step again')
        await sleep(wait, signal)
        signal.throwIfAborted()
        continue
      }
      if (answer === 'too_large') throw new AttemptError('CHARTS_ERR_CHECKPOINT_TOO_LARGE', { retryable: false })
      if (answer === 'stale') {
        onStale()
        signal.throwIfAborted()
      }
      return
    }
  }
}

/** The result of a step from its stored text; null: there is none, or it is unreadable, so that the step runs again. */
function deserializeStep (text: string | undefined): { value?: unknown } | null {
  const { content } = (text === undefined ? null : toContent(text)) ?? {}
  return typeof content === 'object' && content !== null && !Array.isArray(content) ? content : null
}

/**
 * The result of a step as the text to store: a JSON object with the member `value`, or without it if the step returned undefined.
 * @throws AttemptError CHARTS_ERR_INVALID_CHECKPOINT if JSON cannot represent the result
 */
export function serializeStep (value: unknown): string {
  const json = serializeValue(value, 'CHARTS_ERR_INVALID_CHECKPOINT')
  // A function or a symbol, which would come back as undefined.
  if (json === undefined && value !== undefined) throw new AttemptError('CHARTS_ERR_INVALID_CHECKPOINT', { retryable: false })
  return json === undefined ? '{}' : `{"value":${json}}`
}
