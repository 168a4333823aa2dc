import { randomUUID } from 'node:crypto'
import { errors } from '../errors.ts'
import type { EnqueuedTask, EnqueueRefusal, Retention, RetryPolicy, StoreClock, TaskDetails, TaskDraft, TaskQueue, TaskReader, TraceContext } from '../store/task-store.ts'
import {
  BatchRequestSchema, ChartPriority, ChartVisibility, CreateChartRequestSchema, isId,
  type BatchedChartRequest, type ChartRequest, type ChartTask, type CreateChartRequest, type Identity, type StoredTask
} from '../task.ts'
import { describeIssues, embeddable, isStorable, strictValidator, type Validator } from '../validator.ts'
import { aFewAtATime } from './a-few-at-a-time.ts'
import { timeOf } from './arguments.ts'
import { resolveRefs } from './batch-refs.ts'
import { digest } from './digest.ts'
import type { HostCharts } from './host-charts.ts'

/** ms ahead that a task may be scheduled. */
const FARTHEST_AHEAD = 30 * 86_400_000

export interface IntakeOptions {
  readonly store: TaskQueue & TaskReader & StoreClock
  /** null: charts are kept beside the tasks. */
  readonly hostCharts: HostCharts | null
  readonly paramsSchema: object | undefined
  readonly retention: Retention
  readonly retry: RetryPolicy
  readonly limits: { readonly waitingPerTenant: number, readonly scheduledPerTenant: number, readonly queueLength: number, readonly queueTimeout: number, readonly requestBytes: number }
  readonly tenantWeight: ((identity: Identity) => number) | undefined
  /** Told of what is new. */
  readonly created?: (task: ChartTask) => void
  /** Told of what is superseded. */
  readonly ended: (task: ChartTask) => void
  /** Told where more is superseded than one call ends. */
  readonly deferred?: () => void
}

interface Caller {
  readonly user_id: string
  readonly org_id: string | null
}

type WeighedCaller = Caller & { readonly weight: number }

/** Throws for the identity that is none; `null` is no org. */
export function checkIdentity (identity: Identity): Caller {
  const { user_id, org_id = null } = identity ?? {}
  if (!isId(user_id) || !(org_id === null || isId(org_id))) throw new errors.CHARTS_ERR_INVALID_IDENTITY()
  return { user_id, org_id }
}

/** Turns in a round, as the store counts them. */
const HEAVIEST = 60

/** Whose turn and whose limits: those of the org, or of the user where there is none. */
export const tenantOf = ({ user_id, org_id }: Caller): string => org_id === null ? `user:${user_id}` : `org:${org_id}`

/** Validates requests, and hands them to the store: one, or many of which all are accepted or none. */
export class Intake {
  readonly #options: IntakeOptions
  readonly #validateOne: Validator
  readonly #validateBatch: Validator

  constructor (options: IntakeOptions) {
    this.#options = options
    const { tasks } = BatchRequestSchema.properties
    this.#validateOne = strictValidator(withParams(CreateChartRequestSchema, options.paramsSchema), options.paramsSchema)
    this.#validateBatch = strictValidator({ ...BatchRequestSchema, properties: { tasks: { ...tasks, items: withParams(tasks.items, options.paramsSchema) } } }, options.paramsSchema)
  }

  async one (request: CreateChartRequest, identity: Identity, idempotencyKey: string | undefined, trace: TraceContext | null = null): Promise<EnqueuedTask> {
    const caller = this.#callerOf(identity)
    checkKey(idempotencyKey)
    this.#check(this.#validateOne, request, () => request?.params)
    const draft = this.#draft(request, caller, { needs: request.depends_on ?? [], trace })
    return this.#accept({ ...draft, idempotency: keyOf(caller, idempotencyKey, () => bodyOf(draft, draft.depends_on)) })
  }

  /** Asks for the chart of a failed task again, in the words in which it was asked for: a new task, or the one that there is already. */
  async again ({ task, request, priority, weight }: TaskDetails<StoredTask>, trace: TraceContext | null = null): Promise<EnqueuedTask> {
    const { user_id, org_id, message_id, visibility, adjustment_query, params } = request
    const wish = { message_id, visibility, adjustment_query, priority, ...(params === undefined ? {} : { params }) }
    const needs = await Promise.all(task.depends_on.map(task_id => this.#latest(task_id)))
    const draft = { ...this.#draft(wish, { user_id, org_id, weight }, { needs, trace }), retry_of: task.task_id }
    const result = await this.#accept(draft)
    // One that was forced was asked for although an older chart existed.
    const isOlder = result.outcome === 'chart_exists' && result.task.completed_at! < task.completed_at!
    return request.force_create && isOlder ? this.#accept({ ...draft, chart_check: { chart_id: result.task.chart_id!, kept: false } }) : result
  }

  /** The task, or the one that repeats it, or the one that repeats that. */
  async #latest (task_id: string): Promise<string> {
    for (let latest = task_id; ;) {
      const retried_as = (await this.#options.store.inspect(latest))?.retried_as
      if (!retried_as) return latest
      latest = retried_as
    }
  }

  async many (given: readonly BatchedChartRequest[], identity: Identity, idempotencyKey: string | undefined, trace: TraceContext | null = null): Promise<{ batch_id: string, outcome: 'accepted' | 'replayed', tasks: EnqueuedTask[] }> {
    const caller = this.#callerOf(identity)
    checkKey(idempotencyKey)
    this.#check(this.#validateBatch, { tasks: given }, () => given?.some?.(request => request?.params !== undefined))
    // The same object may have been given twice.
    const requests = given.map(request => ({ ...request }))
    const { ids, names } = resolveRefs(requests)
    const drafts = requests.map((request, i) => {
      const needs = (request.depends_on ?? []).map(name => ids.get(name) ?? name)
      return this.#draft(request, caller, { task_id: ids.get(request)!, needs, where: `request/tasks/${i}`, trace })
    })
    // Sent again, the same batch has other ids.
    const places = new Map(drafts.map(({ task_id }, i) => [task_id, i]))
    const body = () => digest('batch', ...drafts.map(draft => bodyOf(draft, draft.depends_on.map(task_id => places.get(task_id) ?? task_id))))
    const idempotency = keyOf(caller, idempotencyKey, body)
    const batch_id = randomUUID()
    const wanted = drafts.map(draft => ({ ...draft, idempotency }))
    const result = await this.#withChartChecks(wanted, drafts => this.#options.store.enqueueBatch(batch_id, drafts))
    if (!('tasks' in result)) throw this.#refusal(result, task_id => names.get(task_id) ?? (places.has(task_id) ? `request/tasks/${places.get(task_id)}` : task_id))
    result.superseded.forEach(this.#options.ended)
    if (result.deferred) this.#options.deferred?.()
    this.#tellOfNew(result.tasks)
    return { batch_id: result.batch_id, outcome: result.outcome, tasks: [...result.tasks] }
  }

  /** Who asks, and how much of a round is theirs. @throws CHARTS_ERR_INVALID_TENANT_WEIGHT */
  #callerOf (identity: Identity): WeighedCaller {
    const caller = checkIdentity(identity)
    const weight = this.#options.tenantWeight?.(identity) ?? 1
    if (!Number.isInteger(weight) || weight < 1 || weight > HEAVIEST) throw new errors.CHARTS_ERR_INVALID_TENANT_WEIGHT()
    return { ...caller, weight }
  }

  async #accept (draft: TaskDraft): Promise<EnqueuedTask> {
    const result = await this.#withChartChecks([draft], ([draft]) => this.#options.store.enqueue(draft!))
    if (!('task' in result)) throw this.#refusal(result, task_id => task_id)
    result.superseded.forEach(this.#options.ended)
    if (result.deferred) this.#options.deferred?.()
    this.#tellOfNew([result])
    return { task: result.task, outcome: result.outcome }
  }

  #tellOfNew (enqueued: readonly EnqueuedTask[]): void {
    for (const { outcome, task } of enqueued) if (outcome === 'queued') this.#options.created?.(task)
  }

  /** Asks the host for the charts on which it depends what becomes of the drafts; once more where other ones have come meanwhile. */
  async #withChartChecks<T extends { outcome: string }> (drafts: TaskDraft[], enqueue: (drafts: TaskDraft[]) => Promise<T>): Promise<Exclude<T, ChartCheckRequired>> {
    for (;;) {
      const result: T | ChartCheckRequired = await enqueue(drafts)
      if (!isChartCheckRequired(result)) return result as Exclude<T, ChartCheckRequired>
      const charts = [...new Set(result.charts.map(({ chart_id }) => chart_id))]
      const kept = await aFewAtATime(charts, async chart_id => await this.#options.hostCharts?.get(chart_id) != null)
      const known = new Map(charts.map((chart_id, i) => [chart_id, { chart_id, kept: kept[i]! }]))
      const checked = new Map(result.charts.map(({ task_id, chart_id }) => [task_id, known.get(chart_id)!]))
      drafts = drafts.map(draft => ({ ...draft, chart_check: checked.get(draft.task_id) ?? draft.chart_check }))
    }
  }

  #refusal (refused: Exclude<EnqueueRefusal, ChartCheckRequired>, nameOf: (task_id: string) => string): Error {
    const { waitingPerTenant, scheduledPerTenant, queueLength } = this.#options.limits
    // To come back later would not help.
    const neverFits = (limit: number, which = '') => new errors.CHARTS_ERR_INVALID_REQUEST(`a batch must not make more than ${limit} new tasks${which}: no more may wait`)
    switch (refused.outcome) {
      case 'key_reused': return new errors.CHARTS_ERR_IDEMPOTENCY_KEY_REUSED()
      case 'tenant_full': return refused.fresh > waitingPerTenant ? neverFits(waitingPerTenant) : new errors.CHARTS_ERR_TOO_MANY_TASKS('are waiting')
      case 'scheduled_full': {
        if (refused.fresh > scheduledPerTenant) return neverFits(scheduledPerTenant, ' that wait for a time or for others')
        return Object.assign(new errors.CHARTS_ERR_TOO_MANY_TASKS('wait for a time or for others'), { scheduled: true })
      }
      case 'queue_full': return refused.fresh > queueLength ? neverFits(queueLength) : new errors.CHARTS_ERR_QUEUE_FULL()
      case 'too_many_batches': return new errors.CHARTS_ERR_INVALID_REQUEST(`${nameOf(refused.task_id)} asks for a chart that 100 batches have asked for already, and that has not ended`)
      case 'dependency_unknown': return new errors.CHARTS_ERR_DEPENDENCY_UNKNOWN(nameOf(refused.task_id))
      case 'dependency_failed': return new errors.CHARTS_ERR_DEPENDENCY_FAILED(nameOf(refused.task_id))
    }
  }

  #check (validate: Validator, request: unknown, params: () => unknown): void {
    if (validate(request)) return
    if (isStorable(validate.errors!) && this.#options.paramsSchema === undefined && params()) {
      throw new errors.CHARTS_ERR_INVALID_REQUEST('params is not accepted: the host has given no paramsSchema')
    }
    throw new errors.CHARTS_ERR_INVALID_REQUEST(describeIssues(validate.errors!, 'request'))
  }

  /** `needs`: the task_ids that it depends on; `where`: what it is called in a fault. */
  #draft (request: CreateChartRequest, { user_id, org_id, weight }: WeighedCaller, { task_id = randomUUID(), needs, where = 'request', trace }: { task_id?: string, needs: readonly string[], where?: string, trace: TraceContext | null }): TaskDraft {
    const { retention, retry, limits, hostCharts } = this.#options
    const {
      message_id, visibility = ChartVisibility.PRIVATE, force_create = false, adjustment_query = null, params,
      priority = ChartPriority.NORMAL, run_at = null, supersede = false
    } = request
    const chartRequest: ChartRequest = {
      task_id,
      message_id,
      user_id,
      org_id,
      visibility,
      force_create,
      adjustment_query,
      ...(params === undefined ? {} : { params })
    }
    const raw = serialize(chartRequest, where)
    const bytes = Buffer.byteLength(raw)
    if (limits.requestBytes > 0 && bytes > limits.requestBytes) throw new errors.CHARTS_ERR_REQUEST_TOO_LARGE(bytes, limits.requestBytes)
    const earliest = run_at === null ? null : timeOf(run_at, `${where}/run_at`)
    if (earliest !== null && earliest > (this.#options.store.now?.() ?? Date.now()) + FARTHEST_AHEAD) {
      throw new errors.CHARTS_ERR_INVALID_REQUEST(`${where}/run_at must be at most 30 days ahead`)
    }
    const depends_on = needs.map(need => need.toLowerCase())
    if (new Set(depends_on).size < depends_on.length) throw new errors.CHARTS_ERR_INVALID_REQUEST(`${where}/depends_on must not name a task twice`)
    const message = message_id.toLowerCase()
    return {
      task_id,
      message_id: message,
      user_id,
      tenant: tenantOf({ user_id, org_id }),
      shared_with: visibility === ChartVisibility.PRIVATE ? null : org_id,
      dedup_key: digest(message, user_id, org_id, visibility, adjustment_query, params),
      force: force_create,
      priority,
      run_at: earliest,
      supersede,
      weight,
      queueTimeout: limits.queueTimeout,
      retry_of: null,
      trace,
      depends_on,
      idempotency: null,
      request: raw,
      requested: { message_id, org_id, visibility, adjustment_query },
      retention,
      retry,
      waitingPerTenant: limits.waitingPerTenant,
      scheduledPerTenant: limits.scheduledPerTenant,
      queueLength: limits.queueLength,
      stores_content: hostCharts === null,
      chart_check: null
    }
  }
}

/**
 * What a key must come with to be the same request again; `needs`: what it depends on, in the caller's words. What is as it is by
 * default is left out: the version before this one, which may work the same queue, did not know it.
 */
function bodyOf ({ dedup_key, force, priority, run_at, supersede }: TaskDraft, needs: ReadonlyArray<string | number>): string {
  const powers = {
    ...(priority === ChartPriority.NORMAL ? {} : { priority }),
    ...(run_at === null ? {} : { run_at }),
    ...(supersede ? { supersede } : {}),
    ...(needs.length === 0 ? {} : { needs: [...needs] })
  }
  return Object.keys(powers).length === 0 ? digest(dedup_key, force) : digest(dedup_key, force, powers)
}

const keyOf = ({ user_id, org_id }: Caller, key: string | undefined, body: () => string): TaskDraft['idempotency'] =>
  key === undefined ? null : { key: digest(user_id, org_id, key), body: body() }

const withParams = <T extends { properties: object }>(schema: T, paramsSchema: object | undefined) =>
  ({ ...schema, properties: { ...schema.properties, params: paramsSchema ? embeddable(paramsSchema) : false } })

/** The request as it is stored. A program may have given what no JSON is. */
function serialize (request: ChartRequest, where: string): string {
  try {
    return JSON.stringify(request)
  } catch {
    throw new errors.CHARTS_ERR_INVALID_REQUEST(`${where}/params must be JSON`)
  }
}

/** What a caller may choose for a key. */
const KEY = /^[\x20-\x7e]{1,255}$/

/** @throws CHARTS_ERR_IDEMPOTENCY_KEY_INVALID */
function checkKey (key: unknown): void {
  if (key !== undefined && !(typeof key === 'string' && KEY.test(key))) throw new errors.CHARTS_ERR_IDEMPOTENCY_KEY_INVALID()
}

type ChartCheckRequired = Extract<EnqueueRefusal, { outcome: 'chart_check_required' }>
const isChartCheckRequired = (result: { outcome: string }): result is ChartCheckRequired => result.outcome === 'chart_check_required'
