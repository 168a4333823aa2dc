import type { Logger } from '../generator.ts'
import type { Leases } from '../service/leases.ts'
import { AttemptError } from '../service/outcome.ts'
import { retryUntilAborted } from '../async.ts'
import type { Chart, ChartTask } from '../task.ts'

export interface ReadDependenciesOptions {
  readonly task: ChartTask
  readonly leases: Leases
  readonly signal: AbortSignal
  readonly log: () => Logger
}

/**
 * The charts that a task was told to wait for. A store that does not answer is asked again and again: a try in which the
 * generator has not been called must not be used up.
 * @throws AttemptError CHARTS_ERR_DEPENDENCY_FAILED where one is no longer kept; the signal's reason as soon as it is aborted
 */
export async function readDependencies ({ task, leases, signal, log }: ReadDependenciesOptions): Promise<readonly Chart[]> {
  const charts = await retryUntilAborted(() => leases.dependencies(task), {
    signal,
    failed: error => log().warn({ err: error }, 'the charts that this one needs could not be read, trying again')
  })
  if (!charts) throw new AttemptError('CHARTS_ERR_DEPENDENCY_FAILED', { retryable: false })
  return charts
}
