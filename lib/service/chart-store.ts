import type { Chart, Identity, JsonValue } from '../task.ts'

/**
 * Where a host keeps finished charts: its own database. Without one, charts live beside the tasks, as long as they do.
 * `Content` is what the host's generator returns.
 */
export interface ChartStore<Content = JsonValue> {
  /** Keeps a chart; called again with the same chart when it failed. A chart counts only once its task names it. */
  save (chart: Chart<Content>): Promise<unknown>
  /** The chart, or null when it is gone. */
  get (chart_id: string): Promise<Chart<Content> | null | undefined>
  /** The charts of a message that the caller may see, newest first. */
  findByMessage (message_id: string, identity: Identity): Promise<Array<Chart<Content>>>
  /** Forgets a chart that its task does not name. Harmless for an unknown one. */
  delete? (chart_id: string): Promise<unknown>
}
