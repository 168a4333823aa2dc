import { execFile } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { mkdir, mkdtemp, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { after, before, test } from 'tap'
import { VERSION } from '../../lib/version.ts'
import { root as packageRoot } from '../helpers/root.ts'

const run = promisify(execFile)
const root = fileURLToPath(packageRoot)
const { name, version, dependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))

const MAIN = `
async function main () {
  const app = Fastify()
  await app.register(asyncCharts, {
    store: memoryStore(),
    identify: () => ({ user_id: 'ada' }),
    generate: async (request) => ({ asked: request.adjustment_query })
  })
  const created = await app.inject({
    method: 'POST',
    url: '/api/v1/analytics/charts/async',
    payload: { message_id: 'b4fb1bd1-0f68-4e51-9d3c-3cba7b1e0b8e', adjustment_query: 'as a line chart' }
  })
  const { task_id } = created.json()
  for await (const { status } of app.asyncCharts.watchTask(task_id)) console.log(status)
  const result = await app.inject('/api/v1/analytics/charts/async/' + task_id + '/result')
  console.log(JSON.stringify(result.json().content))
  await app.close()
}
main()
`
const HOSTS = {
  'host.mjs': `import Fastify from 'fastify'\nimport asyncCharts, { memoryStore } from '${name}'\n${MAIN}`,
  'host.cjs': `const Fastify = require('fastify')\nconst { asyncCharts, memoryStore } = require('${name}')\n${MAIN}`,
  'host.mts': `import Fastify from 'fastify'\nimport asyncCharts, { memoryStore } from '${name}'\n${MAIN}`
}

// Outside of the project, whose own node_modules would hide a dependency that is not declared.
let host: string
let packed: string[]

before(async () => {
  host = await mkdtemp(join(tmpdir(), 'charts-host-'))
  // `npm test` has just built; to build again would pull the examples from under the tests that run them.
  if (!existsSync(join(root, 'dist'))) await run('npm', ['run', 'build'], { cwd: root })
  const { stdout } = await run('npm', ['pack', '--ignore-scripts', '--json', '--pack-destination', host], { cwd: root })
  const [{ filename, files }] = JSON.parse(stdout)
  packed = files.map(({ path }: { path: string }) => path)

  const target = join(host, 'node_modules', name)
  await mkdir(target, { recursive: true })
  await run('tar', ['-xzf', join(host, filename), '-C', target, '--strip-components', '1'])
  for (const [file, source] of Object.entries(HOSTS)) await writeFile(join(host, file), source)
  for (const dependency of ['fastify', ...Object.keys(dependencies)]) await link(dependency)
})
after(() => rm(host, { recursive: true, force: true }))

async function link (dependency: string): Promise<void> {
  const path = join(host, 'node_modules', dependency)
  await mkdir(dirname(path), { recursive: true })
  await symlink(join(root, 'node_modules', dependency), path)
}

test('workers say the version that the package has', async (t) => {
  t.equal(VERSION, version)
})

test('the package holds what its users need and nothing else', async (t) => {
  for (const file of ['package.json', 'README.md', 'LICENSE', 'CHANGELOG.md', 'dist/lib/index.js', 'dist/lib/index.d.ts']) {
    t.ok(packed.includes(file), `${file} is there`)
  }
  t.ok(packed.some(file => file.startsWith('docs/')), 'the documents are there')
  t.same(packed.filter(file => !/^(package\.json|README\.md|LICENSE|CHANGELOG\.md|dist\/lib\/.+\.(js|d\.ts)|docs\/.+)$/.test(file)), [])
})

test('declarations do not repeat what is generated', async (t) => {
  const generated = packed.filter(file => file.endsWith('.generated.d.ts'))
  t.equal(generated.length, 2)
  for (const file of generated) t.ok((await stat(join(host, 'node_modules', name, file))).size < 2_000, file)
})

for (const file of ['host.mjs', 'host.cjs']) {
  test(`a new host charts with it: ${file}, without ioredis`, async (t) => {
    const { stdout } = await run(process.execPath, [...process.execArgv, file], { cwd: host })
    const lines = stdout.trim().split('\n')
    t.same(lines.slice(-2), ['COMPLETED', '{"asked":"as a line chart"}'])
  })
}

test('the declarations hold in a strict host that checks them too', async (t) => {
  for (const types of ['ioredis', '@types/node']) await link(types)
  const options = ['--strict', '--exactOptionalPropertyTypes', '--module', 'nodenext', '--target', 'es2023', '--checkers', '1']
  const check = (how: string) => run(process.execPath, [join(root, 'node_modules/typescript70/bin/tsc'), how, ...options, 'host.mts'], { cwd: host })
    .catch(error => error)
  const { stdout: errors } = await check('--noEmit')
  t.same(errors.split('\n').filter((line: string) => /host\.mts|\/fastify-async-charts\//.test(line)), [])
  // Its types need those of `ws`, which come with no dependency.
  const { stdout: files } = await check('--listFilesOnly')
  t.match(files, /\/fastify-async-charts\//)
  t.notMatch(files, /@fastify\/websocket/)
})
