import type { ProgressUpdate } from '../generator.ts'
import type { ProgressReport } from '../store/task-store.ts'

const MAX_STEP_LENGTH = 64
/** Steps that a task can show: the store keeps no more of them. */
const MOST_STEPS = 64

/** A whole number from 0 to `most`; null for what is not a number. */
function clamp (value: unknown, most: number): number | null {
  return typeof value === 'number' && !Number.isNaN(value) ? Math.min(Math.max(Math.floor(value), 0), most) : null
}

/** What a generator reported, clamped. The overall figure stops at 99: 100 is shown only when the chart is stored. */
export function toReport (task_id: string, lease: number, update: ProgressUpdate | null | undefined): ProgressReport {
  const { step, step_progress, progress } = update ?? {}
  const name = typeof step === 'string' && step !== '' ? step.slice(0, MAX_STEP_LENGTH) : null
  const percent = clamp(step_progress, 100)
  return {
    task_id,
    lease,
    progress: clamp(progress, 99),
    step: name,
    step_progress: name !== null && percent !== null ? { [name]: percent } : {}
  }
}

/** New steps are left out once there are too many: a loop that invents them must not cost more with each one. */
function mergeSteps (earlier: ProgressReport['step_progress'], later: ProgressReport['step_progress']): ProgressReport['step_progress'] {
  const steps = { ...earlier, ...later }
  return Object.keys(steps).length > MOST_STEPS ? earlier : steps
}

/** Two reports of one try as one: the later wins, the overall figure never falls. */
export function merge (earlier: ProgressReport, later: ProgressReport): ProgressReport {
  return {
    ...later,
    progress: earlier.progress === null ? later.progress : Math.max(earlier.progress, later.progress ?? 0),
    step: later.step ?? earlier.step,
    step_progress: mergeSteps(earlier.step_progress, later.step_progress)
  }
}
