import { ChartGenerationError } from '../errors.ts'
import type { ThreadError } from './thread-messages.ts'

/** An error as plain data: threads cannot pass its class on. */
export function describeError (error: unknown): ThreadError {
  const { name = 'Error', message = String(error), stack, code, retryable, retryDelay } = (error ?? {}) as Partial<ThreadError>
  return {
    name: String(name),
    message: String(message),
    stack: typeof stack === 'string' ? stack : undefined,
    code: typeof code === 'string' ? code : undefined,
    retryable: typeof retryable === 'boolean' ? retryable : undefined,
    retryDelay: typeof retryDelay === 'number' ? retryDelay : undefined
  }
}

/** The error again, of the class that it had where that matters. */
export function restoreError ({ name, message, stack, code, retryable, retryDelay }: ThreadError): Error {
  if (name === 'ChartGenerationError') {
    return new ChartGenerationError(message, {
      ...(code === undefined ? {} : { code }),
      ...(retryable === undefined ? {} : { retryable }),
      ...(retryDelay === undefined ? {} : { retryDelay })
    })
  }
  return Object.assign(new Error(message), { name, stack, code, retryable })
}
