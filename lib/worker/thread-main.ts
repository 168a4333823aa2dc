import type { MessagePort } from 'node:worker_threads'
import type { GenerateChart, Logger, ProgressUpdate } from '../generator.ts'
import { describeError, restoreError } from './thread-error.ts'
import type { FromThread, ThreadJob, ThreadResult, ToThread } from './thread-messages.ts'

type Level = 'debug' | 'info' | 'warn' | 'error'

/** What runs in a generator's thread: the context of the other side, spoken over a port. */
export default async function work ({ job, port }: { job: ThreadJob, port: MessagePort }): Promise<ThreadResult> {
  const say = (message: FromThread) => port.postMessage(message)
  const abort = new AbortController()
  const steps = new Map<number, { run: () => unknown, settle: (settled: { value?: unknown, error?: Error }) => void }>()
  port.on('message', (message: ToThread) => {
    if ('abort' in message) {
      abort.abort(Object.assign(new Error(`The attempt was aborted: ${message.abort}`), { name: 'AbortError', code: message.abort }))
    } else if ('run' in message) {
      Promise.resolve().then(() => steps.get(message.run)!.run()).then(
        value => tell({ stepDone: message.run, value }),
        error => tell({ stepDone: message.run, error: describeError(error) }))
    } else {
      const { value, error } = message
      steps.get(message.settled)!.settle(error ? { error: restoreError(error) } : { value })
    }
  })
  const tell = (done: Extract<FromThread, { stepDone: number }>) => {
    try {
      say(done)
    } catch (error) {
      say({ stepDone: done.stepDone, error: describeError(error) })
    }
  }

  const log = (bindings: object): Logger => {
    const write = (level: Level) => (details: object, message?: string) => {
      // What cannot be passed on must not fail a chart.
      try { say({ log: { level, bindings, details: JSON.parse(JSON.stringify(details)), message } }) } catch {}
    }
    return { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error'), child: more => log({ ...bindings, ...more }) }
  }
  let count = 0
  const context = {
    signal: abort.signal,
    attempt: job.attempt,
    dependencies: job.dependencies,
    log: log({}),
    progress: (update: ProgressUpdate) => {
      try { say({ progress: { step: update.step, step_progress: update.step_progress, progress: update.progress } }) } catch {}
    },
    step: <T>(step: string, run: () => T | Promise<T>) => new Promise<T>((resolve, reject) => {
      const id = count++
      steps.set(id, { run, settle: ({ value, error }) => error ? reject(error) : resolve(value as T) })
      say({ step, id })
    })
  }
  try {
    const { default: generate } = await import(job.url) as { default: GenerateChart }
    const content = await generate(job.request, context)
    // What JSON cannot hold, the other side refuses; a function could not even get there.
    return { content: typeof content === 'function' ? undefined : content }
  } catch (error) {
    return { error: describeError(error) }
  } finally {
    port.close()
  }
}
