import type { Logger } from '../generator.ts'

/** Warnings and errors on the console: where a worker was given no logger, nobody would learn why charts fail. */
export function consoleLogger (bindings?: Record<string, unknown>): Logger {
  const write = (level: 'warn' | 'error') => (details: object, message?: string) => {
    console[level](...[message, bindings, details].filter(part => part !== undefined))
  }
  return {
    debug () {},
    info () {},
    warn: write('warn'),
    error: write('error'),
    child: more => consoleLogger({ ...bindings, ...more })
  }
}
