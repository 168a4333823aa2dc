import type { Dataset, Row } from '../datasets/dataset.ts'
import type { Years } from './years.ts'

export type Mark = 'bar' | 'line' | 'area' | 'point'

/** Lines and areas connect places; bars and points stand on one each. */
export const isConnected = (mark: Mark) => mark === 'line' || mark === 'area'

/** Bars and areas are read by their height above zero. */
export const fillsFromZero = (mark: Mark) => mark === 'bar' || mark === 'area'

/** What is to be drawn: all that a planner decides. Fields are named as in the dataset. */
export interface ChartPlan {
  readonly title: string
  readonly mark: Mark
  readonly x: string
  readonly y: string
  readonly color: string | null
  readonly years: Years
  /** Largest first; otherwise in the order of the axis. */
  readonly sorted: boolean
  /** How many of the largest are shown, as `largest` in rank.ts counts them; null for all. */
  readonly top: number | null
  readonly logScale: boolean
}

export interface PlanningTask {
  readonly question: string
  readonly dataset: Dataset
  readonly rows: readonly Row[]
  readonly adjustment: string | null
}

/**
 * Turns a question into a plan. This is where a host asks its LLM: the dataset says what the model may choose from, and
 * whatever it answers is checked again before anything is drawn.
 */
export interface ChartPlanner {
  plan (task: PlanningTask, signal: AbortSignal): Promise<ChartPlan>
}
