import { retryUntilAborted } from '../async.ts'
import type { GenerateChart, Logger } from '../generator.ts'
import type { Queue } from '../service/queue.ts'
import type { ClaimedTask, Settlement } from '../store/task-store.ts'
import { Attempt } from './attempt.ts'
import type { ProgressSender } from './progress-sender.ts'
import type { Slots } from './slots.ts'

export interface AttemptRunnerOptions {
  readonly queue: Queue
  readonly slots: Slots
  readonly progress: Pick<ProgressSender, 'soon'>
  readonly generate: GenerateChart
  readonly worker_id: string
  /** ms */
  readonly leaseDuration: number
  /** ms */
  readonly attemptTimeout: number
  readonly logger: Logger
  /** Aborted when the worker drains: it starts nothing from then on. */
  readonly draining: AbortSignal
  /** Called when an attempt has ended. A null settlement: the lease is lost or the task is cancelled, so there is nothing to settle. */
  readonly onEnded: (attempt: Attempt, settlement: Settlement | null) => void
}

/** Runs claimed tasks in the slots of a worker. */
export class AttemptRunner {
  readonly #options: AttemptRunnerOptions

  constructor (options: AttemptRunnerOptions) {
    this.#options = options
  }

  /** Starts the attempt of a claimed task, or releases the task. `sentAt`: when the claim was sent, on this process's monotonic clock. */
  start (claimed: ClaimedTask, sentAt: number): void {
    const { queue, slots, progress, generate, worker_id, leaseDuration, attemptTimeout, logger, draining, onEnded } = this.#options
    const { task: { task_id, current_step }, lease } = claimed
    if (claimed.lostWorkers) this.#logLostWorkers(claimed)
    const attempt = new Attempt({
      claimed, generate, leases: queue.leases, settlements: queue.settlements, charts: queue.charts, telemetry: queue.telemetry, leaseDuration, attemptTimeout, logger, onProgress: () => progress.soon()
    }, sentAt)
    // The two exchanges may each claim tasks before it is known that one of these must run alone.
    const mayRun = slots.add(attempt, claimed.alone)
    // The rest of the lease must outlast the next heartbeat. A released task comes back with a new lease.
    if (!mayRun || draining.aborted || performance.now() - sentAt > leaseDuration / 2) {
      onEnded(attempt, attempt.decline())
      return
    }
    const run = () => queue.telemetry.process(claimed, worker_id, attempt)
    const running = current_step === 'queued' ? this.#untilStartedAlone(attempt).then(run) : run()
    running.then(settlement => onEnded(attempt, settlement), error => {
      logger.error({ err: error, task_id }, 'attempt failed unexpectedly, the task will be retried while attempts are left')
      onEnded(attempt, { task_id, lease, verb: 'fail', code: 'CHARTS_ERR_GENERATION_FAILED', message: null, delay: null })
    })
  }

  /** Waits for the attempts beside it, then reports the step `started`. Resolves early if the attempt is aborted. */
  async #untilStartedAlone (attempt: Attempt): Promise<void> {
    const { queue: { leases }, slots, logger } = this.#options
    const { task_id, lease, signal } = attempt
    await slots.untilAlone(attempt)
    const reportStarted = async () => {
      const [isCurrent] = await leases.progress([{ task_id, lease, progress: null, step: 'started', step_progress: {} }])
      if (!isCurrent) attempt.abort('LEASE_LOST')
    }
    const failed = (error: unknown) => logger.debug({ err: error, task_id }, 'the start of the attempt could not be stored, trying again')
    // Rejects only if the attempt is aborted, and `run` handles that.
    await retryUntilAborted(reportStarted, { signal, failed }).catch(() => {})
  }

  /** If the task ends this process too, the log shows which tasks ran in it. */
  #logLostWorkers ({ task: { task_id, attempt }, lostWorkers, alone }: ClaimedTask): void {
    const { slots, logger } = this.#options
    const beside = [...slots.attempts].map(other => other.task_id)
    const how = alone ? 'it runs alone' : 'it runs beside others'
    logger.warn({ task_id, attempt, ...lostWorkers, beside }, `earlier attempts of the task have lost their worker: ${how}`)
  }
}
