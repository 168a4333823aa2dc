import type { Logger } from '../generator.ts'
import { isLogged, toLogged, toLoggedText } from '../logging.ts'
import type { Settled, Settlement } from '../store/task-store.ts'
import { ChartStatus, type ChartTask } from '../task.ts'
import { isChartGenerationError } from './outcome.ts'

/** An attempt that failed in this process. */
export interface FailedAttempt {
  readonly task: ChartTask
  readonly error: unknown
  /** How long it ran, ms; null: not measured. */
  readonly duration: number | null
}

const MESSAGES = {
  COMPLETED: 'chart completed',
  CANCELLED: 'chart cancelled',
  FAILED: 'chart failed'
} as const

/** The reason in a log line. A ChartGenerationError is a message to the user, so it is logged without a stack. */
function reasonOf (error: unknown): { reason: string } | { err: unknown } {
  try {
    if (isChartGenerationError(error)) return { reason: toLoggedText(String(error.message)) }
  } catch {
    // A getter throws. `toLogged` reports that.
  }
  return { err: toLogged(error) }
}

/**
 * Logs one line for each task that has ended, and for each attempt that failed and did not end its task. Alerts are built on these lines: the
 * names of their fields are public, see docs/guides/operating.md.
 */
export class TaskLog {
  readonly #logger: Logger

  constructor (logger: Logger) {
    this.#logger = logger
  }

  /** `failed`: the attempt in this process that has ended the task, if one did. */
  ended (task: ChartTask, failed?: Pick<FailedAttempt, 'error'>): void {
    const level = task.status === ChartStatus.FAILED ? 'error' : 'info'
    if (!isLogged(this.#logger, level)) return
    const { task_id, message_id, status, attempt, max_attempts, error_code: code, created_at, started_at, completed_at } = task
    const end = Date.parse(completed_at!)
    const start = started_at === null ? end : Date.parse(started_at)
    this.#logger[level]({
      task_id, message_id, status, attempt, max_attempts, code, duration: end - start, waited: start - Date.parse(created_at), ...(failed && reasonOf(failed.error))
    }, MESSAGES[status as keyof typeof MESSAGES])
  }

  /** An attempt failed, and its task has not ended with it. */
  attemptFailed (settlement: Settlement & { readonly verb: 'fail' }, { current }: Settled, failed: FailedAttempt): void {
    const level = current ? 'warn' : 'info'
    if (!isLogged(this.#logger, level)) return
    const { task: { task_id, message_id, attempt, max_attempts }, error, duration } = failed
    this.#logger[level](
      { task_id, message_id, status: ChartStatus.PENDING, attempt, max_attempts, code: settlement.code, duration, ...reasonOf(error) },
      current ? 'chart attempt failed, it will be retried' : 'chart attempt failed after it had lost its lease')
  }
}
