import { setTimeout as delay } from 'node:timers/promises'
import type { Logger, ProgressUpdate } from '../generator.ts'
import { toContent } from '../service/charts.ts'
import type { Leases } from '../service/leases.ts'
import { AttemptError, serializeValue } from '../service/outcome.ts'
import type { ClaimedTask } from '../store/task-store.ts'
import type { QueueTelemetry } from '../telemetry/queue-telemetry.ts'

const MAX_NAME = 64

/** Why a step may not be called so; null where it may. */
export function stepNameFault (name: unknown): TypeError | null {
  const isName = typeof name === 'string' && name !== '' && name.length <= MAX_NAME && name.isWellFormed()
  return isName ? null : new TypeError(`a step needs a name of 1 to ${MAX_NAME} characters of well-formed Unicode`)
}

/** ms between the tries to remember a step where the store does not answer; then the chart goes on without. */
const RETRIES = [200, 1_000]

export interface CheckpointsOptions {
  readonly taken: ClaimedTask
  readonly leases: Leases
  readonly telemetry: QueueTelemetry
  readonly signal: AbortSignal
  readonly log: () => Logger
  readonly progress: (update: ProgressUpdate) => void
  /** Called when the lease turned out not to be current. */
  readonly onStale: () => void
}

/** What the steps of a task have returned, in this try and in earlier ones. */
export class Checkpoints {
  readonly #options: CheckpointsOptions
  readonly #running = new Map<string, Promise<unknown>>()

  constructor (options: CheckpointsOptions) {
    this.#options = options
  }

  /** What `fn` returned for this task, now or in an earlier try. */
  step<T> (name: string, fn: () => T | Promise<T>): Promise<T> {
    const fault = stepNameFault(name)
    if (fault) return Promise.reject(fault)
    let running = this.#running.get(name)
    if (!running) {
      running = this.#run(name, fn)
      this.#running.set(name, running)
      // A step that failed may be tried again.
      running.catch(() => this.#running.delete(name))
    }
    return running as Promise<T>
  }

  async #run<T> (name: string, fn: () => T | Promise<T>): Promise<T> {
    const { taken, telemetry, signal, progress } = this.#options
    signal.throwIfAborted()
    const remembered = savedStep(taken.checkpoints.get(name))
    if (remembered) {
      progress({ step: name, step_progress: 100 })
      return telemetry.step(taken.task, name, true, () => remembered.value as T)
    }
    progress({ step: name, step_progress: 0 })
    const value = await telemetry.step(taken.task, name, false, async () => {
      const value = await fn()
      signal.throwIfAborted()
      await this.#remember(name, serializeStep(value))
      return value
    })
    progress({ step: name, step_progress: 100 })
    return value
  }

  async #remember (name: string, text: string): Promise<void> {
    const { taken: { task, lease }, leases, signal, log, onStale } = this.#options
    for (const wait of [...RETRIES, null]) {
      let answer
      try {
        answer = await leases.checkpoint(task.task_id, lease, name, text)
      } catch (error) {
        if (wait === null) return log().warn({ err: error, step: name }, 'a step could not be remembered: another try would repeat it')
        await delay(wait, undefined, { signal })
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

/** What a step returned, from the text that is remembered of it; null where there is none, or it cannot be read: then the step runs again. */
function savedStep (text: string | undefined): { value?: unknown } | null {
  const { content } = (text === undefined ? null : toContent(text)) ?? {}
  return typeof content === 'object' && content !== null && !Array.isArray(content) ? content : null
}

/**
 * What a step returned, as the text that is remembered of it.
 * @throws AttemptError CHARTS_ERR_INVALID_CHECKPOINT for what JSON cannot hold
 */
export function serializeStep (value: unknown): string {
  const json = serializeValue(value, 'CHARTS_ERR_INVALID_CHECKPOINT')
  // A step may return nothing; what JSON leaves out would come back as nothing.
  if (json === undefined && value !== undefined) throw new AttemptError('CHARTS_ERR_INVALID_CHECKPOINT', { retryable: false })
  return json === undefined ? '{}' : `{"value":${json}}`
}
