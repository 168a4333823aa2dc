import { ChartQueueService, type QueueOptions } from '../chart-queue-service.ts'
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

/** ms that the start waits for the store: a worker starts without it too, and works when it comes. */
const READY = 1_000
const SIGNALS = ['SIGTERM', 'SIGINT'] as const

/** The first signal drains. The second finds no handler left, and does what a signal does. */
function drainOnSignals (stop: () => Promise<void>): () => void {
  const off = () => SIGNALS.forEach(signal => process.off(signal, drain))
  const drain = () => {
    off()
    stop()
  }
  SIGNALS.forEach(signal => process.on(signal, drain))
  return off
}

/**
 * Works the queue in this process. Any number of workers, in any processes and on any machines, share one queue.
 * @throws CHARTS_ERR_INVALID_OPTIONS, also where there is no generator behind the URL
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
  // First of all: where there is no generator, nothing is left open.
  const generator = await openGenerator(generate, { concurrency, threadMemory, threadEntry, chartBytes: limits.chartBytes, logger })
  const service = new ChartQueueService({ redis, store, keyPrefix, limits, chartStore, onFinished, telemetry, leaseDuration, logger })
  await service.ready(READY).catch(error => logger.warn({ err: error }, 'the store does not answer yet'))
  const consumer = new Consumer({ service, generate: generator.generate, concurrency, leaseDuration, attemptTimeout, shutdownTimeout, logger })
  const stop = () => consumer.stop().then(() => done)
  const off = handleSignals ? drainOnSignals(stop) : () => {}
  const done = consumer.done.finally(async () => {
    off()
    await Promise.all([generator.close(), service.close()])
  })
  return { stop, done }
}
