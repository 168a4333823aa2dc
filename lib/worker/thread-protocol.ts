import { AsyncResource } from 'node:async_hooks'
import { receiveMessageOnPort, type MessagePort } from 'node:worker_threads'
import type { AbortCode, GenerateContext, Logger, ProgressUpdate } from '../generator.ts'
import type { ChartRequest, TraceContext } from '../task.ts'
import { AbortError } from './attempt-abort.ts'
import { serializeStep, stepNameError } from './checkpoints.ts'
import { describeError, restoreError, type ThreadError } from './thread-error.ts'

/** What a thread is given for one attempt. */
export interface ThreadJob {
  /** The module whose default export is the generator. */
  readonly url: string
  readonly request: ChartRequest
  readonly attempt: number
  /** JSON, because a host's `chartStore` may return charts that cannot be cloned for a thread. */
  readonly dependencies: string
  readonly trace: TraceContext | null
  /** Maximum bytes of a chart as JSON, 0 = no limit. */
  readonly chartBytes: number
}

/** The chart as JSON, or what the generator threw. */
export type ThreadResult = { readonly json: string } | { readonly error: ThreadError }

type Level = 'debug' | 'info' | 'warn' | 'error'

/** Calls of a context in a thread. */
type FromThread =
  | { readonly progress: ProgressUpdate }
  | { readonly log: { readonly level: Level, readonly bindings: Record<string, unknown>, readonly details: object, readonly message: string | undefined } }
  /** Asks for a step. The answer is `run`, `stored` or `failed`. */
  | { readonly step: string, readonly id: number }
  | StepEnd

/** How a step that was run in the thread has ended. `text`: its result, as it is stored. */
type StepEnd = { readonly stepEnd: number, readonly text: string } | { readonly stepEnd: number, readonly error: ThreadError }

/** Answers to these calls, and the abort of the attempt. Numbers are the ids of steps. */
type ToThread =
  | { readonly abort: AbortCode }
  /** No result of the step is stored: run it. */
  | { readonly run: number }
  /** The result of the step that was run is stored now. */
  | { readonly stored: number }
  /** The result of the step was stored by an earlier attempt. */
  | { readonly restored: number, readonly value: unknown }
  | { readonly failed: number, readonly error: ThreadError }

export interface ServedContext {
  abort (code: AbortCode): void
  /** Handles the messages that have arrived, and closes the port. */
  close (): void
}

/** The worker's end: performs on `context` what a generator calls in its thread. */
export function serveContext (port: MessagePort, context: GenerateContext): ServedContext {
  const send = (message: ToThread) => port.postMessage(message)
  /** Steps that run in the thread. */
  const running = new Map<number, (end: StepEnd) => void>()

  const step = (name: string, id: number): void => {
    const run = () => new Promise<unknown>((resolve, reject) => {
      running.set(id, end => 'error' in end ? reject(restoreError(end.error)) : resolve(JSON.parse(end.text).value))
      send({ run: id })
    })
    context.step(name, run).then(
      value => send(running.has(id) ? { stored: id } : { restored: id, value }),
      error => send({ failed: id, error: describeError(error) }))
  }

  const receive = (message: FromThread): void => {
    if ('progress' in message) {
      context.progress(message.progress)
    } else if ('log' in message) {
      const { level, bindings, details, message: text } = message.log
      context.log.child(bindings)[level](details, text)
    } else if ('stepEnd' in message) {
      running.get(message.stepEnd)!(message)
    } else {
      step(message.step, message.id)
    }
  }

  port.on('message', receive)
  return {
    abort: code => send({ abort: code }),
    close () {
      // The result of the thread arrives on another port, and may be ahead of these.
      for (let last = receiveMessageOnPort(port); last; last = receiveMessageOnPort(port)) receive(last.message)
      port.close()
    }
  }
}

interface ThreadStep {
  readonly run: () => unknown
  readonly resolve: (value: unknown) => void
  readonly reject: (error: unknown) => void
  /** What it has returned or thrown in this thread. The other end has only a copy of it. */
  value?: unknown
  thrown?: { readonly error: unknown }
}

/** The thread's end: a context whose calls are performed by {@link serveContext} at the other end of `port`. */
export function remoteContext (port: MessagePort, job: ThreadJob): GenerateContext {
  const send = (message: FromThread) => port.postMessage(message)
  const abort = new AbortController()
  const steps: ThreadStep[] = []

  const runStep = async (id: number): Promise<void> => {
    const step = steps[id]!
    try {
      step.value = await step.run()
      send({ stepEnd: id, text: serializeStep(step.value) })
    } catch (error) {
      step.thrown = { error }
      send({ stepEnd: id, error: describeError(error) })
    }
  }

  port.on('message', (message: ToThread) => {
    if ('abort' in message) {
      abort.abort(new AbortError(message.abort))
    } else if ('run' in message) {
      void runStep(message.run)
    } else if ('stored' in message) {
      const { resolve, value } = steps[message.stored]!
      resolve(value)
    } else if ('restored' in message) {
      steps[message.restored]!.resolve(message.value)
    } else {
      const { reject, thrown } = steps[message.failed]!
      reject(thrown ? thrown.error : restoreError(message.error))
    }
  })

  const logger = (bindings: Record<string, unknown>): Logger => {
    const write = (level: Level) => (details: object, message?: string) => {
      // Details that cannot be sent must not fail the chart.
      try { send({ log: { level, bindings: toPlain(bindings), details: toPlain(details), message } }) } catch {}
    }
    return { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error'), child: more => logger({ ...bindings, ...more }) }
  }

  return {
    signal: abort.signal,
    attempt: job.attempt,
    dependencies: JSON.parse(job.dependencies),
    trace: job.trace ?? undefined,
    log: logger({}),
    progress (update) {
      try { send({ progress: { step: update.step, step_progress: update.step_progress, progress: update.progress } }) } catch {}
    },
    step: <T>(name: string, run: () => T | Promise<T>) => new Promise<T>((resolve, reject) => {
      const nameError = stepNameError(name)
      if (nameError) return reject(nameError)
      // It is run from a message of the port: bound to the async context of this call.
      const id = steps.push({ run: AsyncResource.bind(run), resolve: resolve as (value: unknown) => void, reject }) - 1
      send({ step: name, id })
    })
  }
}

/** What is logged, as JSON can hold it. */
function toPlain<T> (details: T): T {
  return JSON.parse(JSON.stringify(details, (_key, value) => value instanceof Error ? describeError(value) : value))
}
