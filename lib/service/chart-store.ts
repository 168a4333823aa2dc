import type { Chart, Identity } from '../task.ts'

/** Where a host keeps finished charts: its own database. Without one, charts live beside the tasks, as long as they do. */
export interface ChartStore {
  /** Keeps a chart; called again with the same chart when it failed. A chart counts only once its task names it. */
  save (chart: Chart): Promise<unknown>
  /** The chart, or null when it is gone. */
  get (chart_id: string): Promise<Chart | null | undefined>
  /** The charts of a message that the caller may see, newest first. */
  findByMessage (message_id: string, identity: Identity): Promise<Chart[]>
  /** Forgets a chart that its task does not name. Harmless for an unknown one. */
  delete? (chart_id: string): Promise<unknown>
}
