import type { Logger } from '../generator.ts'
import { isLogged, toLogged, toLoggedText } from '../logging.ts'
import type { Settled, Settlement } from '../store/task-store.ts'
import { ChartStatus, type ChartTask } from '../task.ts'
import { speaksToUser } from './outcome.ts'

/** An attempt that has failed in this process. */
export interface FailedAttempt {
  readonly task: ChartTask
  readonly error: unknown
  /** ms that it ran; null where nobody has measured it. */
  readonly duration: number | null
}

const MESSAGES = {
  COMPLETED: 'chart completed',
  CANCELLED: 'chart cancelled',
  FAILED: 'chart failed'
} as const

/** Why: what a generator tells the user is no fault of the host's, and needs no stack. */
function reasonOf (error: unknown): { reason: string } | { err: unknown } {
  try {
    if (speaksToUser(error)) return { reason: toLoggedText(String(error.message)) }
  } catch {
    // Its getters throw: `toLogged` says so.
  }
  return { err: toLogged(error) }
}

/**
 * One line for each task that has ended, and for each attempt that will be retried: what alerts are written from. The names of the
 * fields are public, see docs/guides/operating.md.
 */
export class TaskLog {
  readonly #logger: Logger

  constructor (logger: Logger) {
    this.#logger = logger
  }

  /** `error`: what was thrown, where an attempt in this process has ended the task. */
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

  /** An attempt that its worker has given up, and that has not ended its task. */
  attemptFailed (closing: Settlement & { readonly verb: 'fail' }, { current }: Settled, failed: FailedAttempt): void {
    const level = current ? 'warn' : 'info'
    if (!isLogged(this.#logger, level)) return
    const { task: { task_id, message_id, attempt, max_attempts }, error, duration } = failed
    this.#logger[level](
      { task_id, message_id, status: ChartStatus.PENDING, attempt, max_attempts, code: closing.code, duration, ...reasonOf(error) },
      current ? 'chart attempt failed, it will be retried' : 'chart attempt failed after it had lost its lease')
  }
}
