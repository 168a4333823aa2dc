import type { Logger } from '../generator.ts'
import type { Retention, RetryPolicy, TaskStore } from '../store/task-store.ts'
import type { ChartTask, Identity } from '../task.ts'
import type { Telemetry } from '../telemetry/channels.ts'
import { QueueTelemetry } from '../telemetry/queue-telemetry.ts'
import { Admission } from './admission.ts'
import { BulkOperations } from './bulk.ts'
import { Cancellation } from './cancellation.ts'
import { Charts } from './charts.ts'
import type { ChartStore } from './chart-store.ts'
import { DeferredWork } from './deferred-work.ts'
import { Endings } from './endings.ts'
import { Estimates } from './estimates.ts'
import { FinishedHook } from './finished-hook.ts'
import { History } from './history.ts'
import { CHART_STORE_TIMEOUTS, HostCharts, type ChartStoreTimeouts } from './host-charts.ts'
import { LargeReads } from './large-reads.ts'
import { Leases } from './leases.ts'
import { ManualWorker } from './manual-worker.ts'
import { Monitoring } from './monitoring.ts'
import { OpenAnswers } from './open-answers.ts'
import { QueueTimeoutSweep } from './queue-timeout-sweep.ts'
import { Retries } from './retries.ts'
import { Settlements } from './settlements.ts'
import { TaskFeed } from './task-feed.ts'
import { Watches } from './watches.ts'
import { WorkerRegistry } from './worker-registry.ts'

/** All durations are in ms, but those of `retention`. */
export interface CreateQueueOptions {
  readonly store: TaskStore
  /** The name of the queue in telemetry. */
  readonly keyPrefix: string
  readonly telemetry?: Telemetry | undefined
  readonly retention: Retention
  readonly retry: RetryPolicy
  /** 0 = off. */
  readonly limits: {
    readonly waitingPerTenant: number
    readonly runningPerTenant: number
    readonly scheduledPerTenant: number
    readonly queueLength: number
    readonly queueTimeout: number
    readonly requestBytes: number
    readonly chartBytes: number
    readonly checkpointBytes: number
  }
  readonly leaseDuration: number
  readonly pollInterval: number
  /** Default: charts are kept beside the tasks. */
  readonly chartStore?: ChartStore | undefined
  /** Default: 10 seconds for a call, a minute to save a chart. */
  readonly chartStoreTimeouts?: ChartStoreTimeouts | undefined
  readonly paramsSchema?: object | undefined
  readonly tenantWeight?: ((identity: Identity) => number) | undefined
  readonly onFinished?: ((task: ChartTask) => unknown) | undefined
  readonly logger: Logger
}

/** The parts of a queue in one process. They know no HTTP and check no permissions. */
export interface Queue {
  readonly store: TaskStore
  readonly telemetry: QueueTelemetry
  readonly admission: Admission
  readonly cancellation: Cancellation
  readonly retries: Retries
  readonly bulk: BulkOperations
  readonly charts: Charts
  readonly answers: OpenAnswers
  readonly estimates: Estimates
  readonly feed: TaskFeed
  readonly watches: Watches
  readonly leases: Leases
  readonly settlements: Settlements
  readonly manualWorker: ManualWorker
  readonly workers: WorkerRegistry
  readonly history: History
  readonly monitoring: Monitoring
  /** Shortens reads of the host's `chartStore`, so that requests under way do not delay the closing of a web server. */
  beginClose (): void
  /** Ends all watches, waits a second at most for `onFinished`, and writes the last counts. The store stays open. */
  close (): Promise<void>
}

/** Connects the parts of a queue. */
export function createQueue (options: CreateQueueOptions): Queue {
  const { store, chartStore, limits, leaseDuration, pollInterval, paramsSchema, tenantWeight, retention, retry, logger } = options
  const { chartStoreTimeouts: timeouts = CHART_STORE_TIMEOUTS } = options
  const telemetry = new QueueTelemetry(options)
  const hostCharts = chartStore ? new HostCharts(chartStore, store, logger, timeouts.call) : null
  const finishedHook = new FinishedHook(options.onFinished, logger)
  const history = new History(store, logger)
  const settlements = new Settlements({ store, hostCharts, saveTimeout: timeouts.save, limits, logger })
  const endings = new Endings({ hostCharts, history, telemetry, finishedHook, settlements, logger })

  const reads = new LargeReads(store)
  const charts = new Charts(store, hostCharts, reads)
  const estimates = new Estimates(store, logger, telemetry)
  const feed = new TaskFeed({ store, pollInterval, logger })
  feed.onFeed(up => telemetry.feed(up))

  const leases = new Leases({ store, limits, endings, telemetry, logger, started: claimed => history.started(claimed) })
  const deferredWork = new DeferredWork(leases, { leaseDuration, logger })
  const sweep = limits.queueTimeout > 0 ? new QueueTimeoutSweep(leases, { queueTimeout: limits.queueTimeout, leaseDuration, logger }) : null

  const admission = new Admission({
    store, hostCharts, paramsSchema, retention, retry, limits, tenantWeight, endings, deferredWork, created: task => history.created(task)
  })
  const cancellation = new Cancellation({ store, reads, endings, deferredWork, telemetry })
  const retries = new Retries({ store, admission, estimates, telemetry })

  return {
    store,
    telemetry,
    admission,
    cancellation,
    retries,
    bulk: new BulkOperations({ store, reads, retries, cancellation }),
    charts,
    answers: new OpenAnswers({ store, reads, charts, estimates, cancellation }),
    estimates,
    feed,
    watches: new Watches({ store, feed, reads, estimates }),
    leases,
    settlements,
    manualWorker: new ManualWorker({ store, leases, settlements, deferredWork, hasChartStore: hostCharts !== null, leaseDuration }),
    workers: new WorkerRegistry(store, logger),
    history,
    monitoring: new Monitoring({ store, reads, history }),
    beginClose: () => hostCharts?.close(),
    async close () {
      hostCharts?.close()
      feed.close()
      telemetry.close()
      await Promise.all([sweep?.stop(), deferredWork.stop()])
      await Promise.all([finishedHook.drain(), history.close()])
    }
  }
}
