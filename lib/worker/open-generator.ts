import type { GenerateChart } from '../generator.ts'
import { ThreadPool } from './thread-pool.ts'

/** A generator that is ready to be called, and what ends its threads where it has any. */
export interface OpenGenerator {
  readonly generate: GenerateChart
  close (): Promise<void>
}

/** A function is called here; the module behind a URL runs in threads of their own. */
export function openGenerator (generate: GenerateChart | URL, settings: { concurrency: number, threadMemory: number }): OpenGenerator {
  return generate instanceof URL ? new ThreadPool({ url: generate, ...settings }) : { generate, close: async () => {} }
}
