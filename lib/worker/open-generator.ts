import type { GenerateChart } from '../generator.ts'
import { ThreadPool, type ThreadPoolOptions } from './thread-pool.ts'

/** A generator that is ready to be called. `close` ends its threads, if it has any. */
export interface OpenGenerator {
  readonly generate: GenerateChart
  close (): Promise<void>
}

/**
 * A function is called in this thread. The module of a URL runs in threads of its own.
 * @throws CHARTS_ERR_INVALID_OPTIONS if the module cannot be imported, or has no generator
 */
export async function openGenerator (generate: GenerateChart<any> | URL, options: ThreadPoolOptions): Promise<OpenGenerator> {
  return generate instanceof URL ? ThreadPool.open(generate, options) : { generate, close: async () => {} }
}
