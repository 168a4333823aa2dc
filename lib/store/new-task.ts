import { ChartStatus, type StoredTask } from '../task.ts'
import type { TaskDraft } from './task-store.ts'

/** A task as it is when it has just been accepted. */
export function newTask (draft: TaskDraft, created: number, waits: Pick<StoredTask, 'current_step' | 'step_at' | 'queue_position' | 'depends_on'>): StoredTask {
  const { user_id, requested: { message_id, org_id, visibility, adjustment_query } } = draft
  return {
    task_id: draft.task_id,
    message_id,
    chart_id: null,
    status: ChartStatus.PENDING,
    progress: 0,
    step_progress: {},
    ...waits,
    step_from: 0,
    progress_at: null,
    error_message: null,
    error_code: null,
    created_at: new Date(created).toISOString(),
    started_at: null,
    completed_at: null,
    estimated_completion: null,
    visibility,
    adjustment_query,
    attempt: 0,
    max_attempts: draft.retry.attempts,
    retry_of: draft.retry_of,
    version: 1,
    user_id,
    org_id
  }
}
