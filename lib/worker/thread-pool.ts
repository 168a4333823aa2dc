import { existsSync } from 'node:fs'
import { pathToFileURL } from 'node:url'
import { MessageChannel, receiveMessageOnPort } from 'node:worker_threads'
import type { Piscina } from 'piscina'
import { errors } from '../errors.ts'
import { AttemptError, SerializedContent } from '../service/outcome.ts'
import type { AbortCode, GenerateChart, GenerateContext, Logger } from '../generator.ts'
import { describeError, restoreError } from './thread-error.ts'
import type { FromThread, StepDone, ThreadError, ThreadJob, ThreadResult, ToThread } from './thread-messages.ts'

/** ms that a generator in a thread gets to answer its signal before the thread is ended; none where another may start soon. */
const GRACE = 500
/** ms that an idle thread is kept. */
const IDLE = 30_000
/** ms after which it is told what the start waits for. */
const SLOW = 5_000

const BUNDLED = 'If this package is part of a bundle, see docs/guides/threads.md, "In a bundle"'

/** Threads cannot start, whatever the generator is. */
class BrokenThreads extends Error {}

/** The file that this code is in: bundlers that write CommonJS leave `import.meta.url` empty, or with a path of the build. */
/* c8 ignore next -- it differs only in a bundle, whose coverage is that of another file */
const here = (): string => typeof __filename === 'string' ? pathToFileURL(__filename).href : import.meta.url

/** Where threads start. */
function findEntry (given: URL | undefined): URL {
  const names = ['thread-main.js', 'thread-main.mjs', 'thread-main.cjs']
  const candidates = given ? [given] : names.map(name => new URL(name, here()))
  const found = candidates.find(url => url.protocol !== 'file:' || existsSync(url))
  if (found) return found
  throw new errors.CHARTS_ERR_INVALID_OPTIONS(`the file in which generator threads start was not found: ${candidates[0]}. ${BUNDLED}`)
}

export interface ThreadPoolOptions {
  readonly concurrency: number
  /** MiB of a thread's heap, 0 = Node's own limit. */
  readonly threadMemory: number
  /** Where threads start; undefined = what is beside this file. */
  readonly threadEntry?: URL | undefined
  /** Bytes of a chart as JSON, 0 = no limit. */
  readonly chartBytes: number
  readonly logger: Logger
}

/**
 * Runs a generator in threads of their own, where it may compute without yielding: leases are prolonged meanwhile, and a
 * cancel or a deadline that it does not answer ends its thread.
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
   * Opens the threads, and imports the module in the first of them: a mistake in its URL shows now, not with every task.
   * @throws CHARTS_ERR_INVALID_OPTIONS where it cannot be imported, its default export is no function, or threads cannot start
   */
  static async open (url: URL, options: ThreadPoolOptions): Promise<ThreadPool> {
    const { concurrency, threadMemory, logger } = options
    const main = findEntry(options.threadEntry)
    // By its default export: some bundlers make nothing else of what is CommonJS.
    const { default: { Piscina } } = await import('piscina')
    const pool = new Piscina({
      filename: main.href,
      minThreads: 0,
      maxThreads: concurrency,
      idleTimeout: IDLE,
      ...(threadMemory > 0 ? { resourceLimits: { maxOldGenerationSizeMb: threadMemory } } : {})
    })
    // Without a listener, a thread that breaks while it runs nothing would end the process.
    pool.on('error', error => logger.error({ err: error }, 'a thread broke'))
    const threads = new ThreadPool(url, pool, options)
    const slow = setTimeout(() => logger.warn({ url: url.href }, 'the generator is still being imported'), SLOW)
    try {
      await threads.#load()
    } catch (cause) {
      await threads.close()
      const { message } = cause as Error
      const text = cause instanceof BrokenThreads ? message : `options.generate must be the URL of a module whose default export is a function: ${message}`
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
    // A thread that breaks before it can take anything leaves what waits for it waiting.
    const broke = (error: Error) => giveUp.abort(error)
    this.#pool.once('error', broke)
    let fault: ThreadError | null
    try {
      fault = await this.#pool.run({ url: this.#url }, { name: 'load', signal: giveUp.signal })
    } catch (error) {
      const cause: Error & { code?: string } = giveUp.signal.reason ?? error
      // Piscina looks for a file of its own in its folder, where a bundler has left neither. The module was not asked for yet.
      /* c8 ignore next 3 -- only in a bundle, as above */
      if ((cause.code === 'MODULE_NOT_FOUND' && /[\\/]worker\.js'/.test(cause.message)) || (cause instanceof ReferenceError && /__dirname/.test(cause.message))) {
        throw new BrokenThreads(`generator threads cannot start, as piscina does not find its worker.js: ${cause.message.split('\n', 1)[0]}. ${BUNDLED}`)
      }
      throw new Error(`${this.#url} has ended its thread: ${cause.message}`, { cause })
    } finally {
      this.#pool.off('error', broke)
    }
    if (fault) throw restoreError(fault)
  }

  async #run (request: Parameters<GenerateChart>[0], context: GenerateContext): Promise<SerializedContent> {
    const { signal, attempt, dependencies, trace } = context
    // An abort that has been is not told again.
    signal.throwIfAborted()
    const { port1: ours, port2: port } = new MessageChannel()
    const say = (message: ToThread) => ours.postMessage(message)
    const steps = new Map<number, (done: StepDone) => void>()
    const listen = (message: FromThread) => hear(message, { context, say, steps })
    ours.on('message', listen)
    const end = new AbortController()
    let ending: NodeJS.Timeout | undefined
    const abort = () => {
      const { code } = signal.reason as { code: AbortCode }
      say({ abort: code })
      ending = setTimeout(() => end.abort(), code === 'LEASE_LOST' ? 0 : GRACE)
    }
    signal.addEventListener('abort', abort)
    try {
      const job: ThreadJob = { url: this.#url, request, attempt, dependencies: JSON.stringify(dependencies), trace: trace ?? null, chartBytes: this.#chartBytes }
      const result: ThreadResult = await this.#pool.run({ job, port }, { transferList: [port], signal: end.signal })
      if ('error' in result) throw restoreError(result.error)
      return new SerializedContent(result.json)
    } catch (error) {
      if ((error as { code?: string }).code === 'ERR_WORKER_OUT_OF_MEMORY') {
        throw new AttemptError('CHARTS_ERR_OUT_OF_MEMORY', { retryable: false, cause: error })
      }
      throw error
    } finally {
      clearTimeout(ending)
      signal.removeEventListener('abort', abort)
      // The result comes another way, and overtakes what was said last.
      for (let last = receiveMessageOnPort(ours); last; last = receiveMessageOnPort(ours)) listen(last.message)
      ours.close()
    }
  }
}

interface Conversation {
  readonly context: GenerateContext
  readonly say: (message: ToThread) => void
  /** The steps that the thread is running: what is done with what it says of them. */
  readonly steps: Map<number, (done: StepDone) => void>
}

function hear (message: FromThread, { context, say, steps }: Conversation): void {
  if ('progress' in message) {
    context.progress(message.progress)
  } else if ('log' in message) {
    const { level, bindings, details, message: text } = message.log
    context.log.child(bindings)[level](details, text)
  } else if ('stepDone' in message) {
    steps.get(message.stepDone)!(message)
  } else {
    const { step, id } = message
    const run = () => new Promise<unknown>((resolve, reject) => {
      steps.set(id, done => 'error' in done ? reject(restoreError(done.error)) : resolve(JSON.parse(done.text).value))
      say({ run: id })
    })
    context.step(step, run).then(
      value => say(steps.has(id) ? { stored: id } : { remembered: id, value }),
      error => say({ failed: id, error: describeError(error) }))
  }
}
