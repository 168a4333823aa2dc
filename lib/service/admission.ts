import { randomUUID } from 'node:crypto'
import type { EnqueuedTask, Retention, RetryPolicy, StoreClock, TaskDraft, TaskQueue } from '../store/task-store.ts'
import type { BatchedChartRequest, ChartTask, CreateChartRequest, Identity, TraceContext } from '../task.ts'
import { resolveRefs } from './batch-refs.ts'
import { enqueueWithChartChecks } from './chart-checks.ts'
import type { DeferredWork } from './deferred-work.ts'
import { createDraft, type DraftDetails, type DraftTerms } from './drafts.ts'
import type { Endings } from './endings.ts'
import type { HostCharts } from './host-charts.ts'
import { checkIdempotencyKey, digestOfBatch, digestOfBody, idempotencyOf } from './idempotency.ts'
import { weightedOwnerOf, type WeightedOwner } from './identity.ts'
import { errorOf } from './refusals.ts'
import { requestChecks, type RequestChecks } from './request-checks.ts'

/** What came of a request; `replayed`: its Idempotency-Key was used before, and the task is as it is now. */
export interface EnqueueResult extends Pick<EnqueuedTask, 'outcome'> {
  readonly task: ChartTask
}

export interface EnqueueOptions {
  /** 1 to 255 printable ASCII characters of the caller's choice. Default: none. */
  readonly idempotencyKey?: string | undefined
  /** Where the request came from, for a program that is in no active span. Used where something listens. Default: none. */
  readonly trace?: TraceContext | null | undefined
}

/** What came of a batch; `tasks` in the order of the requests. */
export interface EnqueueBatchResult {
  readonly batch_id: string
  readonly outcome: 'accepted' | 'replayed'
  readonly tasks: EnqueueResult[]
}

/** The same, with tasks as the store has them. */
type EnqueuedBatch = Omit<EnqueueBatchResult, 'tasks'> & { readonly tasks: readonly EnqueuedTask[] }

export interface AdmissionOptions {
  readonly store: TaskQueue & StoreClock
  /** Null: charts are kept beside the tasks. */
  readonly hostCharts: HostCharts | null
  readonly paramsSchema: object | undefined
  readonly retention: Retention
  readonly retry: RetryPolicy
  readonly limits: DraftTerms['limits']
  readonly tenantWeight: ((identity: Identity) => number) | undefined
  readonly endings: Pick<Endings, 'ended'>
  readonly deferredWork: Pick<DeferredWork, 'start'>
  /** Called for each new task. */
  readonly created: (task: ChartTask) => void
}

/** Admits requests to the queue: checks them, makes drafts of them, and hands these to the store. */
export class Admission {
  readonly #options: AdmissionOptions
  readonly #checks: RequestChecks
  readonly #terms: DraftTerms

  constructor (options: AdmissionOptions) {
    const { store, hostCharts, paramsSchema, retention, retry, limits } = options
    this.#options = options
    this.#checks = requestChecks(paramsSchema)
    this.#terms = { retention, retry, limits, stores_content: hostCharts === null, now: () => store.now?.() ?? Date.now() }
  }

  /** @throws what `ChartQueueService.enqueueChartTask` throws */
  async enqueue (request: CreateChartRequest, identity: Identity, idempotencyKey?: string, trace: TraceContext | null = null): Promise<EnqueuedTask> {
    const owner = weightedOwnerOf(identity, this.#options.tenantWeight)
    checkIdempotencyKey(idempotencyKey)
    this.#checks.one(request)
    const draft = this.draft(request, owner, { task_id: randomUUID(), depends_on: request.depends_on ?? [], where: 'request', trace })
    if (idempotencyKey === undefined) return this.admit(draft)
    return this.admit({ ...draft, idempotency: idempotencyOf(owner, idempotencyKey, digestOfBody(draft, draft.depends_on)) })
  }

  /** Admits all requests of a batch, or none. @throws what `ChartQueueService.enqueueChartTasks` throws */
  async enqueueBatch (given: readonly BatchedChartRequest[], identity: Identity, idempotencyKey?: string, trace: TraceContext | null = null): Promise<EnqueuedBatch> {
    const owner = weightedOwnerOf(identity, this.#options.tenantWeight)
    checkIdempotencyKey(idempotencyKey)
    this.#checks.many(given)
    // Copies, because the same object may have been given several times.
    const requests = given.map(request => ({ ...request }))
    const { ids, refs } = resolveRefs(requests)
    const drafts = requests.map((request, i) => {
      const depends_on = (request.depends_on ?? []).map(name => ids.get(name) ?? name)
      return this.draft(request, owner, { task_id: ids.get(request)!, depends_on, where: `request/tasks/${i}`, trace })
    })
    const indexes = new Map(drafts.map(({ task_id }, i) => [task_id, i]))
    let idempotency: TaskDraft['idempotency'] = null
    if (idempotencyKey !== undefined) {
      // By their indexes: a repetition of the batch has other task_ids.
      const bodies = drafts.map(draft => digestOfBody(draft, draft.depends_on.map(task_id => indexes.get(task_id) ?? task_id)))
      idempotency = idempotencyOf(owner, idempotencyKey, digestOfBatch(bodies))
    }
    const nameOf = (task_id: string) => refs.get(task_id) ?? (indexes.has(task_id) ? `request/tasks/${indexes.get(task_id)}` : task_id)
    const batch_id = randomUUID()
    const { store, hostCharts } = this.#options
    const result = await enqueueWithChartChecks(drafts.map(draft => ({ ...draft, idempotency })), drafts => store.enqueueBatch(batch_id, drafts), hostCharts)
    if (!('tasks' in result)) throw errorOf(result, this.#options.limits, nameOf)
    this.#admitted(result.tasks, result)
    return { batch_id: result.batch_id, outcome: result.outcome, tasks: result.tasks }
  }

  /** @throws CHARTS_ERR_INVALID_REQUEST, CHARTS_ERR_REQUEST_TOO_LARGE */
  draft (request: CreateChartRequest, owner: WeightedOwner, details: DraftDetails): TaskDraft {
    return createDraft(request, owner, details, this.#terms)
  }

  /** @throws the error of a refusal */
  async admit (draft: TaskDraft): Promise<EnqueuedTask> {
    const { store, hostCharts, limits } = this.#options
    const result = await enqueueWithChartChecks([draft], ([draft]) => store.enqueue(draft!), hostCharts)
    if (!('task' in result)) throw errorOf(result, limits, task_id => task_id)
    const enqueued = { task: result.task, outcome: result.outcome }
    this.#admitted([enqueued], result)
    return enqueued
  }

  #admitted (tasks: readonly EnqueuedTask[], { superseded, deferred }: { readonly superseded: readonly ChartTask[], readonly deferred?: true }): void {
    const { endings, deferredWork, created } = this.#options
    for (const task of superseded) endings.ended(task)
    if (deferred) deferredWork.start()
    for (const { outcome, task } of tasks) if (outcome === 'queued') created(task)
  }
}
