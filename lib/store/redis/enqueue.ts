import { errors } from '../../errors.ts'
import type { StoredTask } from '../../task.ts'
import { newTask } from '../new-task.ts'
import type { BatchOutcome, EnqueuedTask, EnqueueOutcome, TaskDraft } from '../task-store.ts'
import { compactRequest } from './compact-request.ts'
import { toOptions, toWords } from './draft-words.ts'
import { Gatherer } from './gatherer.ts'
import { toTask } from './records.ts'
import type { Argument, ScriptRunner } from './script-runner.ts'
import { readTasks, toTasks, type Found } from './task-reader.ts'
import { toWord } from './words.ts'

type UncheckedChart = [task_id: string, chart_id: string]
/** What answers one draft. With `now` it is new, and only what the script decided is in here; else `record` has the task or its id. */
type DraftAnswer = [outcome: EnqueuedTask['outcome'], record: Found | string, now?: string, step?: string, at?: string, position?: number | null, deps?: string]
/** What answers the drafts of one request. */
type RequestAnswer = [BatchOutcome['outcome'], DraftAnswer[] | UncheckedChart[] | string | number, Found[]?, (string | null)?, number?]
/** The short answer to requests that all made new tasks, at once and without conditions. */
type PlainAnswer = ['plain', now: string, ...positions: number[]]

/** The drafts of one request, as arguments of `enqueue.lua`. */
function enqueueArguments (drafts: readonly TaskDraft[], batch_id: string): Argument[] {
  const { user_id, tenant, idempotency, waitingPerTenant, scheduledPerTenant, queueLength, queueTimeout, weight, stores_content } = drafts[0]!
  return [
    toWord(user_id), toWord(tenant), [waitingPerTenant, queueLength, scheduledPerTenant, stores_content ? 1 : 0, queueTimeout, weight].join(' '),
    idempotency ? `${idempotency.key} ${idempotency.body}` : '', batch_id, drafts.length,
    ...drafts.flatMap(draft => [draft.task_id, toWords(draft), draft.dedup_key, compactRequest(draft), toOptions(draft)])
  ]
}

/** One answer for each request. `sizes`: how many drafts each has. */
function toAnswers (raw: RequestAnswer[] | PlainAnswer, sizes: readonly number[]): RequestAnswer[] {
  if (raw[0] !== 'plain') return raw as RequestAnswer[]
  const [, now, ...positions] = raw as PlainAnswer
  return sizes.map(size => ['accepted', positions.splice(0, size).map(position => ['queued', null, now, 'queued', now, position])])
}

/** The tasks of an answer. `read`: those that the script only names. One whose retention has passed since is left out. */
function toEnqueued (drafts: readonly TaskDraft[], answers: readonly DraftAnswer[], read: ReadonlyMap<string, StoredTask | null>): EnqueuedTask[] {
  const enqueued = answers.map(([outcome, record, now, step, at, position, deps], i) => ({
    outcome,
    task: now !== undefined
      ? newTask(drafts[i]!, Number(now), { current_step: step!, step_at: Number(at), queue_position: position!, depends_on: deps ? deps.split(' ') : [] })
      : typeof record === 'string' ? read.get(record) : record && toTask(record)
  }))
  return enqueued.filter((item): item is EnqueuedTask => item.task != null)
}

/** Enqueues tasks. Plain requests that arrive while calls are under way share the next call. */
export class Enqueuer {
  readonly #runner: ScriptRunner
  readonly #gatherer: Gatherer<TaskDraft, RequestAnswer>

  constructor (runner: ScriptRunner) {
    this.#runner = runner
    this.#gatherer = new Gatherer(drafts => this.#enqueue(drafts.map(draft => [draft]), ''))
  }

  async one (draft: TaskDraft): Promise<EnqueueOutcome> {
    // A draft that may end many tasks, or depends on many, has a call of its own.
    const isPlain = !draft.supersede && draft.depends_on.length === 0
    const answer = isPlain ? await this.#gatherer.add(draft, Buffer.byteLength(draft.request)) : await this.#enqueueAlone([draft], '')
    const result = await this.#toOutcome([draft], '', answer)
    if (!('tasks' in result)) return result
    const { tasks: [enqueued], superseded, deferred } = result
    // The task was lost between the script and the read.
    if (!enqueued) throw new errors.CHARTS_ERR_STORE_UNAVAILABLE()
    return { ...enqueued, superseded, ...(deferred ? { deferred } : {}) }
  }

  async batch (batch_id: string, drafts: readonly TaskDraft[]): Promise<BatchOutcome> {
    return this.#toOutcome(drafts, batch_id, await this.#enqueueAlone(drafts, batch_id))
  }

  async #enqueueAlone (drafts: readonly TaskDraft[], batch_id: string): Promise<RequestAnswer> {
    const [answer] = await this.#enqueue([drafts], batch_id)
    return answer!
  }

  async #enqueue (requests: ReadonlyArray<readonly TaskDraft[]>, batch_id: string): Promise<RequestAnswer[]> {
    const raw = await this.#runner.run<RequestAnswer[] | PlainAnswer>('enqueue', requests.flatMap(drafts => enqueueArguments(drafts, batch_id)))
    return toAnswers(raw, requests.map(({ length }) => length))
  }

  async #toOutcome (drafts: readonly TaskDraft[], batch_id: string, [answer, found, ended, replayed_batch, deferred]: RequestAnswer): Promise<BatchOutcome> {
    switch (answer) {
      case 'accepted': case 'replayed': {
        const answers = found as DraftAnswer[]
        const named = answers.map(([, record]) => record).filter(record => typeof record === 'string')
        const read = named.length > 0 ? await readTasks(this.#runner, named) : []
        const tasks = toEnqueued(drafts, answers, new Map(read.map((task, i) => [named[i]!, task])))
        return { outcome: answer, batch_id: replayed_batch ?? batch_id, tasks, superseded: toTasks(ended ?? []), ...(deferred === 1 ? { deferred: true } : {}) }
      }
      case 'key_reused': return { outcome: answer }
      case 'tenant_full': case 'scheduled_full': case 'queue_full': return { outcome: answer, fresh: found as number }
      case 'dependency_unknown': case 'dependency_failed': case 'too_many_batches': return { outcome: answer, task_id: found as string }
      case 'chart_check_required': return { outcome: answer, charts: (found as UncheckedChart[]).map(([task_id, chart_id]) => ({ task_id, chart_id })) }
    }
  }
}
