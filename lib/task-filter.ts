import type { TaskFilter } from './store/port/queue-admin.ts'
import { isFinished, type ChartTask } from './task.ts'

/** Whether a task matches every field of a filter. `tenant`: that of the task. On Redis, `list.lua` decides the same. */
export function matchesFilter (task: ChartTask, tenant: string, filter: TaskFilter): boolean {
  const { status = task.status, user_id = task.user_id, error_code = task.error_code, created_after = -Infinity, created_before = Infinity } = filter
  const created = Date.parse(task.created_at)
  return task.status === status && task.user_id === user_id && tenant === (filter.tenant ?? tenant) && task.error_code === error_code &&
    created >= created_after && created < created_before && !(filter.unfinished && isFinished(task))
}
