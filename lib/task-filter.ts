import { isFinished, type ChartStatus, type ChartTask } from './task.ts'

/** Which tasks to list: those that match every field that is given. */
export interface TaskFilter {
  readonly status?: ChartStatus | undefined
  readonly user_id?: string | undefined
  readonly tenant?: string | undefined
  /** Of FAILED tasks. */
  readonly error_code?: string | undefined
  /** ms since the epoch: created then or later. */
  readonly created_after?: number | undefined
  /** ms since the epoch: created earlier. */
  readonly created_before?: number | undefined
  /** True: only tasks that have not ended. */
  readonly unfinished?: boolean | undefined
}

/** Whether a task matches every field of a filter. `tenant`: that of the task. On Redis, `list.lua` decides the same. */
export function matchesFilter (task: ChartTask, tenant: string, filter: TaskFilter): boolean {
  const { status = task.status, user_id = task.user_id, error_code = task.error_code, created_after = -Infinity, created_before = Infinity } = filter
  const created = Date.parse(task.created_at)
  return task.status === status && task.user_id === user_id && tenant === (filter.tenant ?? tenant) && task.error_code === error_code &&
    created >= created_after && created < created_before && !(filter.unfinished && isFinished(task))
}
