import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, dirname, extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { readPage, snippetsOf } from './markdown.ts'
import { root } from './root.ts'

/** What a reader of the guide has installed. */
const INSTALLED = [
  'fastify', 'ioredis', 'pino', '@microsoft/fetch-event-source', '@sinclair/typebox', '@opentelemetry', '@types/node', '@types/pg', 'esbuild', 'eventsource-parser', 'openai', 'pg', 'zod',
  ...['compress', 'cookie', 'cors', 'helmet', 'jwt', 'rate-limit', 'session', 'static', 'under-pressure'].map(name => `@fastify/${name}`)
]
/** What the package exports, and from where. */
const EXPORTED = { index: 'index', client: 'client/index', dashboard: 'dashboard/index', otel: 'otel/index' } as const

interface Test {
  teardown (ended: () => unknown): unknown
}

/** A folder such as the guide's reader has: every named snippet a file, the packages installed, this one as it was compiled, its types from the source. */
export async function followGuide (t: Test, page: string): Promise<{ folder: string, files: string[] }> {
  const folder = await mkdtemp(join(tmpdir(), `charts-${basename(page, '.md')}-`))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const write = async (file: string, content: string) => {
    await mkdir(dirname(join(folder, file)), { recursive: true })
    await writeFile(join(folder, file), content)
  }
  await write('package.json', '{ "type": "module" }')
  const exported = (name: string) => ({ types: `./${name}.ts`, default: `./${name}.js` })
  await write('node_modules/fastify-async-charts/package.json', JSON.stringify({
    type: 'module', exports: { '.': exported('index'), './client': exported('client'), './dashboard': exported('dashboard'), './otel': exported('otel') }
  }))
  for (const [name, entry] of Object.entries(EXPORTED)) {
    for (const file of [`dist/lib/${entry}.js`, `lib/${entry}.ts`]) {
      const lib = JSON.stringify(fileURLToPath(new URL(file, root)))
      await write(`node_modules/fastify-async-charts/${name}${extname(file)}`, `export * from ${lib}\n${name === 'index' ? `export { default } from ${lib}\n` : ''}`)
    }
  }
  for (const name of INSTALLED) {
    await mkdir(dirname(join(folder, 'node_modules', name)), { recursive: true })
    await symlink(fileURLToPath(new URL(`node_modules/${name}`, root)), join(folder, 'node_modules', name))
  }
  const files = []
  for (const { name, source } of snippetsOf(readPage(page))) {
    if (name === null) continue
    await write(name, source)
    files.push(name)
  }
  return { folder, files }
}
