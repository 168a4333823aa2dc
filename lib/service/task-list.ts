import { errors } from '../errors.ts'
import type { TaskFilter } from '../store/task-store.ts'
import { ChartStatus } from '../task.ts'
import { hostIdOf, timeOf } from './arguments.ts'
import { tenantOf } from './intake.ts'

/** Which tasks are meant: those that fit all that is named. */
export interface ListFilter {
  readonly status?: ChartStatus | undefined
  readonly user_id?: string | undefined
  /** The tasks of an org; those of users without one are found by `user_id`. */
  readonly org_id?: string | undefined
  /** Of FAILED tasks. */
  readonly error_code?: string | undefined
  /** A date: created then or later. */
  readonly created_after?: string | undefined
  /** A date: created earlier. */
  readonly created_before?: string | undefined
}

/** Which tasks to list, and how many. */
export interface ListTasksOptions extends ListFilter {
  /** 1 to 1,000, default 50. */
  readonly limit?: number | undefined
  /** Where an earlier page ended. */
  readonly cursor?: string | null | undefined
}

/** Tasks that a page may have. */
const MOST_ON_PAGE = 1_000

/** How a cursor looks: the index in which the page ended, and where. */
export const CURSOR = '^(active|finished)\\.\\d{1,16}\\.[0-9a-f-]{36}$'

/** How the error code of a task looks. */
export const ERROR_CODE = '^[A-Z][A-Z0-9_]{0,63}$'

const FIELDS = ['status', 'user_id', 'org_id', 'error_code', 'created_after', 'created_before']

/** Checks which tasks are meant; `where`: what comes before the names of its fields. @throws CHARTS_ERR_INVALID_REQUEST */
export function checkFilter (filter: ListFilter, where = ''): TaskFilter {
  const { status, user_id, org_id, error_code, created_after, created_before } = filter
  const unknown = Object.keys(filter).find(name => !FIELDS.includes(name))
  if (unknown !== undefined) throw new errors.CHARTS_ERR_INVALID_REQUEST(`${where}${unknown} is not known: the filter has ${FIELDS.join(', ')}`)
  const statuses = Object.values(ChartStatus)
  if (status !== undefined && !statuses.includes(status)) throw new errors.CHARTS_ERR_INVALID_REQUEST(`${where}status must be one of ${statuses.join(', ')}`)
  for (const [name, value] of Object.entries({ user_id, org_id })) {
    if (value !== undefined) hostIdOf(value, `${where}${name}`)
  }
  if (error_code !== undefined && !(typeof error_code === 'string' && new RegExp(ERROR_CODE).test(error_code))) {
    throw new errors.CHARTS_ERR_INVALID_REQUEST(`${where}error_code must be one that a task can have, such as CHARTS_ERR_GENERATION_FAILED`)
  }
  return {
    status,
    user_id,
    tenant: org_id === undefined ? undefined : tenantOf({ org_id, user_id: '' }),
    error_code,
    created_after: created_after === undefined ? undefined : timeOf(created_after, `${where}created_after`),
    created_before: created_before === undefined ? undefined : timeOf(created_before, `${where}created_before`)
  }
}

/** Checks what is asked for. @throws CHARTS_ERR_INVALID_REQUEST */
export function checkList (options: ListTasksOptions): { filter: TaskFilter, limit: number, cursor: string | null } {
  const { limit = 50, cursor = null, ...filter } = options
  if (cursor !== null && !new RegExp(CURSOR).test(cursor)) throw new errors.CHARTS_ERR_INVALID_REQUEST('cursor must be one that a list has given')
  if (!Number.isInteger(limit) || limit < 1 || limit > MOST_ON_PAGE) throw new errors.CHARTS_ERR_INVALID_REQUEST(`limit must be a whole number from 1 to ${MOST_ON_PAGE}`)
  return { filter: checkFilter(filter), limit, cursor }
}
