import type { Logger } from './generator.ts'

/** Characters that are logged of a text: what a generator throws may hold the answer of a whole model. */
const MAX_TEXT = 2_048
/** Those of a stack: its message, and where it came from. */
const MAX_STACK = 2 * MAX_TEXT
/** Members of a list or an object, and levels of both and of causes, that are logged. */
const MAX_MEMBERS = 50
const MAX_LEVELS = 4

const shortened = (text: string, most: number): string =>
  text.length > most ? `${text.slice(0, most).toWellFormed()}… (${text.length} characters)` : text

/** A text as it is logged. */
export const toLoggedText = (text: string): string => shortened(text, MAX_TEXT)

/** A stack as it is logged. It begins with the message: cut there, where the error came from is still shown. */
export const toLoggedStack = (stack: string, message: string): string => shortened(stack.replace(message, toLoggedText), MAX_STACK)

/** Whether a line of a level would go anywhere; a logger that does not say gets them all. */
export const isLogged = (logger: Logger, level: 'debug' | 'info' | 'warn' | 'error'): boolean => logger.isLevelEnabled?.(level) ?? true

/** What is logged of an error, or of anything else that was thrown: of the same class, its texts cut, its causes too. */
export function toLogged (thrown: unknown): unknown {
  try {
    return bounded(thrown, 0)
  } catch {
    return new Error('what was thrown cannot be read')
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

/** Of the class of the error, so that the host's serializers know it. */
function boundedError (error: Error, level: number): Error {
  const message = toLoggedText(String(error.message))
  const stack = toLoggedStack(String(error.stack), String(error.message))
  const copy = Object.assign(Object.create(Object.getPrototypeOf(error)), boundedMembers(error, level))
  const hidden = { message, stack, ...('cause' in error ? { cause: bounded(error.cause, level + 1) } : {}), ...('errors' in error ? { errors: bounded(error.errors, level + 1) } : {}) }
  for (const [name, value] of Object.entries(hidden)) Object.defineProperty(copy, name, { value, enumerable: false, writable: true, configurable: true })
  return copy
}
