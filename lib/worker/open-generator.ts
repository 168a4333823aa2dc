import type { GenerateChart } from '../generator.ts'
import { ThreadPool, type ThreadPoolOptions } from './thread-pool.ts'

/** A generator that is ready to be called, and what ends its threads where it has any. */
export interface OpenGenerator {
  readonly generate: GenerateChart
  close (): Promise<void>
}

/**
 * A function is called here; the module behind a URL runs in threads of their own.
 * @throws CHARTS_ERR_INVALID_OPTIONS where there is no generator behind the URL
 */
export async function openGenerator (generate: GenerateChart<any> | URL, options: ThreadPoolOptions): Promise<OpenGenerator> {
  return generate instanceof URL ? ThreadPool.open(generate, options) : { generate, close: async () => {} }
}
