import { openQueue, type QueueOptions } from '../chart-queue-service.ts'
import type { ParamsSchema } from '../define-charts.ts'
import { errors } from '../errors.ts'
import type { ChartContent, GenerateChart } from '../generator.ts'
import { resolveOptions } from '../options/resolve.ts'
import { WorkerOptionsSchema } from '../options/schemas.ts'
import type { WorkerOptions } from '../options/types.ts'
import type { JsonValue } from '../task.ts'
import { consoleLogger } from './console-logger.ts'
import { Consumer } from './consumer.ts'
import { openGenerator } from './open-generator.ts'

/** `Params` and `Content` are inferred from `paramsSchema` and `generate`. */
export interface RunWorkerOptions<Params = any, Content extends ChartContent = any> extends QueueOptions<NoInfer<Content>>, WorkerOptions {
  /**
   * Required. `(request, context) => Promise<content>`: makes a chart. Or the `URL` of a module whose default export is such a function: it runs in
   * a thread of its own.
   */
  generate: GenerateChart<Params, Content> | URL
  /**
   * JSON Schema of `params`. It gives `request.params` its type, and lets you spread one definition into the options of the plugin and of the worker.
   * Params are validated where tasks are created, not by the worker.
   */
  paramsSchema?: ParamsSchema<Params> | undefined
  /**
   * SIGTERM and SIGINT stop the worker gracefully; a second one ends the process.
   * @default true
   */
  handleSignals?: boolean | undefined
}

export interface ChartWorker {
  /** Drains; resolves when nothing runs here any more. */
  stop (): Promise<void>
  /** Resolves when the worker has stopped, for whatever reason. */
  readonly done: Promise<void>
}

/** ms that the start waits for the store. Without it the worker starts all the same, and claims tasks once the store is there. */
const READY_TIMEOUT_MS = 1_000
const SIGNALS = ['SIGTERM', 'SIGINT'] as const

/** The first signal drains and removes the handlers, so that a second one ends the process. */
function drainOnSignals (stop: () => Promise<void>): () => void {
  const off = () => SIGNALS.forEach(signal => process.off(signal, drain))
  const drain = () => {
    off()
    // A failure is the host's to handle: it rejects `done`.
    stop().catch(() => {})
  }
  SIGNALS.forEach(signal => process.on(signal, drain))
  return off
}

/**
 * Works the queue in this process. Any number of workers, in any processes and on any machines, share one queue.
 * @throws CHARTS_ERR_INVALID_OPTIONS, also if the module of the URL has no generator
 */
export async function runWorker<Params = JsonValue, Content extends ChartContent = ChartContent> (options: RunWorkerOptions<Params, Content>): Promise<ChartWorker> {
  for (const moved of ['retry', 'retention']) {
    if (options && moved in options) {
      throw new errors.CHARTS_ERR_INVALID_OPTIONS(
        `options.${moved} is not an option of a worker: it belongs to whoever creates the tasks, and is stored with each of them`)
    }
  }
  const resolved = resolveOptions(WorkerOptionsSchema, options)
  if (!options.generate) throw new errors.CHARTS_ERR_INVALID_OPTIONS('options.generate must be a function or the URL of a module, got undefined')
  const logger = options.logger ?? consoleLogger()
  const { redis, store, generate, chartStore, onFinished, telemetry } = options
  const { keyPrefix, limits, concurrency, leaseDuration, attemptTimeout, shutdownTimeout, threadMemory, threadEntry, handleSignals } = resolved
  // Before anything is opened: this throws if the URL has no generator.
  const generator = await openGenerator(generate, { concurrency, threadMemory, threadEntry, chartBytes: limits.chartBytes, logger })
  const queue = openQueue({ redis, store, keyPrefix, limits, chartStore, onFinished, telemetry, leaseDuration, logger })
  await queue.store.ready(READY_TIMEOUT_MS).catch(error => logger.warn({ err: error }, 'the store does not answer yet'))
  const consumer = new Consumer({ queue, generate: generator.generate, concurrency, leaseDuration, attemptTimeout, shutdownTimeout, logger })
  const stop = () => consumer.stop().then(() => done)
  const off = handleSignals ? drainOnSignals(stop) : () => {}
  const untilClosed = async () => {
    try {
      await consumer.done
    } finally {
      off()
      await Promise.all([generator.close(), queue.close()])
    }
  }
  const done = untilClosed()
  return { stop, done }
}
