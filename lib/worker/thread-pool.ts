import { MessageChannel } from 'node:worker_threads'
import type { Piscina } from 'piscina'
import { AttemptError } from '../service/outcome.ts'
import type { AbortCode, GenerateChart, GenerateContext } from '../generator.ts'
import type { JsonValue } from '../task.ts'
import { describeError, restoreError } from './thread-error.ts'
import type { FromThread, ThreadJob, ThreadResult, ToThread } from './thread-messages.ts'

/** ms that a generator in a thread gets to answer its signal before the thread is ended. */
const GRACE = 500
/** ms that an idle thread is kept. */
const IDLE = 30_000

export interface ThreadPoolOptions {
  readonly url: URL
  readonly concurrency: number
  /** MiB of a thread's heap, 0 = Node's own limit. */
  readonly threadMemory: number
}

/**
 * Runs a generator in threads of their own, where it may compute without yielding: leases are prolonged meanwhile, and a
 * cancel or a deadline that it does not answer ends its thread.
 */
export class ThreadPool {
  readonly generate: GenerateChart
  readonly #options: ThreadPoolOptions
  #pool: Promise<Piscina<{ job: ThreadJob, port: unknown }, ThreadResult>> | undefined

  constructor (options: ThreadPoolOptions) {
    this.#options = options
    this.generate = (request, context) => this.#run(request, context)
  }

  async close (): Promise<void> {
    await (await this.#pool)?.destroy()
  }

  #open (): Promise<Piscina<{ job: ThreadJob, port: unknown }, ThreadResult>> {
    const { concurrency, threadMemory } = this.#options
    // As it stands beside this file: in the sources, or compiled.
    const main = new URL(import.meta.url.endsWith('.ts') ? './thread-main.ts' : './thread-main.js', import.meta.url)
    return import('piscina').then(({ Piscina }) => new Piscina({
      filename: main.href,
      minThreads: 0,
      maxThreads: concurrency,
      idleTimeout: IDLE,
      ...(threadMemory > 0 ? { resourceLimits: { maxOldGenerationSizeMb: threadMemory } } : {})
    }))
  }

  async #run (request: Parameters<GenerateChart>[0], context: GenerateContext): Promise<JsonValue> {
    this.#pool ??= this.#open()
    const pool = await this.#pool
    const { signal, attempt, dependencies } = context
    const { port1: ours, port2: port } = new MessageChannel()
    const say = (message: ToThread) => ours.postMessage(message)
    ours.on('message', (message: FromThread) => hear(message, context, say))
    const end = new AbortController()
    let ending: NodeJS.Timeout | undefined
    const abort = () => {
      say({ abort: (signal.reason as { code: AbortCode }).code })
      ending = setTimeout(() => end.abort(), GRACE)
    }
    signal.addEventListener('abort', abort)
    try {
      const job = { url: this.#options.url.href, request, attempt, dependencies }
      const result = await pool.run({ job, port }, { transferList: [port], signal: end.signal })
      if ('error' in result) throw restoreError(result.error)
      return result.content as JsonValue
    } catch (error) {
      if ((error as { code?: string }).code === 'ERR_WORKER_OUT_OF_MEMORY') {
        throw new AttemptError('CHARTS_ERR_OUT_OF_MEMORY', { retryable: false, cause: error })
      }
      throw error
    } finally {
      clearTimeout(ending)
      signal.removeEventListener('abort', abort)
      ours.close()
    }
  }
}

/** The steps that threads are running: what the other side has to say of them. */
const running = new WeakMap<GenerateContext, Map<number, (done: Extract<FromThread, { stepDone: number }>) => void>>()

function hear (message: FromThread, context: GenerateContext, say: (message: ToThread) => void): void {
  if ('progress' in message) {
    context.progress(message.progress)
  } else if ('log' in message) {
    const { level, bindings, details, message: text } = message.log
    context.log[level]({ ...bindings, ...details }, text)
  } else if ('stepDone' in message) {
    running.get(context)?.get(message.stepDone)?.(message)
  } else {
    const { step, id } = message
    const run = () => new Promise<unknown>((resolve, reject) => {
      const steps = running.get(context) ?? new Map()
      running.set(context, steps.set(id, ({ value, error }: { value?: unknown, error?: Parameters<typeof restoreError>[0] }) =>
        error ? reject(restoreError(error)) : resolve(value)))
      say({ run: id })
    })
    context.step(step, run).then(value => say({ settled: id, value }), error => say({ settled: id, error: describeError(error) }))
  }
}
