import type { Logger } from '../generator.ts'
import type { Settled, Settlement } from '../store/task-store.ts'
import type { ChartTask } from '../task.ts'
import type { QueueTelemetry } from '../telemetry/queue-telemetry.ts'
import type { FinishedHook } from './finished-hook.ts'
import type { History } from './history.ts'
import type { HostCharts } from './host-charts.ts'
import type { Settlements } from './settlements.ts'
import { TaskLog, type FailedAttempt } from './task-log.ts'

export interface EndingsOptions {
  readonly hostCharts: Pick<HostCharts, 'deleteAll' | 'deleteOthers'> | null
  readonly history: Pick<History, 'ended'>
  readonly telemetry: Pick<QueueTelemetry, 'settled' | 'taskEnded'>
  readonly finishedHook: Pick<FinishedHook, 'notify'>
  readonly settlements: Pick<Settlements, 'failedAttemptOf'>
  readonly logger: Logger
}

/**
 * What follows from every task and every attempt that this process ends: the log line, the history, telemetry, the host's `onFinished`, and
 * the deletion of charts that no task names.
 */
export class Endings {
  readonly #options: EndingsOptions
  readonly #log: TaskLog

  constructor (options: EndingsOptions) {
    this.#options = options
    this.#log = new TaskLog(options.logger)
  }

  /** A task has ended without an attempt that ended it: it was cancelled or superseded, or it failed while no attempt could report. */
  ended (task: ChartTask): void {
    this.#report(task)
    this.#options.hostCharts?.deleteAll(task)
  }

  /** Attempts were settled, and tasks may have ended with them. `settled` has the order of the settlements. */
  settled (settlements: readonly Settlement[], settled: readonly Settled[]): void {
    this.#options.telemetry.settled(settlements, settled)
    for (const [i, settlement] of settlements.entries()) this.#settled(settlement, settled[i]!)
  }

  #settled (settlement: Settlement, settled: Settled): void {
    const failed = this.#options.settlements.failedAttemptOf(settlement)
    if (settled.finished) this.#report(settled.finished, failed)
    else if (failed && settlement.verb === 'fail') this.#log.attemptFailed(settlement, settled, failed)
    this.#options.hostCharts?.deleteOthers(settlement, settled)
  }

  #report (task: ChartTask, failed?: FailedAttempt): void {
    this.#log.ended(task, failed)
    this.#options.history.ended(task)
    this.#options.telemetry.taskEnded(task)
    this.#options.finishedHook.notify(task)
  }
}
