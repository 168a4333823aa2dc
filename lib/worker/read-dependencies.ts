import { setTimeout as delay } from 'node:timers/promises'
import type { Logger } from '../generator.ts'
import type { Leases } from '../service/leases.ts'
import { AttemptError } from '../service/outcome.ts'
import type { Chart, ChartTask } from '../task.ts'

/** ms between two tries to read: doubled each time, up to the second. */
const RETRY = { first: 100, longest: 5_000 }

export interface ReadDependenciesOptions {
  readonly task: ChartTask
  readonly leases: Leases
  readonly signal: AbortSignal
  readonly log: Logger
}

/**
 * The charts that a task was told to wait for. A store that does not answer is asked again and again: a try in which the
 * generator has not been called must not be used up.
 * @throws AttemptError CHARTS_ERR_DEPENDENCY_FAILED where one is no longer kept; the signal's reason as soon as it is aborted
 */
export async function readDependencies ({ task, leases, signal, log }: ReadDependenciesOptions): Promise<readonly Chart[]> {
  for (let wait = RETRY.first; ; wait = Math.min(wait * 2, RETRY.longest)) {
    let charts
    try {
      charts = await unlessAborted(leases.dependencies(task), signal)
    } catch (error) {
      signal.throwIfAborted()
      log.warn({ err: error }, 'the charts that this one needs could not be read, trying again')
      await delay(wait, undefined, { signal })
      continue
    }
    if (!charts) throw new AttemptError('CHARTS_ERR_DEPENDENCY_FAILED', { retryable: false })
    return charts
  }
}

/** A store of the host that never answers must not hold an attempt that is not wanted any more. */
function unlessAborted<T> (promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason)
    signal.addEventListener('abort', abort, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort))
  })
}
