import { setImmediate } from 'node:timers/promises'
import { errors } from '../errors.ts'
import type { QueueAdmin, TaskFilter, TaskQueue } from '../store/task-store.ts'
import { ChartStatus, Uuid, isFinished, type ChartTask } from '../task.ts'
import { dependentsFirst } from './dependents-first.ts'
import { collect } from './open-answers.ts'
import type { LargeReads } from './large-reads.ts'
import { MAX_CURSOR_LENGTH, checkFilter, type ListFilter } from './task-list.ts'

/** Tasks of one part: a store cancels all of them at once, and serves nobody else meanwhile. */
const PART = 25
/** Tasks of one call: the maximum, and the default. */
export const BULK_LIMIT = { max: 1_000, usual: 100 }
/** ms after which a call starts no further part, so that a route answers within two seconds. */
const MAX_DURATION_MS = 800
/** Maximum number of skipped tasks in a result, and of tasks that a filter names. */
const MAX_SKIPPED = 20
export const MAX_NAMED_TASKS = 100

const LIST_PREFIX = 'list.'
/** The format of a cursor: the cursor of a list behind a prefix, or the number of named tasks that are done. */
export const BULK_CURSOR = `^(list\\.[\\s\\S]{1,${MAX_CURSOR_LENGTH}}|named\\.\\d{1,3})$`

/** Which tasks to run again or to cancel. A task must fit every field that is given. */
export interface BulkFilter extends ListFilter {
  /** These alone, at most 100. */
  readonly task_ids?: readonly string[] | undefined
}

export interface BulkOptions {
  /** 1 to 1,000, default 100: how many tasks are dealt with. */
  readonly limit?: number | undefined
  /** Where the call before ended. */
  readonly cursor?: string | null | undefined
}

export interface BulkResult {
  /** Tasks that fit, of those that this call has looked at. */
  readonly matched: number
  /** Those that were run again, or cancelled. */
  readonly done: number
  /** For the next call; null where no more are left. */
  readonly cursor: string | null
  /** Why others were not, 20 at most. */
  readonly skipped: ReadonlyArray<{ readonly task_id: string, readonly code: string }>
}

interface Checked {
  readonly filter: TaskFilter
  readonly task_ids: readonly string[] | null
  readonly limit: number
  readonly cursor: string | null
}

/** Null where it was done, else the code of why it was not. */
type Act = (tasks: readonly ChartTask[]) => Promise<Array<string | null>>

interface BulkOperationsOptions {
  readonly store: QueueAdmin & TaskQueue
  readonly reads: LargeReads
  /** Asks for the chart of a failed task again. @throws what `retryTask` throws */
  readonly retry: (task_id: string) => Promise<void>
  readonly ended: (task: ChartTask) => void
  readonly deferred: () => void
}

const UUID = new RegExp(Uuid.pattern!)

/** Runs again, or cancels, all tasks that fit a filter: a part at a time, so that the store serves others in between, until the time or the limit of the call is reached. */
export class BulkOperations {
  readonly #options: BulkOperationsOptions

  constructor (options: BulkOperationsOptions) {
    this.#options = options
  }

  async retry (filter: BulkFilter, options: BulkOptions): Promise<BulkResult> {
    const status = filter?.status
    if (status !== undefined && status !== ChartStatus.FAILED) throw new errors.CHARTS_ERR_INVALID_REQUEST('filter.status must be FAILED: nothing else is run again')
    const checked = check(filter, options)
    return this.#each({ ...checked, filter: { ...checked.filter, status: ChartStatus.FAILED } }, tasks => this.#retry(tasks))
  }

  async cancel (filter: BulkFilter, options: BulkOptions): Promise<BulkResult> {
    const status = filter?.status
    if (status !== undefined && isFinished({ status })) throw new errors.CHARTS_ERR_INVALID_REQUEST('filter.status must be PENDING or PROCESSING: nothing else is cancelled')
    const checked = check(filter, options)
    return this.#each({ ...checked, filter: { ...checked.filter, unfinished: true } }, tasks => this.#cancel(tasks))
  }

  async #each ({ filter, task_ids, limit, cursor }: Checked, act: Act): Promise<BulkResult> {
    const begin = performance.now()
    const skipped: Array<{ task_id: string, code: string }> = []
    let matched = 0
    let done = 0
    let looked = 0
    do {
      const part = await this.#find(filter, task_ids, Math.min(PART, limit - looked), cursor)
      const codes = await act(part.tasks)
      matched += part.tasks.length
      looked += part.looked
      cursor = part.cursor
      for (const [i, code] of codes.entries()) {
        if (code === null) done++
        else if (skipped.length < MAX_SKIPPED) skipped.push({ task_id: part.tasks[i]!.task_id, code })
      }
      await setImmediate()
    } while (cursor !== null && looked < limit && performance.now() - begin < MAX_DURATION_MS)
    return { matched, done, cursor, skipped }
  }

  /** The next tasks that fit. `looked`: how many of the limit they take. */
  async #find (filter: TaskFilter, task_ids: readonly string[] | null, most: number, cursor: string | null): Promise<{ tasks: readonly ChartTask[], looked: number, cursor: string | null }> {
    const { store, reads } = this.#options
    if (task_ids === null) {
      const page = await store.list({ filter, limit: most, cursor: cursor && cursor.slice(LIST_PREFIX.length) })
      return { tasks: page.tasks, looked: page.tasks.length, cursor: page.cursor && `${LIST_PREFIX}${page.cursor}` }
    }
    const from = cursor === null ? 0 : Number(cursor.split('.')[1])
    const named = task_ids.slice(from, from + most)
    const tasks = (await collect(reads.slices(named))).filter(task => fits(task, filter))
    return { tasks, looked: named.length, cursor: from + most < task_ids.length ? `named.${from + most}` : null }
  }

  /** Runs a task again after those that it depends on: otherwise it would be refused. */
  async #retry (tasks: readonly ChartTask[]): Promise<Array<string | null>> {
    const codes = new Map<string, string | null>()
    for (const round of inRounds(tasks)) {
      const found = await Promise.all(round.map(task_id => this.#options.retry(task_id).then(() => null, codeOf)))
      round.forEach((task_id, i) => codes.set(task_id, found[i]!))
    }
    return tasks.map(({ task_id }) => codes.get(task_id)!)
  }

  async #cancel (tasks: readonly ChartTask[]): Promise<Array<string | null>> {
    if (tasks.length === 0) return []
    const { store, ended, deferred } = this.#options
    const cancelled = await store.cancelAll(dependentsFirst(tasks))
    cancelled.forEach(ended)
    deferred()
    const ids = new Set(cancelled.map(({ task_id }) => task_id))
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
    const needed = byId.get(task_id)!.depends_on.map(need => roundOf.get(need)).filter(round => round !== undefined)
    const round = Math.max(-1, ...needed) + 1
    roundOf.set(task_id, round)
    ;(rounds[round] ??= []).push(task_id)
  }
  return rounds
}

/** The code of a refusal that concerns one task. @throws any other error: it ends the call */
function codeOf (error: unknown): string {
  const { code, statusCode } = error as { code?: unknown, statusCode?: unknown }
  const isRefusal = typeof statusCode === 'number' && statusCode < 500
  if (typeof code === 'string' && (isRefusal || error instanceof errors.CHARTS_ERR_QUEUE_FULL)) return code
  throw error
}

function fits (task: ChartTask, { status, user_id, tenant, error_code, created_after = -Infinity, created_before = Infinity, unfinished = false }: TaskFilter): boolean {
  const created = Date.parse(task.created_at)
  const org = tenant === undefined ? undefined : tenant.slice('org:'.length)
  return (status ?? task.status) === task.status && !(unfinished && isFinished(task)) && (user_id ?? task.user_id) === task.user_id &&
    (org ?? task.org_id) === task.org_id && (error_code ?? task.error_code) === task.error_code && created >= created_after && created < created_before
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
