import type { Dataset, Row } from '../datasets/dataset.ts'
import type { Years } from './years.ts'

export type Mark = 'bar' | 'line' | 'area' | 'point'

/** What is to be drawn: all that a planner decides. Fields are named as in the dataset. */
export interface ChartPlan {
  readonly title: string
  readonly mark: Mark
  readonly x: string
  readonly y: string
  readonly color: string | null
  readonly years: Years
  /** Largest first, where x has no order of its own. */
  readonly sorted: boolean
  /** How many of the largest are shown; null for all. */
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
