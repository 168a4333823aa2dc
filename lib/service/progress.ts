import type { ProgressUpdate } from '../generator.ts'
import type { ProgressReport } from '../store/task-store.ts'

/** What an attempt has reported and not sent yet. */
export interface Report extends ProgressReport {
  progress: number | null
  step: string | null
  readonly step_progress: Record<string, number>
}

const MAX_STEP_LENGTH = 64
/** Steps that a task can show: the store keeps no more of them. */
const MOST_STEPS = 64

/** A whole number from 0 to `most`; null for what is not a number. */
function clamp (value: unknown, most: number): number | null {
  return typeof value === 'number' && !Number.isNaN(value) ? Math.min(Math.max(Math.floor(value), 0), most) : null
}

/** What a generator reported, clamped. The overall figure stops at 99: 100 is shown only when the chart is stored. */
export function toReport (task_id: string, lease: number, update: ProgressUpdate | null | undefined): Report {
  const { step, step_progress, progress } = update ?? {}
  // A cut must not leave half a character behind: stores would keep it each in its own way.
  const name = typeof step === 'string' && step !== '' ? step.slice(0, MAX_STEP_LENGTH).toWellFormed() : null
  const percent = clamp(step_progress, 100)
  // Without a prototype, lest a step's name be taken for something that every object has.
  const steps: Record<string, number> = Object.create(null)
  if (name !== null && percent !== null) steps[name] = percent
  return { task_id, lease, progress: clamp(progress, 99), step: name, step_progress: steps }
}

/**
 * Adds a later report of the same try to an earlier one: the later wins, the overall figure never falls. New steps are left out
 * once there are too many. In place, because a generator may report in a tight loop.
 */
export function merge (report: Report, later: ProgressReport): void {
  if (later.progress !== null) report.progress = Math.max(report.progress ?? 0, later.progress)
  report.step = later.step ?? report.step
  for (const [name, percent] of Object.entries(later.step_progress)) {
    if (Object.hasOwn(report.step_progress, name) || Object.keys(report.step_progress).length < MOST_STEPS) report.step_progress[name] = percent
  }
}
