import { existsSync } from 'node:fs'
import { pathToFileURL } from 'node:url'
import { MessageChannel } from 'node:worker_threads'
import type { Piscina } from 'piscina'
import { errors } from '../errors.ts'
import { AttemptError, SerializedContent } from '../service/outcome.ts'
import type { AbortCode, GenerateChart, GenerateContext, Logger } from '../generator.ts'
import { restoreError, type ThreadError } from './thread-error.ts'
import { serveContext, type ThreadJob, type ThreadResult } from './thread-protocol.ts'

/** ms between an abort and the moment at which the thread of a generator that still runs is ended. */
const ABORT_GRACE_MS = 500
/** ms that an idle thread is kept. */
const IDLE_TIMEOUT_MS = 30_000
/** ms of an import after which it is logged what the start waits for. */
const SLOW_IMPORT_MS = 5_000

const BUNDLED = 'If this package is part of a bundle, see docs/guides/threads.md, "In a bundle"'

/** Threads cannot start, whatever the generator is. */
class ThreadStartError extends Error {}

/** The file that contains this code. In a bundle that is CommonJS, `import.meta.url` is empty or a path of the build. */
/* c8 ignore next -- it differs only in a bundle, whose coverage is that of another file */
const currentFile = (): string => typeof __filename === 'string' ? pathToFileURL(__filename).href : import.meta.url

/** The file that threads run. */
function findEntry (given: URL | undefined): URL {
  const names = ['thread-main.js', 'thread-main.mjs', 'thread-main.cjs']
  const candidates = given ? [given] : names.map(name => new URL(name, currentFile()))
  const found = candidates.find(url => url.protocol !== 'file:' || existsSync(url))
  if (found) return found
  throw new errors.CHARTS_ERR_INVALID_OPTIONS(`the file in which generator threads start was not found: ${candidates[0]}. ${BUNDLED}`)
}

export interface ThreadPoolOptions {
  /** Maximum number of threads. */
  readonly concurrency: number
  /** Maximum MiB of a thread's heap, 0 = Node's own limit. */
  readonly threadMemory: number
  /** The file that threads run. Undefined: `thread-main` beside this file. */
  readonly threadEntry?: URL | undefined
  /** Maximum bytes of a chart as JSON, 0 = no limit. */
  readonly chartBytes: number
  readonly logger: Logger
}

/**
 * Runs a generator in threads, where it may compute without yielding: the worker extends leases meanwhile, and ends the thread of a generator that
 * ignores a cancel or a timeout.
 */
export class ThreadPool {
  readonly generate: GenerateChart = (request, context) => this.#run(request, context)
  readonly #url: string
  readonly #chartBytes: number
  readonly #pool: Piscina

  private constructor (url: URL, pool: Piscina, { chartBytes }: ThreadPoolOptions) {
    this.#url = url.href
    this.#chartBytes = chartBytes
    this.#pool = pool
  }

  /**
   * Starts a thread and imports the module in it, so that a mistake shows at the start and not with every task.
   * @throws CHARTS_ERR_INVALID_OPTIONS if the module cannot be imported, its default export is no function, or threads cannot start
   */
  static async open (url: URL, options: ThreadPoolOptions): Promise<ThreadPool> {
    const { concurrency, threadMemory, logger } = options
    const entry = findEntry(options.threadEntry)
    // Some bundlers give a CommonJS module a default export only.
    const { default: { Piscina } } = await import('piscina')
    const pool = new Piscina({
      filename: entry.href,
      minThreads: 0,
      maxThreads: concurrency,
      idleTimeout: IDLE_TIMEOUT_MS,
      ...(threadMemory > 0 ? { resourceLimits: { maxOldGenerationSizeMb: threadMemory } } : {})
    })
    // Without a listener, an error in an idle thread would end the process.
    pool.on('error', error => logger.error({ err: error }, 'an idle generator thread failed, the next chart gets another one'))
    const threads = new ThreadPool(url, pool, options)
    const slow = setTimeout(() => logger.warn({ url: url.href }, 'the generator is still being imported'), SLOW_IMPORT_MS)
    try {
      await threads.#load()
    } catch (cause) {
      await threads.close()
      const { message } = cause as Error
      /* c8 ignore next -- as below */
      const text = cause instanceof ThreadStartError ? message : `options.generate must be the URL of a module whose default export is a function: ${message}`
      throw Object.assign(new errors.CHARTS_ERR_INVALID_OPTIONS(text), { cause })
    } finally {
      clearTimeout(slow)
    }
    return threads
  }

  async close (): Promise<void> {
    await this.#pool.destroy()
  }

  async #load (): Promise<void> {
    const giveUp = new AbortController()
    // If a thread fails before it can accept work, piscina never settles the call.
    const onError = (error: Error) => giveUp.abort(error)
    this.#pool.once('error', onError)
    let loadError: ThreadError | null
    try {
      loadError = await this.#pool.run({ url: this.#url }, { name: 'load', signal: giveUp.signal })
    } catch (error) {
      const cause: Error & { code?: string } = giveUp.signal.reason ?? error
      // In a bundle, piscina finds neither its folder nor its own file in it. The generator's module was not imported yet.
      // The error has one code or the other: with `node --import`, threads load their file as an ES module.
      /* c8 ignore next 3 -- only in a bundle, as above */
      if ((/^(ERR_)?MODULE_NOT_FOUND$/.test(cause.code ?? '') && /[\\/]worker\.js'/.test(cause.message)) || (cause instanceof ReferenceError && /__dirname/.test(cause.message))) {
        throw new ThreadStartError(`generator threads cannot start, as piscina does not find its worker.js: ${cause.message.split('\n', 1)[0]}. ${BUNDLED}`)
      }
      throw new Error(`${this.#url} has ended its thread: ${cause.message}`, { cause })
    } finally {
      this.#pool.off('error', onError)
    }
    if (loadError) throw restoreError(loadError)
  }

  async #run (request: Parameters<GenerateChart>[0], context: GenerateContext): Promise<SerializedContent> {
    const { signal, attempt, dependencies, trace } = context
    // A listener added after the abort would not be called.
    signal.throwIfAborted()
    const { port1, port2: port } = new MessageChannel()
    const served = serveContext(port1, context)
    const endThread = new AbortController()
    let graceTimer: NodeJS.Timeout | undefined
    const onAbort = () => {
      const { code } = signal.reason as { code: AbortCode }
      served.abort(code)
      // After a lost lease there is no grace, because another worker may start the task.
      graceTimer = setTimeout(() => endThread.abort(), code === 'LEASE_LOST' ? 0 : ABORT_GRACE_MS)
    }
    signal.addEventListener('abort', onAbort)
    try {
      const job: ThreadJob = { url: this.#url, request, attempt, dependencies: JSON.stringify(dependencies), trace: trace ?? null, chartBytes: this.#chartBytes }
      const result: ThreadResult = await this.#pool.run({ job, port }, { transferList: [port], signal: endThread.signal })
      if ('error' in result) throw restoreError(result.error)
      return new SerializedContent(result.json)
    } catch (error) {
      if ((error as { code?: string }).code === 'ERR_WORKER_OUT_OF_MEMORY') {
        throw new AttemptError('CHARTS_ERR_OUT_OF_MEMORY', { retryable: false, cause: error })
      }
      throw error
    } finally {
      clearTimeout(graceTimer)
      signal.removeEventListener('abort', onAbort)
      served.close()
    }
  }
}
