import type { Logger } from '../generator.ts'
import { toLogged, toLoggedText } from '../logging.ts'

/** Maximum number of characters of a line. */
const MAX_LINE_LENGTH = 16_384
/** Characters that end a line or that a terminal interprets: controls, line and paragraph separators, formats (also of direction), lone surrogates. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu

const escape = (character: string): string => `\\u${character.codePointAt(0)!.toString(16).padStart(4, '0')}`

/** A replacer for `JSON.stringify`, which would write an error as `{}`. */
function toPlain (_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return String(value)
  if (!(value instanceof Error)) return value
  const { name, message, stack, cause, ...others } = value
  return { name, message, stack, ...others, ...(cause === undefined ? {} : { cause }) }
}

/** What is logged, on one line. Nothing in it can start another line, or reach the terminal as a command. */
function toLine (message: string | undefined, details: object): string {
  const parts = message === undefined ? [] : [toLoggedText(String(message))]
  try {
    const json = JSON.stringify(toLogged(details), toPlain)
    if (json !== '{}') parts.push(json)
  } catch {
    parts.push('(unreadable details)')
  }
  const line = parts.join(' ').replace(UNPRINTABLE, escape)
  return line.length > MAX_LINE_LENGTH ? `${line.slice(0, MAX_LINE_LENGTH)}…` : line
}

/** The default logger of a worker: writes warnings and errors to the console, each on one line, so that failures of charts are seen. */
export function consoleLogger (bindings: Record<string, unknown> = {}): Logger {
  const write = (level: 'warn' | 'error') => (details: object, message?: string) => {
    console[level](toLine(message, { ...bindings, ...(details instanceof Error ? { err: details } : details) }))
  }
  return {
    debug () {},
    info () {},
    warn: write('warn'),
    error: write('error'),
    isLevelEnabled: level => level === 'warn' || level === 'error',
    child: more => consoleLogger({ ...bindings, ...more })
  }
}
