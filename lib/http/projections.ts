import type { ChartTask, PublicChartTask, StoredTask } from '../task.ts'

/** The public projection of a task: everything but its owner and what estimates are computed from. Optional fields are left out if null. */
export function publicTask (task: ChartTask): PublicChartTask {
  // The service passes on the task as the store keeps it.
  const { user_id, org_id, depends_on, step_at, step_from, progress_at, queue_position, retry_of, ...shown } = task as StoredTask
  return { ...shown, ...(queue_position === null ? {} : { queue_position }), ...(retry_of === null ? {} : { retry_of }) }
}

/** The projection for operators: the public one and the owner. */
export function operatorTask (task: ChartTask): PublicChartTask & Pick<ChartTask, 'user_id' | 'org_id'> {
  const { user_id, org_id } = task
  return { ...publicTask(task), user_id, org_id }
}
