import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { errors, failures } from '../../lib/errors.ts'
import { ChartQueueService } from '../../lib/index.ts'
import { followGuide } from '../helpers/guide.ts'
import { readPage, snippetsOf } from '../helpers/markdown.ts'
import { typeFaults } from '../helpers/type-faults.ts'

const PAGE = 'docs/reference/service.md'
const page = readPage(PAGE)
const entries = [...page.matchAll(/^#### (\w+)\n\n```ts\n([^]*?)\n```$/gm)].map(([, name, signature]) => ({ name: name!, signature: signature! }))

const TYPES = [
  'BatchedChartRequest', 'BulkFilter', 'BulkResult', 'Chart', 'ChartRequest', 'ChartStatus', 'ChartTask', 'ChartWorker', 'CreateChartRequest', 'EnqueueBatchResult', 'EnqueueResult',
  'Identity', 'JsonValue', 'ProgressUpdate', 'QueueFailures', 'QueueHistory', 'QueueStats', 'RunWorkerOptions', 'TaskDetails', 'TaskPage', 'TaskStore', 'TraceContext', 'WorkerList'
]

/** Every method of the class and of what it extends. */
function methodsOf (of: { readonly prototype: object }): string[] {
  const names = new Set<string>()
  for (let prototype = of.prototype; prototype !== Object.prototype; prototype = Object.getPrototypeOf(prototype)) {
    for (const name of Object.getOwnPropertyNames(prototype)) if (name !== 'constructor') names.add(name)
  }
  return [...names].sort()
}

t.test('every public method of the service has an entry, and no entry names what is not there', async t => {
  t.same(entries.map(({ name }) => name).sort(), methodsOf(ChartQueueService))
  t.same([...page.matchAll(/^#### (.+)$/gm)].map(([, heading]) => heading), entries.map(({ name }) => name), 'each has its signature')
  for (const { name, signature } of entries) t.ok(signature.startsWith(`${name}(`), name)
})

t.test('the signatures are those of the package, and the examples hold against its types', async t => {
  const { folder, files } = await followGuide(t, PAGE)
  const ofFunction = (name: string) => snippetsOf(page).find(({ language, source }) => language === 'ts' && source.startsWith(`${name}(`))!.source
  // What the package has fits the page, and what the page says is returned fits the package.
  await writeFile(join(folder, 'signatures.ts'), `
    import { ChartQueueService, memoryStore, runWorker } from 'fastify-async-charts'
    import type { ${TYPES.join(', ')} } from 'fastify-async-charts'
    interface Service {
      ${entries.map(({ signature }) => signature).join('\n')}
    }
    declare const service: ChartQueueService
    export const documented: Service = service
    export const returned: { [K in keyof Service]: ReturnType<Service[K]> extends ReturnType<ChartQueueService[K]> ? true : K } = {
      ${entries.map(({ name }) => `${name}: true`).join(', ')}
    }
    export const functions: { ${ofFunction('memoryStore')} ${ofFunction('runWorker')} } = { memoryStore, runWorker }
  `)
  t.same(await typeFaults(folder, ['signatures.ts', ...files], { allowJs: true, checkJs: true, useUnknownInCatchVariables: false }), [])
})

t.test('the examples run as they stand', async t => {
  const { folder } = await followGuide(t, PAGE)
  const run = async (file: string) => (await promisify(execFile)(process.execPath, [...process.execArgv, file], { cwd: folder })).stdout
  t.match(await run('hand-made-worker.js'), /^COMPLETED \{[^]*content: \{ asked: null \}/)
  t.match(await run('watch.js'), /PROCESSING[^]*COMPLETED 100[^]*content: \{ asked: null \}/)
})

t.test('it names only errors that exist', async t => {
  for (const [code] of page.matchAll(/CHARTS_ERR_[A-Z_]+/g)) t.ok(code in errors || code in failures, code)
})
