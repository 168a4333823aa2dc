import { errors } from '../errors.ts'
import type { Retention, RetryPolicy, TaskDraft } from '../store/task-store.ts'
import { ChartPriority, ChartVisibility, type ChartRequest, type CreateChartRequest, type TraceContext } from '../task.ts'
import { timeOf } from './arguments.ts'
import { digest } from './digest.ts'
import { tenantOf, type WeightedOwner } from './identity.ts'
import type { AdmissionLimits } from './refusals.ts'

/** Maximum ms until a task's `run_at`. */
const MAX_RUN_AT_AHEAD_MS = 30 * 86_400_000

/** What the options of a service say about every task that it creates. */
export interface DraftTerms {
  readonly retention: Retention
  readonly retry: RetryPolicy
  readonly limits: AdmissionLimits & {
    /** ms, 0 = off. */
    readonly queueTimeout: number
    /** Maximum bytes of a request as JSON, 0 = off. */
    readonly requestBytes: number
  }
  /** False: the host has a `chartStore`. */
  readonly stores_content: boolean
  /** ms since the epoch. */
  readonly now: () => number
}

export interface DraftDetails {
  readonly task_id: string
  /** The task_ids of its dependencies, in the order of the request. */
  readonly depends_on: readonly string[]
  /** The name of the request in error messages. */
  readonly where: string
  readonly trace: TraceContext | null
}

/** The draft of a request that was checked. @throws CHARTS_ERR_INVALID_REQUEST, CHARTS_ERR_REQUEST_TOO_LARGE */
export function createDraft (request: CreateChartRequest, owner: WeightedOwner, { task_id, depends_on, where, trace }: DraftDetails, terms: DraftTerms): TaskDraft {
  const { retention, retry, limits, stores_content } = terms
  const { user_id, org_id, weight } = owner
  const {
    message_id, visibility = ChartVisibility.PRIVATE, force_create = false, adjustment_query = null, params,
    priority = ChartPriority.NORMAL, run_at = null, supersede = false
  } = request
  const chartRequest: ChartRequest = { task_id, message_id, user_id, org_id, visibility, force_create, adjustment_query, ...(params === undefined ? {} : { params }) }
  const message = message_id.toLowerCase()
  let json, dedup_key
  try {
    json = JSON.stringify(chartRequest)
    dedup_key = digest(message, user_id, org_id, visibility, adjustment_query, params)
  } catch {
    throw new errors.CHARTS_ERR_INVALID_REQUEST(`${where}/params must be JSON`)
  }
  checkSize(json, limits.requestBytes)
  const earliest = run_at === null ? null : timeOf(run_at, `${where}/run_at`)
  if (earliest !== null && earliest > terms.now() + MAX_RUN_AT_AHEAD_MS) throw new errors.CHARTS_ERR_INVALID_REQUEST(`${where}/run_at must be at most 30 days ahead`)
  const dependencies = depends_on.map(task_id => task_id.toLowerCase())
  if (dependencies.length > 1 && new Set(dependencies).size < dependencies.length) throw new errors.CHARTS_ERR_INVALID_REQUEST(`${where}/depends_on must not name a task twice`)
  return {
    task_id,
    message_id: message,
    user_id,
    tenant: tenantOf(owner),
    shared_with: visibility === ChartVisibility.PRIVATE ? null : org_id,
    dedup_key,
    force: force_create,
    priority,
    run_at: earliest,
    supersede,
    weight,
    queueTimeout: limits.queueTimeout,
    retry_of: null,
    trace,
    depends_on: dependencies,
    idempotency: null,
    request: json,
    requested: { message_id, org_id, visibility, adjustment_query },
    retention,
    retry,
    waitingPerTenant: limits.waitingPerTenant,
    scheduledPerTenant: limits.scheduledPerTenant,
    queueLength: limits.queueLength,
    stores_content,
    chart_check: null
  }
}

function checkSize (json: string, limit: number): void {
  const bytes = Buffer.byteLength(json)
  if (limit > 0 && bytes > limit) throw new errors.CHARTS_ERR_REQUEST_TOO_LARGE(bytes, limit)
}
