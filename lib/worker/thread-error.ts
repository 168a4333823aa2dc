import { ChartGenerationError, failures, type FailureCode } from '../errors.ts'
import { toLoggedStack, toLoggedText } from '../logging.ts'
import { AttemptError } from '../service/outcome.ts'
import type { ThreadError } from './thread-messages.ts'

/** An error and its cause as plain data: threads cannot pass its class on. */
export function describeError (error: unknown, withCause = true): ThreadError {
  const { name = 'Error', message = String(error), stack, code, retryable, retryDelay, cause } = (error ?? {}) as Partial<ThreadError>
  return {
    name: toLoggedText(String(name)),
    message: toLoggedText(String(message)),
    stack: typeof stack === 'string' ? toLoggedStack(stack, String(message)) : undefined,
    code: typeof code === 'string' ? code : undefined,
    retryable: typeof retryable === 'boolean' ? retryable : undefined,
    retryDelay: typeof retryDelay === 'number' ? retryDelay : undefined,
    cause: withCause && cause !== undefined ? describeError(cause, false) : undefined
  }
}

const isFailure = (code: string | undefined): code is FailureCode => code !== undefined && Object.hasOwn(failures, code)

/** The error again, of the class that it had where that matters. */
export function restoreError ({ name, message, stack, code, retryable, retryDelay, cause: described }: ThreadError): Error {
  const cause = described && restoreError(described)
  if (name === 'AttemptError' && isFailure(code)) return new AttemptError(code, { retryable: retryable === true, cause })
  if (name === 'ChartGenerationError') {
    return new ChartGenerationError(message, {
      ...(code === undefined ? {} : { code }),
      ...(retryable === undefined ? {} : { retryable }),
      ...(retryDelay === undefined ? {} : { retryDelay }),
      ...(cause === undefined ? {} : { cause })
    })
  }
  return Object.assign(new Error(message, cause && { cause }), { name, stack, code, retryable })
}
