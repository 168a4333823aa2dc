// Puts the tables of a run into docs/reference/performance.md.
import { readFileSync, writeFileSync } from 'node:fs'
import { summaryOf, tableOf } from './report.ts'
import type { Run } from './results.ts'
import { markdownTable } from './tables.ts'

const PAGE = new URL('docs/reference/performance.md', import.meta.resolve('fastify-async-charts/package.json'))

export function writePage (run: Run): void {
  writeFileSync(PAGE, replaceSection(readFileSync(PAGE, 'utf8'), run.kind, `${summaryOf(run)}\n\n${markdownTable(tableOf(run))}`))
}

/** What stands between `<!-- measured: name -->` and the next `<!-- end -->`. */
export function replaceSection (page: string, name: string, content: string): string {
  const begin = `<!-- measured: ${name} -->`
  const from = page.indexOf(begin)
  const to = page.indexOf('<!-- end -->', from)
  if (from < 0 || to < 0) throw new Error(`The page has no place for ${name}: ${begin} and <!-- end -->`)
  return `${page.slice(0, from)}${begin}\n${content}\n${page.slice(to)}`
}
