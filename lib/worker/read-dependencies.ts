import type { Logger } from '../generator.ts'
import type { Charts } from '../service/charts.ts'
import { AttemptError } from '../service/outcome.ts'
import { retryUntilAborted } from '../async.ts'
import type { Chart, ChartTask } from '../task.ts'

export interface ReadDependenciesOptions {
  readonly task: ChartTask
  readonly charts: Charts
  readonly signal: AbortSignal
  readonly log: () => Logger
}

/**
 * The charts of a task's dependencies. Repeats the read until it succeeds, because a failure would use up an attempt whose generator was
 * never called.
 * @throws AttemptError CHARTS_ERR_DEPENDENCY_FAILED if a chart is no longer kept; the reason of the signal once that is aborted
 */
export async function readDependencies ({ task, charts, signal, log }: ReadDependenciesOptions): Promise<readonly Chart[]> {
  const found = await retryUntilAborted(() => charts.ofDependencies(task), {
    signal,
    failed: error => log().warn({ err: error }, 'the charts of dependencies could not be read, trying again')
  })
  if (!found) throw new AttemptError('CHARTS_ERR_DEPENDENCY_FAILED', { retryable: false })
  return found
}
