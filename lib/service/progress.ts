import type { ProgressUpdate } from '../generator.ts'
import type { ProgressReport } from '../store/task-store.ts'

/** The reports of an attempt that were not sent yet, merged into one. */
export interface Report extends ProgressReport {
  progress: number | null
  step: string | null
  readonly step_progress: Record<string, number>
}

const MAX_STEP_LENGTH = 64
/** Maximum number of steps that a task shows. */
const MAX_STEPS = 64

/** A whole number from 0 to `max`; null: it is not a number. */
function clamp (value: unknown, max: number): number | null {
  return typeof value === 'number' && !Number.isNaN(value) ? Math.min(Math.max(Math.floor(value), 0), max) : null
}

/** A generator's update with its values clamped. The overall progress stops at 99: a task shows 100 only once its chart is stored. */
export function toReport (task_id: string, lease: number, update: ProgressUpdate | null | undefined): Report {
  const { step, step_progress, progress } = update ?? {}
  // The cut may split a surrogate pair, which stores would keep in different ways.
  const name = typeof step === 'string' && step !== '' ? step.slice(0, MAX_STEP_LENGTH).toWellFormed() : null
  const percent = clamp(step_progress, 100)
  // Without a prototype: a step may have the name of an inherited property.
  const steps: Record<string, number> = Object.create(null)
  if (name !== null && percent !== null) steps[name] = percent
  return { task_id, lease, progress: clamp(progress, 99), step: name, step_progress: steps }
}

/**
 * Merges a later report of the same attempt into an earlier one. Values of the later one win; the overall progress never decreases. New
 * steps are dropped once there are too many. Changes `report` in place, because a generator may report in a tight loop.
 */
export function merge (report: Report, later: ProgressReport): void {
  if (later.progress !== null) report.progress = Math.max(report.progress ?? 0, later.progress)
  report.step = later.step ?? report.step
  for (const [name, percent] of Object.entries(later.step_progress)) {
    if (Object.hasOwn(report.step_progress, name) || Object.keys(report.step_progress).length < MAX_STEPS) report.step_progress[name] = percent
  }
}
