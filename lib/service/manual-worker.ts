import { randomUUID } from 'node:crypto'
import { errors } from '../errors.ts'
import type { ProgressUpdate } from '../generator.ts'
import type { TaskReader } from '../store/task-store.ts'
import { isFinished, type ChartRequest, type ChartTask } from '../task.ts'
import { hostIdOf, idOf, leaseOf } from './arguments.ts'
import { chartIdOf } from './chart-identity.ts'
import type { DeferredWork } from './deferred-work.ts'
import type { Leases } from './leases.ts'
import type { Outcome } from './outcome.ts'
import { toReport } from './progress.ts'
import type { Settlements } from './settlements.ts'

export interface ManualWorkerOptions {
  readonly store: Pick<TaskReader, 'read'>
  readonly leases: Leases
  readonly deferredWork: DeferredWork
  readonly settlements: Settlements
  /** Whether charts are saved in a `chartStore` of the host. */
  readonly hasChartStore: boolean
  /** ms */
  readonly leaseDuration: number
}

/** Works on tasks one call at a time, for programs that bring a loop of their own. */
export class ManualWorker {
  readonly #options: ManualWorkerOptions
  readonly #worker_id = randomUUID()

  constructor (options: ManualWorkerOptions) {
    this.#options = options
  }

  /** As `ChartQueueService.dequeueChartTask`. */
  async claim (worker_id: string = this.#worker_id): Promise<{ task: ChartTask, request: ChartRequest, lease: number } | null> {
    const { leases, leaseDuration } = this.#options
    const { tasks } = await leases.claim({ worker_id: hostIdOf(worker_id, 'worker_id'), claim_id: randomUUID(), count: 1, leaseDuration })
    return tasks[0] ?? null
  }

  async progress (task_id: string, lease: number, update: ProgressUpdate): Promise<boolean> {
    const [current] = await this.#options.leases.progress([toReport(idOf(task_id), leaseOf(lease), update)])
    return current!
  }

  async extend (task_id: string, lease: number): Promise<boolean> {
    const { leases, leaseDuration } = this.#options
    const [answer] = await leases.extend([{ task_id: idOf(task_id), lease: leaseOf(lease) }], leaseDuration)
    return answer === 'ok'
  }

  async release (task_id: string, lease: number): Promise<boolean> {
    const { settled } = await this.#options.leases.settle([{ task_id: idOf(task_id), lease: leaseOf(lease), verb: 'release' }], null)
    return settled[0]!.current
  }

  /** As `ChartQueueService.completeTask`. */
  async complete (given: string, lease: number, outcome: Outcome): Promise<boolean> {
    const { store, leases, settlements, deferredWork, hasChartStore, leaseDuration } = this.#options
    leaseOf(lease)
    if (typeof outcome !== 'object' || outcome === null || !('content' in outcome || 'error' in outcome)) {
      throw new errors.CHARTS_ERR_INVALID_REQUEST('outcome must have content or error')
    }
    const [task] = await store.read([idOf(given)])
    if (!task) return false
    const { task_id } = task
    // Before the host saves the chart: only the current lease may put one there.
    if (hasChartStore && 'content' in outcome && !await this.extend(task_id, lease)) return this.#isCompletedBy(task_id, lease)
    const settlement = await settlements.prepare(task, lease, outcome, { signal: AbortSignal.timeout(leaseDuration) })
    const { settled, claimed } = await leases.settle([settlement], null)
    if (claimed.deferred) deferredWork.start()
    return settled[0]!.current
  }

  /** Whether an earlier call with this lease has completed the task: its reply may have been lost. */
  async #isCompletedBy (task_id: string, lease: number): Promise<boolean> {
    const [task] = await this.#options.store.read([task_id])
    return task != null && isFinished(task) && task.chart_id === chartIdOf(task_id, lease)
  }
}
