import type { ChartTask } from '../../task.ts'

/** Reads tasks and charts by their ids. */
export interface TaskReader {
  /**
   * Tasks as they are now, in the order of the ids; null: unknown, or its retention has passed. With `bytes`, only the first tasks, as many
   * as fit into it, but at least one unless `task_ids` is empty.
   */
  read (task_ids: readonly string[], bytes?: number): Promise<Array<ChartTask | null>>
  /** The request byte for byte as it was stored; null: unknown. A long request of a task that never runs (again) is shortened. */
  readRequest (task_id: string): Promise<string | null>
  /** The content of a chart as JSON; null: there is none, or no longer. */
  readContent (chart_id: string): Promise<string | null>
  /**
   * The contents of the first charts as JSON, as many as fit into `bytes`; null: there is none, or no longer. If a content does not fit, the
   * last element is a number: its size in bytes.
   */
  readContents (chart_ids: readonly string[], bytes: number): Promise<Array<string | number | null>>
}
