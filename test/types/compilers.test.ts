import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { cp, mkdir, mkdtemp, readFile, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t, { after, before, test } from 'tap'
import { root as packageRoot } from '../helpers/root.ts'

const run = promisify(execFile)
const root = fileURLToPath(packageRoot)
const STRICT = ['--strict', '--exactOptionalPropertyTypes', '--noUncheckedIndexedAccess', '--noPropertyAccessFromIndexSignature', '--noImplicitOverride', '--verbatimModuleSyntax']
const LIBRARIES = ['--skipLibCheck', 'false']
/** For compilers that are JavaScript: V8's optimizer and its collector of garbage have threads, which take a quarter of the CPU and save no time. */
const V8 = ['--interrupt-budget=600000', '--single-threaded-gc', '--min-semi-space-size=64', '--max-semi-space-size=64']
const BUNDLER = ['--module', 'preserve', '--moduleResolution', 'bundler']

/** Each compiler, each way to find modules, with and without the strict flags; test/unit/package.test.ts has one more. The fastest checks the libraries, too. */
const hosts: ReadonlyArray<readonly [compiler: string, flags: readonly string[]]> = [
  ['typescript54', ['--module', 'node16', ...STRICT, '--skipLibCheck']],
  ['typescript59', ['--module', 'nodenext', ...STRICT, '--skipLibCheck']],
  ['typescript', [...BUNDLER, ...STRICT, '--skipLibCheck']],
  ['typescript70', ['--checkers', '1', '--module', 'node16', '--strict', ...LIBRARIES]],
  ['typescript70', ['--checkers', '1', ...BUNDLER, ...STRICT, ...LIBRARIES]]
]

// Compilers take their time where others compute beside them.
t.setTimeout(500_000)

// Outside of the project, as it is installed: found by its name, with what it declares and nothing else.
let host: string

before(async () => {
  if (!existsSync(join(root, 'dist/lib/index.d.ts'))) await run('npm', ['run', 'build'], { cwd: root })
  const { name, dependencies, peerDependencies } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'))
  host = await mkdtemp(join(tmpdir(), 'charts-types-'))
  const installed = join(host, 'node_modules', name)
  await mkdir(installed, { recursive: true })
  await cp(join(root, 'package.json'), join(installed, 'package.json'))
  await cp(join(root, 'dist/lib'), join(installed, 'dist/lib'), { recursive: true, filter: path => !path.endsWith('.js') })
  for (const dependency of [...Object.keys({ ...dependencies, ...peerDependencies }), '@types/node', '@types/ws']) {
    const path = join(host, 'node_modules', dependency)
    await mkdir(dirname(path), { recursive: true })
    await symlink(join(root, 'node_modules', dependency), path)
  }
  for (const file of ['host.mts', 'client.mts', 'telemetry.mts']) await cp(join(root, 'test/types', file), join(host, file))
})
after(() => rm(host, { recursive: true, force: true }))

test('what hosts write compiles', { jobs: 2, timeout: 480_000 }, t => {
  for (const [compiler, flags] of hosts) {
    t.test(`${compiler} ${flags.join(' ')}`, { buffered: true, timeout: 480_000 }, async t => {
      const tsc = join(root, 'node_modules', compiler, 'bin/tsc')
      const args = [...V8, tsc, '--noEmit', '--target', 'es2022', '--lib', 'es2022', '--types', 'node', ...flags, 'host.mts', 'client.mts', 'telemetry.mts']
      const { stdout } = await run(process.execPath, args, { cwd: host }).catch(error => error)
      t.equal(stdout, '')
    })
  }
  t.end()
})

test('what pages write compiles, with the types of browsers and none of Node or Fastify', async t => {
  // Nothing but what the client declares: a page has no Fastify.
  const page = await mkdtemp(join(tmpdir(), 'charts-page-types-'))
  t.teardown(() => rm(page, { recursive: true, force: true }))
  const { name } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'))
  await cp(join(host, 'node_modules', name), join(page, 'node_modules', name), { recursive: true })
  await mkdir(join(page, 'node_modules/@sinclair'))
  await symlink(join(root, 'node_modules/@sinclair/typebox'), join(page, 'node_modules/@sinclair/typebox'))
  await cp(join(root, 'test/types/client.mts'), join(page, 'client.mts'))
  for (const [compiler, flags] of [['typescript54', ['--skipLibCheck']], ['typescript70', ['--checkers', '1', ...LIBRARIES]]] as const) {
    const tsc = join(root, 'node_modules', compiler, 'bin/tsc')
    const args = [...V8, tsc, '--noEmit', '--target', 'es2022', '--lib', 'es2022,dom,dom.iterable,dom.asynciterable', ...BUNDLER, ...STRICT, ...flags, 'client.mts']
    const { stdout } = await run(process.execPath, args, { cwd: page }).catch(error => error)
    t.equal(stdout, '', compiler)
  }
})
