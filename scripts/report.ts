import { basename } from 'node:path'
import type { run } from 'node:test'

type Events = ReturnType<typeof run>

interface Failure {
  readonly file: string
  /** Names of the tests around it, the outermost first. */
  readonly path: readonly string[]
  readonly text: string
}

/** Of what Node's runner has wrapped, what the test itself has said. */
function textOf (error: Error): string {
  const { cause } = error
  if (cause instanceof Error) return cause.stack ?? cause.message
  return String(cause ?? error.message)
}

/** Only says that a test inside has failed, which has been told already. */
const isEcho = (error: { failureType?: string }, text: string) => error.failureType === 'subtestsFailed' || /^\d+ subtests? failed$/.test(text)

/** Prints a line per file as it ends, and at the end what has failed. Resolves to whether nothing has. */
export async function report (events: Events): Promise<boolean> {
  const failures: Failure[] = []
  const output = new Map<string, string[]>()
  const broken = new Set<string>()
  const path: string[] = []
  let passed = 0
  let skipped = 0
  for await (const { type, data } of events) {
    switch (type) {
      case 'test:start':
        path.splice(data.nesting, Infinity, data.name)
        break
      case 'test:stdout': case 'test:stderr':
        output.set(data.file!, [...output.get(data.file!) ?? [], data.message])
        break
      case 'test:pass':
        if (data.skip !== undefined) skipped++
        else passed++
        break
      case 'test:fail': {
        const { error } = data.details
        const text = textOf(error)
        if (!isEcho(error as { failureType?: string }, text)) failures.push({ file: data.file ?? '', path: [...path.slice(0, data.nesting), data.name], text })
        break
      }
      case 'test:complete': {
        // A file is a test without a name of its own.
        if (data.name !== data.file) break
        const { passed, duration_ms } = data.details as { passed: boolean, duration_ms: number }
        if (!passed) broken.add(data.file!)
        console.log(`${passed ? 'ok' : 'FAILED'} ${basename(data.file!, '.js')} ${(duration_ms / 1_000).toFixed(1)} s`)
      }
    }
  }
  for (const { file, path, text } of failures) console.log(`\nFAILED ${file}\n  ${path.join(' › ')}\n${text}`)
  for (const file of broken) console.log(`\nOutput of ${file}:\n${output.get(file)?.join('') ?? '(none)'}`)
  const failed = Math.max(failures.length, broken.size)
  console.log(`\n${passed} passed, ${failed} failed, ${skipped} skipped`)
  return failed === 0
}
