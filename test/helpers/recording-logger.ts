import type { Logger } from '../../lib/index.ts'

export interface LogLine {
  readonly level: 'debug' | 'info' | 'warn' | 'error'
  /** What `child` was given, and what came with the line. */
  readonly details: Record<string, unknown>
  readonly message: string | undefined
}

export interface RecordingLogger extends Logger {
  readonly lines: LogLine[]
  /** The lines with this text. */
  said (text: string | RegExp): LogLine[]
}

/** A logger whose lines a test can read. */
export function recordingLogger (bindings: Record<string, unknown> = {}, lines: LogLine[] = []): RecordingLogger {
  const write = (level: LogLine['level']) => (details: object, message?: string) => {
    lines.push({ level, details: { ...bindings, ...details }, message })
  }
  return {
    lines,
    said: text => lines.filter(({ message }) => typeof text === 'string' ? message === text : text.test(message ?? '')),
    debug: write('debug'),
    info: write('info'),
    warn: write('warn'),
    error: write('error'),
    child: more => recordingLogger({ ...bindings, ...more }, lines)
  }
}
