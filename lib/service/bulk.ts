import { setImmediate } from 'node:timers/promises'
import { errors } from '../errors.ts'
import type { QueueAdmin } from '../store/task-store.ts'
import { matchesFilter, type TaskFilter } from '../task-filter.ts'
import { ChartStatus, Uuid, isFinished, type ChartTask } from '../task.ts'
import { MAX_CANCELLED_AT_ONCE, type Cancellation } from './cancellation.ts'
import { collect } from './collect.ts'
import { dependentsFirst } from './dependents-first.ts'
import { tenantOf } from './identity.ts'
import type { LargeReads } from './large-reads.ts'
import type { Retries } from './retries.ts'
import { MAX_CURSOR_LENGTH, checkFilter, type ListFilter } from './task-list.ts'

/** Maximum number of tasks of one part. The store cancels those of a part in one call. */
const PART_SIZE = MAX_CANCELLED_AT_ONCE
/** Number of tasks of one call: the maximum, and the default. */
export const BULK_LIMIT = { max: 1_000, usual: 100 }
/** ms after which a call starts no further part, so that a route answers within two seconds. */
const MAX_DURATION_MS = 800
/** Maximum number of skipped tasks in a result, and of tasks that a filter names. */
const MAX_SKIPPED = 20
export const MAX_NAMED_TASKS = 100

const LIST_PREFIX = 'list.'
/** The format of a cursor: a prefix and the cursor of a list, or the number of named tasks that are done. */
export const BULK_CURSOR = `^(list\\.[\\s\\S]{1,${MAX_CURSOR_LENGTH}}|named\\.\\d{1,3})$`

/** Which tasks to retry or to cancel: those that match every field that is given. */
export interface BulkFilter extends ListFilter {
  /** Only these tasks, at most 100. */
  readonly task_ids?: readonly string[] | undefined
}

export interface BulkOptions {
  /** Maximum number of tasks, 1 to 1,000. Default 100. */
  readonly limit?: number | undefined
  /** The `cursor` of the call before. Default: from the beginning. */
  readonly cursor?: string | null | undefined
}

export interface BulkResult {
  /** Number of matching tasks among those that this call has examined. */
  readonly matched: number
  /** Number of tasks that were retried or cancelled. */
  readonly done: number
  /** For the next call; null: no more tasks match. */
  readonly cursor: string | null
  /** Matching tasks that were not, at most 20, each with the code of the reason. */
  readonly skipped: ReadonlyArray<{ readonly task_id: string, readonly code: string }>
}

interface Checked {
  readonly filter: TaskFilter
  readonly task_ids: readonly string[] | null
  readonly limit: number
  readonly cursor: string | null
}

/** For each task null if it was done, else the code of the reason why not. */
type Operation = (tasks: readonly ChartTask[]) => Promise<Array<string | null>>

interface BulkOperationsOptions {
  readonly store: Pick<QueueAdmin, 'list'>
  readonly reads: LargeReads
  readonly retries: Retries
  readonly cancellation: Cancellation
}

const UUID = new RegExp(Uuid.pattern!)

/**
 * Retries or cancels all tasks that match a filter, in parts, so that the store serves others in between. A call ends at its limit of tasks
 * or of time.
 */
export class BulkOperations {
  readonly #options: BulkOperationsOptions

  constructor (options: BulkOperationsOptions) {
    this.#options = options
  }

  async retry (filter: BulkFilter, options: BulkOptions): Promise<BulkResult> {
    const status = filter?.status
    if (status !== undefined && status !== ChartStatus.FAILED) throw new errors.CHARTS_ERR_INVALID_REQUEST('filter.status must be FAILED: nothing else is run again')
    const checked = check(filter, options)
    return this.#each({ ...checked, filter: { ...checked.filter, status: ChartStatus.FAILED } }, tasks => this.#retryPart(tasks))
  }

  async cancel (filter: BulkFilter, options: BulkOptions): Promise<BulkResult> {
    const status = filter?.status
    if (status !== undefined && isFinished({ status })) throw new errors.CHARTS_ERR_INVALID_REQUEST('filter.status must be PENDING or PROCESSING: nothing else is cancelled')
    const checked = check(filter, options)
    return this.#each({ ...checked, filter: { ...checked.filter, unfinished: true } }, tasks => this.#cancelPart(tasks))
  }

  async #each ({ filter, task_ids, limit, cursor }: Checked, operate: Operation): Promise<BulkResult> {
    const begin = performance.now()
    const skipped: Array<{ task_id: string, code: string }> = []
    let matched = 0
    let done = 0
    let examined = 0
    do {
      const part = await this.#find(filter, task_ids, Math.min(PART_SIZE, limit - examined), cursor)
      const codes = await operate(part.tasks)
      matched += part.tasks.length
      examined += part.examined
      cursor = part.cursor
      for (const [i, code] of codes.entries()) {
        if (code === null) done++
        else if (skipped.length < MAX_SKIPPED) skipped.push({ task_id: part.tasks[i]!.task_id, code })
      }
      await setImmediate()
    } while (cursor !== null && examined < limit && performance.now() - begin < MAX_DURATION_MS)
    return { matched, done, cursor, skipped }
  }

  /** The next matching tasks. `examined`: how many they count against the limit. */
  async #find (filter: TaskFilter, task_ids: readonly string[] | null, max: number, cursor: string | null): Promise<{ tasks: readonly ChartTask[], examined: number, cursor: string | null }> {
    const { store, reads } = this.#options
    if (task_ids === null) {
      const page = await store.list({ filter, limit: max, cursor: cursor && cursor.slice(LIST_PREFIX.length) })
      return { tasks: page.tasks, examined: page.tasks.length, cursor: page.cursor && `${LIST_PREFIX}${page.cursor}` }
    }
    const from = cursor === null ? 0 : Number(cursor.split('.')[1])
    const named = task_ids.slice(from, from + max)
    const tasks = (await collect(reads.slices(named))).filter(task => matchesFilter(task, tenantOf(task), filter))
    return { tasks, examined: named.length, cursor: from + max < task_ids.length ? `named.${from + max}` : null }
  }

  /** Retries a task after those that it depends on: otherwise it would be refused. */
  async #retryPart (tasks: readonly ChartTask[]): Promise<Array<string | null>> {
    const codes = new Map<string, string | null>()
    for (const round of inRounds(tasks)) {
      const found = await Promise.all(round.map(task_id => this.#retryOne(task_id).catch(codeOf)))
      round.forEach((task_id, i) => codes.set(task_id, found[i]!))
    }
    return tasks.map(({ task_id }) => codes.get(task_id)!)
  }

  async #retryOne (task_id: string): Promise<string | null> {
    const result = await this.#options.retries.retryFailed(task_id)
    if (!result) return 'CHARTS_ERR_TASK_NOT_FOUND'
    return result.outcome === 'queued' ? null : 'CHARTS_ERR_TASK_RETRIED'
  }

  async #cancelPart (tasks: readonly ChartTask[]): Promise<Array<string | null>> {
    if (tasks.length === 0) return []
    const ended = await this.#options.cancellation.tasks(tasks)
    const ids = new Set(ended.map(({ task_id }) => task_id))
    return tasks.map(({ task_id }) => ids.has(task_id) ? null : 'CHARTS_ERR_TASK_FINISHED')
  }
}

/** The tasks in rounds: each depends only on tasks of earlier rounds. */
function inRounds (tasks: readonly ChartTask[]): string[][] {
  const byId = new Map(tasks.map(task => [task.task_id, task]))
  const roundOf = new Map<string, number>()
  const rounds: string[][] = []
  // Dependencies come first, so their rounds are known.
  for (const task_id of dependentsFirst(tasks).reverse()) {
    const earlier = byId.get(task_id)!.depends_on.map(dependency => roundOf.get(dependency)).filter(round => round !== undefined)
    const round = Math.max(-1, ...earlier) + 1
    roundOf.set(task_id, round)
    ;(rounds[round] ??= []).push(task_id)
  }
  return rounds
}

/** The code of an error that concerns only one task. @throws any other error, which ends the call */
function codeOf (error: unknown): string {
  const { code, statusCode } = error as { code?: unknown, statusCode?: unknown }
  const isRefusal = typeof statusCode === 'number' && statusCode < 500
  if (typeof code === 'string' && (isRefusal || error instanceof errors.CHARTS_ERR_QUEUE_FULL)) return code
  throw error
}

/** @throws CHARTS_ERR_INVALID_REQUEST */
function check (given: BulkFilter, { limit = BULK_LIMIT.usual, cursor = null }: BulkOptions): Checked {
  if (typeof given !== 'object' || given === null) throw new errors.CHARTS_ERR_INVALID_REQUEST('filter must be an object')
  const { task_ids, ...fields } = given
  const filter = checkFilter(fields, 'filter.')
  if (task_ids === undefined && Object.values(filter).every(value => value === undefined)) {
    throw new errors.CHARTS_ERR_INVALID_REQUEST('filter must name something: it would fit every task')
  }
  if (!Number.isInteger(limit) || limit < 1 || limit > BULK_LIMIT.max) throw new errors.CHARTS_ERR_INVALID_REQUEST(`limit must be a whole number from 1 to ${BULK_LIMIT.max}`)
  if (cursor !== null && !(typeof cursor === 'string' && new RegExp(BULK_CURSOR).test(cursor))) throw new errors.CHARTS_ERR_INVALID_REQUEST('cursor must be one that such a call has given')
  if (cursor !== null && cursor.startsWith('named') !== (task_ids !== undefined)) throw new errors.CHARTS_ERR_INVALID_REQUEST('cursor must be one that a call with this filter has given')
  return { filter, task_ids: task_ids === undefined ? null : checkIds(task_ids), limit, cursor }
}

function checkIds (task_ids: readonly string[]): string[] {
  const isList = Array.isArray(task_ids) && task_ids.length >= 1 && task_ids.length <= MAX_NAMED_TASKS && task_ids.every(id => typeof id === 'string' && UUID.test(id))
  if (!isList) throw new errors.CHARTS_ERR_INVALID_REQUEST(`filter.task_ids must be 1 to ${MAX_NAMED_TASKS} UUIDs`)
  return [...new Set(task_ids.map(id => id.toLowerCase()))]
}
