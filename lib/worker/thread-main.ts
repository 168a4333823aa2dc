import type { MessagePort } from 'node:worker_threads'
import type { GenerateChart } from '../generator.ts'
import { serializeContent } from '../service/outcome.ts'
import { traceOperation, tracingChannels } from '../telemetry/channels.ts'
import { describeError, type ThreadError } from './thread-error.ts'
import { remoteContext, type ThreadJob, type ThreadResult } from './thread-protocol.ts'

async function importGenerator (url: string): Promise<GenerateChart> {
  const module = await import(/* webpackIgnore: true */ /* @vite-ignore */ url).catch(cause => {
    throw new Error(`${url} could not be imported: ${describeError(cause).message}`, { cause })
  })
  // A module compiled to CommonJS has its default export inside the one that Node gives it.
  const generate = module.default?.__esModule ? module.default.default : module.default
  if (typeof generate !== 'function') throw new TypeError(`${url} has no default export that is a function`)
  return generate
}

/** Imports the generator. Null: it can be called. */
export async function load ({ url }: { url: string }): Promise<ThreadError | null> {
  return importGenerator(url).then(() => null, error => describeError(error))
}

/** Runs the generator for one attempt. Never rejects: what the generator throws is part of the result. */
export default async function work ({ job, port }: { job: ThreadJob, port: MessagePort }): Promise<ThreadResult> {
  const context = remoteContext(port, job)
  try {
    const generate = await importGenerator(job.url)
    const { thread } = tracingChannels
    const call = async () => generate(job.request, context)
    const content = await (thread.hasSubscribers ? traceOperation(thread, { trace: job.trace }, call) : call())
    // Serialised in the thread, because the copy that the worker would get is not what JSON makes of the original.
    return { json: serializeContent(content, job.chartBytes) }
  } catch (error) {
    return { error: describeError(error) }
  } finally {
    port.close()
  }
}
