import { ChartGenerationError, failures, type FailureCode } from '../errors.ts'
import { toLoggedStack, toLoggedText } from '../logging.ts'
import { AttemptError } from '../service/outcome.ts'

/** An error as plain data: a thread cannot send the class of an error. */
export interface ThreadError {
  readonly name: string
  readonly message: string
  readonly stack: string | undefined
  readonly code: string | undefined
  readonly retryable: boolean | undefined
  readonly retryDelay: number | undefined
  readonly cause: ThreadError | undefined
}

/** An error as plain data, with its cause but not the cause of that. */
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

/** The error from its plain data. It has its original class if that decides how the attempt fails. */
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
