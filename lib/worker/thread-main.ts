import { AsyncResource } from 'node:async_hooks'
import type { MessagePort } from 'node:worker_threads'
import type { GenerateChart, Logger, ProgressUpdate } from '../generator.ts'
import { serializeContent } from '../service/outcome.ts'
import { traceOperation, tracingChannels } from '../telemetry/channels.ts'
import { serializeStep, stepNameFault } from './checkpoints.ts'
import { describeError, restoreError } from './thread-error.ts'
import type { FromThread, ThreadError, ThreadJob, ThreadResult, ToThread } from './thread-messages.ts'

type Level = 'debug' | 'info' | 'warn' | 'error'

async function open (url: string): Promise<GenerateChart> {
  const module = await import(/* webpackIgnore: true */ /* @vite-ignore */ url).catch(cause => {
    throw new Error(`${url} could not be imported: ${describeError(cause).message}`, { cause })
  })
  // What was compiled to CommonJS has its own default export inside of Node's.
  const generate = module.default?.__esModule ? module.default.default : module.default
  if (typeof generate !== 'function') throw new TypeError(`${url} has no default export that is a function`)
  return generate
}

/** Whether a module can be worked with; why not. */
export async function load ({ url }: { url: string }): Promise<ThreadError | null> {
  return open(url).then(() => null, error => describeError(error))
}

/** What is logged, as another thread can be told it. */
const plain = <T>(details: T): T =>
  JSON.parse(JSON.stringify(details, (_key, value) => value instanceof Error ? describeError(value) : value))

interface Step {
  readonly run: () => unknown
  readonly resolve: (value: unknown) => void
  readonly reject: (error: unknown) => void
  /** What it returned here, or threw: the other side knows only what of it can be passed on. */
  value?: unknown
  thrown?: { readonly error: unknown }
}

/** What runs in a generator's thread: the context of the other side, spoken over a port. */
export default async function work ({ job, port }: { job: ThreadJob, port: MessagePort }): Promise<ThreadResult> {
  const say = (message: FromThread) => port.postMessage(message)
  const abort = new AbortController()
  const steps = new Map<number, Step>()
  const run = async (id: number) => {
    const step = steps.get(id)!
    try {
      step.value = await step.run()
      say({ stepDone: id, text: serializeStep(step.value) })
    } catch (error) {
      step.thrown = { error }
      say({ stepDone: id, error: describeError(error) })
    }
  }
  port.on('message', (message: ToThread) => {
    if ('abort' in message) {
      abort.abort(Object.assign(new Error(`The attempt was aborted: ${message.abort}`), { name: 'AbortError', code: message.abort }))
    } else if ('run' in message) {
      void run(message.run)
    } else if ('stored' in message) {
      const { resolve, value } = steps.get(message.stored)!
      resolve(value)
    } else if ('remembered' in message) {
      steps.get(message.remembered)!.resolve(message.value)
    } else {
      const { reject, thrown } = steps.get(message.failed)!
      reject(thrown ? thrown.error : restoreError(message.error))
    }
  })

  const log = (bindings: Record<string, unknown>): Logger => {
    const write = (level: Level) => (details: object, message?: string) => {
      // What cannot be passed on must not fail a chart.
      try { say({ log: { level, bindings: plain(bindings), details: plain(details), message } }) } catch {}
    }
    return { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error'), child: more => log({ ...bindings, ...more }) }
  }
  let count = 0
  const context = {
    signal: abort.signal,
    attempt: job.attempt,
    dependencies: JSON.parse(job.dependencies),
    trace: job.trace ?? undefined,
    log: log({}),
    progress: (update: ProgressUpdate) => {
      try { say({ progress: { step: update.step, step_progress: update.step_progress, progress: update.progress } }) } catch {}
    },
    step: <T>(step: string, run: () => T | Promise<T>) => new Promise<T>((resolve, reject) => {
      const fault = stepNameFault(step)
      if (fault) return reject(fault)
      const id = count++
      // Run by a message of the port, it has the generator's context all the same.
      steps.set(id, { run: AsyncResource.bind(run), resolve: resolve as (value: unknown) => void, reject })
      say({ step, id })
    })
  }
  try {
    const generate = await open(job.url)
    const { thread } = tracingChannels
    const call = async () => generate(job.request, context)
    const content = await (thread.hasSubscribers ? traceOperation(thread, { trace: job.trace }, call) : call())
    // Here, not there: what a thread passes on is not what JSON makes of it.
    return { json: serializeContent(content, job.chartBytes) }
  } catch (error) {
    return { error: describeError(error) }
  } finally {
    port.close()
  }
}
