import { errors } from '../errors.ts'
import type { ListQuery } from '../store/task-store.ts'
import type { TaskFilter } from '../task-filter.ts'
import { ChartStatus } from '../task.ts'
import { hostIdOf, timeOf } from './arguments.ts'
import { tenantOf } from './identity.ts'

/** Which tasks: those that match every field that is given. */
export interface ListFilter {
  readonly status?: ChartStatus | undefined
  readonly user_id?: string | undefined
  /** Tasks of an org. Tasks of users without one are found by `user_id`. */
  readonly org_id?: string | undefined
  /** The code of FAILED tasks. */
  readonly error_code?: string | undefined
  /** ISO 8601: created then or later. */
  readonly created_after?: string | undefined
  /** ISO 8601: created earlier. */
  readonly created_before?: string | undefined
}

/** Which page of which tasks to list. */
export interface ListTasksOptions extends ListFilter {
  /** 1 to 1,000, default 50. */
  readonly limit?: number | undefined
  /** The `cursor` of the page before; null: the first page. */
  readonly cursor?: string | null | undefined
}

/** Maximum number of tasks on a page. */
const MAX_ON_PAGE = 1_000

/** Maximum number of characters of a cursor, as the port has it. */
export const MAX_CURSOR_LENGTH = 512

/** The pattern of a task's error code. */
export const ERROR_CODE = '^[A-Z][A-Z0-9_]{0,63}$'

const FIELDS = ['status', 'user_id', 'org_id', 'error_code', 'created_after', 'created_before']

/** The filter as a store takes it. `where`: a prefix for the names of its fields in error messages. @throws CHARTS_ERR_INVALID_REQUEST */
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

/** The options as a store takes them. @throws CHARTS_ERR_INVALID_REQUEST */
export function checkList (options: ListTasksOptions): ListQuery {
  const { limit = 50, cursor = null, ...filter } = options
  // Only the store can tell whether it has made the cursor.
  if (cursor !== null && !(typeof cursor === 'string' && cursor.length >= 1 && cursor.length <= MAX_CURSOR_LENGTH)) {
    throw new errors.CHARTS_ERR_INVALID_REQUEST('cursor must be one that a list has given')
  }
  if (!Number.isInteger(limit) || limit < 1 || limit > MAX_ON_PAGE) throw new errors.CHARTS_ERR_INVALID_REQUEST(`limit must be a whole number from 1 to ${MAX_ON_PAGE}`)
  return { filter: checkFilter(filter), limit, cursor }
}
