import { errors } from '../errors.ts'
import type { TaskFilter } from '../store/task-store.ts'
import { ChartStatus } from '../task.ts'
import { hostIdOf } from './arguments.ts'
import { tenantOf } from './intake.ts'

/** Which tasks to list, and how many. */
export interface ListTasksOptions {
  readonly status?: ChartStatus | undefined
  readonly user_id?: string | undefined
  /** The tasks of an org; those of users without one are found by `user_id`. */
  readonly org_id?: string | undefined
  /** 1 to 1,000, default 50. */
  readonly limit?: number | undefined
  /** Where an earlier page ended. */
  readonly cursor?: string | null | undefined
}

/** Tasks that a page may have. */
const MOST_ON_PAGE = 1_000

/** How a cursor looks: the index in which the page ended, and where. */
export const CURSOR = '^(active|finished)\\.\\d{1,16}\\.[0-9a-f-]{36}$'

/** Checks what is asked for. @throws CHARTS_ERR_INVALID_REQUEST */
export function checkList (options: ListTasksOptions): { filter: TaskFilter, limit: number, cursor: string | null } {
  const { status, user_id, org_id, limit = 50, cursor = null } = options
  if (cursor !== null && !new RegExp(CURSOR).test(cursor)) throw new errors.CHARTS_ERR_INVALID_REQUEST('cursor must be one that a list has given')
  if (!Number.isInteger(limit) || limit < 1 || limit > MOST_ON_PAGE) throw new errors.CHARTS_ERR_INVALID_REQUEST(`limit must be a whole number from 1 to ${MOST_ON_PAGE}`)
  const statuses = Object.values(ChartStatus)
  if (status !== undefined && !statuses.includes(status)) throw new errors.CHARTS_ERR_INVALID_REQUEST(`status must be one of ${statuses.join(', ')}`)
  for (const [name, value] of Object.entries({ user_id, org_id })) {
    if (value !== undefined) hostIdOf(value, name)
  }
  const tenant = org_id === undefined ? undefined : tenantOf({ org_id, user_id: '' })
  return { filter: { status, user_id, tenant }, limit, cursor }
}
