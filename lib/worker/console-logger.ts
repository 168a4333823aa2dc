import type { Logger } from '../generator.ts'
import { toLogged, toLoggedText } from '../logging.ts'

/** Characters of a line. */
const MAX_LINE = 16_384
/** What a terminal acts on, or shows in another order than it stands: controls, line and paragraph separators, formats, halves of pairs. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu

const escape = (character: string): string => `\\u${character.codePointAt(0)!.toString(16).padStart(4, '0')}`

/** Errors have no enumerable members of their own. */
function toPlain (_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return String(value)
  if (!(value instanceof Error)) return value
  const { name, message, stack, cause, ...others } = value
  return { name, message, stack, ...others, ...(cause === undefined ? {} : { cause }) }
}

/** One line, whatever is logged: nothing in it can begin another one, or reach the terminal as a command. */
function toLine (message: string | undefined, details: object): string {
  const parts = message === undefined ? [] : [toLoggedText(String(message))]
  try {
    const json = JSON.stringify(toLogged(details), toPlain)
    if (json !== '{}') parts.push(json)
  } catch {
    parts.push('(details that cannot be read)')
  }
  const line = parts.join(' ').replace(UNPRINTABLE, escape)
  return line.length > MAX_LINE ? `${line.slice(0, MAX_LINE)}…` : line
}

/** Warnings and errors on the console, a line each: where a worker was given no logger, nobody would learn why charts fail. */
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
