import { isFinished, type StoredTask } from '../../task.ts'
import { attemptOutcomes } from '../attempt-outcomes.ts'
import type { AttemptRecord, StepEntry, TaskDetails } from '../task-store.ts'
import { parse, readable, traceOf, type Verb } from './record-format.ts'
import { date, messageOf, taskOf, toRequest, type RawTask } from './records.ts'
import { fromWord } from './words.ts'

export const toSteps = (trace: string): StepEntry[] => trace === ''
  ? []
  : trace.split(';').map(entry => {
    const [step, at, from] = entry.split(',')
    return { step: fromWord(step!), at: Number(at), from: Number(from) }
  })

type Attempt = [attempt: number, lease: number, worker: string, started: number, ended: number, verb: Verb, step: string, progress: number, code: string, message: string]

function toAttempt ([attempt, lease, worker_id, started, ended, verb, last_step, progress, code, message]: Attempt): AttemptRecord {
  return {
    attempt,
    lease,
    worker_id: fromWord(worker_id),
    started_at: date(started)!,
    ended_at: date(ended),
    outcome: attemptOutcomes[verb],
    last_step: fromWord(last_step),
    progress,
    error_code: code || null,
    error_message: messageOf(code, message)
  }
}

/** A stored task with all that an operator may want to know; null where it cannot be read. `history`: its earlier attempts. */
export const toDetails = (found: RawTask, history: readonly string[]): TaskDetails<StoredTask> | null => readable(() => readDetails(found, history))

function readDetails ([record, text, position, apart]: RawTask, history: readonly string[]): TaskDetails<StoredTask> {
  const parsed = parse(record, text, apart)
  const { terms, state } = parsed
  const request = toRequest(parsed)
  const task = taskOf(parsed, request, position)
  const attempts = history.map(entry => readable(() => toAttempt(JSON.parse(entry)))).filter(attempt => attempt !== null)
  // The last attempt is in the state itself, until the task goes back to the queue.
  const trace = toSteps(state.trace)
  if (trace.length > 0 && attempts.at(-1)?.lease !== state.lease) {
    const failed = state.settled_by === 'fail' || state.settled_by === 'expire'
    attempts.push({
      attempt: state.attempt,
      lease: state.lease,
      worker_id: state.worker,
      started_at: date(trace[0]!.at)!,
      ended_at: isFinished(task) ? task.completed_at : null,
      outcome: state.settled_by ? attemptOutcomes[state.settled_by] : null,
      last_step: trace.at(-1)!.step,
      progress: state.progress,
      error_code: failed ? task.error_code : null,
      error_message: failed ? task.error_message : null
    })
  }
  const tracedFrom = traceOf(terms)
  return {
    task,
    request,
    priority: terms.priority,
    run_at: date(terms.extras.run_at),
    batch_ids: [...state.extras.batches ?? []],
    retried_as: state.extras.retried_as ?? null,
    attempts,
    weight: terms.extras.weight ?? 1,
    ...(tracedFrom ? { trace: tracedFrom } : {}),
    ...(state.extras.shortened ? { shortened: true } : {})
  }
}
