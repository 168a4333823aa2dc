// Tables of text and of Markdown, and numbers as they stand in them.
import { median } from './statistics.ts'

export interface Table {
  /** A column whose name is empty, or that is first, is of words; the others are of numbers. */
  readonly head: readonly string[]
  readonly rows: ReadonlyArray<readonly string[]>
}

export function textTable ({ head, rows }: Table): string {
  const lines = [head, ...rows]
  const widths = head.map((_, column) => Math.max(...lines.map(line => line[column]!.length)))
  const pad = (text: string, column: number) => isOfWords(head, column) ? text.padEnd(widths[column]!) : text.padStart(widths[column]!)
  return lines.map(line => line.map(pad).join('  ').trimEnd()).join('\n')
}

export function markdownTable ({ head, rows }: Table): string {
  const rule = head.map((_, column) => isOfWords(head, column) ? '---' : '---:')
  const cells = (line: readonly string[]) => `| ${line.map(text => text.replaceAll('|', '\\|')).join(' | ')} |`
  return [cells(head), `|${rule.join('|')}|`, ...rows.map(cells)].join('\n')
}

function isOfWords (head: readonly string[], column: number): boolean {
  return column === 0 || head[column] === ''
}

/** Whole from 100 on, else with three significant digits at most. */
export function number (value: number): string {
  const size = Math.abs(value)
  if (size >= 100) return Math.round(value).toLocaleString('en')
  return value.toFixed(size >= 10 ? 1 : 2)
}

/** Of two counts that may be none. */
export function ratio (value: number): string {
  return Number.isFinite(value) ? value.toFixed(2) : '–'
}

/** A value that is added to another. */
export function signed (value: number): string {
  const text = number(value)
  return value < 0 ? text.replace('-', '−') : `+${text}`
}

/** The median, and the smallest and largest value where they look different. */
export function spread (values: readonly number[], show: (value: number) => string): string {
  const shown = new Set(values.map(show))
  if (shown.size === 1) return [...shown][0]!
  return `${show(median(values))} (${show(Math.min(...values))} to ${show(Math.max(...values))})`
}
