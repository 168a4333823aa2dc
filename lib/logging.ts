import type { Logger } from './generator.ts'

/** Maximum characters of a logged text. An error of a generator may contain the whole response of a model. */
const MAX_TEXT = 2_048
/** Maximum characters of a logged stack, which has the message and where the error was thrown. */
const MAX_STACK = 2 * MAX_TEXT
/** Maximum members of a logged list or object, and maximum levels of members and causes. */
const MAX_MEMBERS = 50
const MAX_LEVELS = 4

const truncate = (text: string, maxLength: number): string =>
  text.length > maxLength ? `${text.slice(0, maxLength).toWellFormed()}… (${text.length} characters)` : text

/** Truncates a text for the log. */
export const toLoggedText = (text: string): string => truncate(text, MAX_TEXT)

/** Truncates a stack for the log. The message in it is truncated first, so that the frames behind it remain. */
export const toLoggedStack = (stack: string, message: string): string => truncate(stack.replace(message, toLoggedText), MAX_STACK)

/** Whether lines of a level are written. True if the logger does not tell. */
export const isLogged = (logger: Logger, level: 'debug' | 'info' | 'warn' | 'error'): boolean => logger.isLevelEnabled?.(level) ?? true

/** A copy of a thrown value for the log: an error stays of its class, and all texts and causes are truncated. */
export function toLogged (thrown: unknown): unknown {
  try {
    return bounded(thrown, 0)
  } catch {
    return new Error('the thrown value cannot be read')
  }
}

function bounded (value: unknown, level: number): unknown {
  if (typeof value === 'string') return toLoggedText(value)
  if (typeof value === 'function' || typeof value === 'symbol') return toLoggedText(String(value))
  if (typeof value !== 'object' || value === null) return value
  if (level > MAX_LEVELS) return '…'
  if (value instanceof Error) return boundedError(value, level)
  if (Array.isArray(value)) return value.slice(0, MAX_MEMBERS).map(member => bounded(member, level + 1))
  return boundedMembers(value, level)
}

function boundedMembers (value: object, level: number): Record<string, unknown> {
  const members = Object.entries(value).slice(0, MAX_MEMBERS)
  return Object.fromEntries(members.map(([key, member]) => [toLoggedText(key), bounded(member, level + 1)]))
}

/** Keeps the class of the error, so that the host's serializers recognise it. */
function boundedError (error: Error, level: number): Error {
  const message = toLoggedText(String(error.message))
  const stack = toLoggedStack(String(error.stack), String(error.message))
  const copy = Object.assign(Object.create(Object.getPrototypeOf(error)), boundedMembers(error, level))
  const hidden = { message, stack, ...('cause' in error ? { cause: bounded(error.cause, level + 1) } : {}), ...('errors' in error ? { errors: bounded(error.errors, level + 1) } : {}) }
  for (const [name, value] of Object.entries(hidden)) Object.defineProperty(copy, name, { value, enumerable: false, writable: true, configurable: true })
  return copy
}
