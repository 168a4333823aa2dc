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
/** What it says about one request. */
interface NewTasks { readonly now: number, readonly positions: readonly number[] }

/** Requests, each with its drafts, as arguments of `enqueue.lua`. */
function enqueueArguments (requests: ReadonlyArray<readonly TaskDraft[]>, batch_id: string): Argument[] {
  const args: Argument[] = []
  for (const drafts of requests) {
    const { user_id, tenant, idempotency, waitingPerTenant, scheduledPerTenant, queueLength, queueTimeout, weight, stores_content } = drafts[0]!
    args.push(
      toWord(user_id), toWord(tenant), `${waitingPerTenant} ${queueLength} ${scheduledPerTenant} ${stores_content ? 1 : 0} ${queueTimeout} ${weight}`,
      idempotency ? `${idempotency.key} ${idempotency.body}` : '', batch_id, drafts.length
    )
    for (const draft of drafts) args.push(draft.task_id, toWords(draft), draft.dedup_key, compactRequest(draft), toOptions(draft))
  }
  return args
}

/** The part of each request of the short answer. `sizes`: how many drafts each has. */
function splitPlain ([, now, ...positions]: PlainAnswer, sizes: readonly number[]): NewTasks[] {
  let end = 0
  return sizes.map(size => {
    end += size
    return { now: Number(now), positions: positions.slice(end - size, end) }
  })
}

const newPlainTask = (draft: TaskDraft, { now, positions }: NewTasks, i: number): EnqueuedTask =>
  ({ outcome: 'queued', task: newTask(draft, now, { current_step: 'queued', step_at: now, queue_position: positions[i]!, depends_on: [] }) })

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
  readonly #gatherer: Gatherer<TaskDraft, RequestAnswer | NewTasks>

  constructor (runner: ScriptRunner) {
    this.#runner = runner
    this.#gatherer = new Gatherer(drafts => this.#enqueue(drafts.map(draft => [draft]), ''))
  }

  async one (draft: TaskDraft): Promise<EnqueueOutcome> {
    // A draft that may end many tasks, or depends on many, has a call of its own.
    const isPlain = !draft.supersede && draft.depends_on.length === 0
    const answer = isPlain ? await this.#gatherer.add(draft, Buffer.byteLength(draft.request)) : await this.#enqueueAlone([draft], '')
    if (!Array.isArray(answer)) return { ...newPlainTask(draft, answer, 0), superseded: [] }
    const result = await this.#toOutcome([draft], '', answer)
    if (!('tasks' in result)) return result
    const { tasks: [enqueued], superseded, deferred } = result
    // The task was lost between the script and the read.
    if (!enqueued) throw new errors.CHARTS_ERR_STORE_UNAVAILABLE()
    return { ...enqueued, superseded, ...(deferred ? { deferred } : {}) }
  }

  async batch (batch_id: string, drafts: readonly TaskDraft[]): Promise<BatchOutcome> {
    const answer = await this.#enqueueAlone(drafts, batch_id)
    if (Array.isArray(answer)) return this.#toOutcome(drafts, batch_id, answer)
    return { outcome: 'accepted', batch_id, tasks: drafts.map((draft, i) => newPlainTask(draft, answer, i)), superseded: [] }
  }

  async #enqueueAlone (drafts: readonly TaskDraft[], batch_id: string): Promise<RequestAnswer | NewTasks> {
    const [answer] = await this.#enqueue([drafts], batch_id)
    return answer!
  }

  async #enqueue (requests: ReadonlyArray<readonly TaskDraft[]>, batch_id: string): Promise<Array<RequestAnswer | NewTasks>> {
    const raw = await this.#runner.run<RequestAnswer[] | PlainAnswer>('enqueue', enqueueArguments(requests, batch_id))
    return raw[0] === 'plain' ? splitPlain(raw as PlainAnswer, requests.map(({ length }) => length)) : raw as RequestAnswer[]
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
