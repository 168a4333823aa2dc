import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { inspect } from 'node:util'
import { Parser, type Result } from 'tap-parser'

interface Limits {
  /** Files at a time. */
  readonly concurrency: number
  /** ms that one file may take. */
  readonly timeout: number
}

/** Assertions of a file by how they ended. */
interface Counts { readonly pass: number, readonly fail: number, readonly skip: number }

interface Outcome {
  readonly file: string
  /** How its process ended: null is as it should. */
  readonly ending: string | null
  /** As tap counts them at the end of a file; null if the file was ended before. */
  readonly counts: Counts | null
  /** What it wrote, to both stdout and stderr. */
  readonly output: string
}

function countsOf (output: string): Counts | null {
  const summary = /^# \{ total: \d+(.*) \}$/m.exec(output)?.[1]
  if (summary === undefined) return null
  const countOf = (name: string) => Number(new RegExp(`, ${name}: (\\d+)`).exec(summary)?.[1] ?? 0)
  return { pass: countOf('pass'), fail: countOf('fail'), skip: countOf('skip') }
}

const hasPassed = ({ ending, counts }: Outcome) => ending === null && counts?.fail === 0

/** V8 optimizes a function later: few of those that a test calls run for long enough to pay for it, and the optimizer took a fifth of the CPU. */
export const V8_FLAGS = ['--interrupt-budget=600000']

async function runFile (file: string, logPath: string, timeout: number): Promise<Outcome> {
  const log = openSync(logPath, 'w')
  const startedAt = performance.now()
  // A file, not a pipe: nothing here has to read it while tests run, and processes that outlive their test cannot hold it open.
  const child = spawn(process.execPath, [...V8_FLAGS, file], { stdio: ['ignore', log, log], timeout, killSignal: 'SIGKILL' })
  closeSync(log)
  const [code, signal] = await once(child, 'exit')
  const output = readFileSync(logPath, 'utf8')
  const outcome = { file, ending: code === 0 ? null : signal ?? `exit code ${code}`, counts: countsOf(output), output }
  console.log(`${hasPassed(outcome) ? 'ok' : 'FAILED'} ${basename(file, '.js')} ${((performance.now() - startedAt) / 1_000).toFixed(1)} s`)
  return outcome
}

function describe ({ fullname, diag }: Result): string {
  const { diff, stack, at, source, ...more } = diag ?? {}
  const place = at?.fileName ? `at ${at.fileName}:${at.lineNumber}:${at.columnNumber}` : undefined
  const texts = [diff, Object.keys(more).length > 0 ? inspect(more, { depth: 5 }) : undefined, stack?.trimEnd() ?? place]
  return [`  ${fullname.replaceAll(' > ', ' › ')}`, ...texts.filter(text => text !== undefined)].join('\n')
}

/** Prints what has failed in a file, and what it wrote beside its results. */
function explain ({ file, ending, counts, output }: Outcome): void {
  const extra: string[] = []
  const parser = new Parser()
  parser.on('extra', (text: string) => { extra.push(text) })
  parser.on('result', (result: Result) => {
    if (!result.ok && !result.skip && !result.todo) console.log(`\nFAILED ${file}\n${describe(result)}`)
  })
  parser.end(output)
  if (extra.length > 0) console.log(`\nOutput of ${file}:\n${extra.join('')}`)
  if (counts === null) console.log(`\n${file} has not come to its end (${ending ?? 'exit code 0'}). Its last lines:\n${output.split('\n').slice(-20).join('\n')}`)
}

/**
 * Runs test files, which write TAP, each in a process of its own. Prints a line per file as it ends, and at the end what has failed: only then is
 * the TAP parsed, as that takes longer than many tests. Resolves to whether nothing has failed.
 */
export async function runFiles (files: readonly string[], { concurrency, timeout }: Limits): Promise<boolean> {
  const folder = mkdtempSync(join(tmpdir(), 'charts-tests-'))
  const outcomes: Outcome[] = []
  const waiting = files.entries()
  await Promise.all(Array.from({ length: concurrency }, async () => {
    for (const [i, file] of waiting) outcomes.push(await runFile(file, join(folder, `${i}`), timeout))
  }))
  rmSync(folder, { recursive: true })

  const failed = outcomes.filter(outcome => !hasPassed(outcome))
  failed.forEach(explain)
  const sum = (name: keyof Counts) => outcomes.reduce((total, { counts }) => total + (counts?.[name] ?? 0), 0)
  console.log(`\n${sum('pass')} passed, ${Math.max(sum('fail'), failed.length)} failed, ${sum('skip')} skipped`)
  return failed.length === 0
}
