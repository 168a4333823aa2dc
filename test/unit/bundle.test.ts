import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { build, type Format } from 'esbuild'
import { EventSource } from 'eventsource'
import { Redis } from 'ioredis'
import t from 'tap'
import { WebSocket } from 'ws'
import { root } from '../helpers/root.ts'
import { redisUrl, removeKeys, uniquePrefix } from '../helpers/redis.ts'

t.setTimeout(500_000)

// Without types of its own.
const ncc = createRequire(import.meta.url)('@vercel/ncc')

const HOST = `
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import Fastify from 'fastify'
import { Redis } from 'ioredis'
import asyncCharts, { memoryStore, runWorker } from 'fastify-async-charts'
import { asyncChartsDashboard } from 'fastify-async-charts/dashboard'

async function main () {
  const { REDIS_URL, KEY_PREFIX } = process.env
  const generate = pathToFileURL(join(dirname(process.argv[1]), 'generate.js'))
  const redis = REDIS_URL && new Redis(REDIS_URL)
  const queue = redis ? { redis, keyPrefix: KEY_PREFIX } : { store: memoryStore() }
  const app = Fastify()
  let worker
  process.once('SIGTERM', () => stop())
  const stop = async () => {
    await worker?.stop()
    await app.close()
    redis?.disconnect()
  }
  try {
    await app.register(asyncCharts, { ...queue, identify: () => ({ user_id: 'ada' }), authorize: () => true, ...(!redis && { generate }) })
    await app.register(asyncChartsDashboard)
    if (redis) worker = await runWorker({ ...queue, generate, handleSignals: false })
    console.log(await app.listen({ port: 0, host: '127.0.0.1' }))
  } catch (error) {
    console.log(error.message)
    await stop()
  }
}
main()
`
const GENERATE = `
import { isMainThread } from 'node:worker_threads'
export default async (request, { step }) => ({ asked: request.adjustment_query, isMainThread, step: await step('once', () => 1) })
`
/** What CommonJS modules find, for those of them that are part of an ES module. */
const BANNER = `
import { createRequire as createRequire_ } from 'node:module'
import { dirname as dirname_ } from 'node:path'
import { fileURLToPath as fileURLToPath_ } from 'node:url'
const require = createRequire_(import.meta.url)
const __filename = fileURLToPath_(import.meta.url)
const __dirname = dirname_(__filename)
`

interface Test {
  readonly name: string
  teardown (ended: () => unknown): unknown
}

const path = (name: string) => fileURLToPath(new URL(name, root))

async function folderOf (t: Test): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'charts-bundle-'))
  t.teardown(() => rm(folder, { recursive: true }))
  return folder
}

/** A host's own folder, with the package as it is built. */
async function writeHost (t: Test, type: string): Promise<string> {
  if (!existsSync(path('dist/lib/worker/thread-main.js'))) await promisify(execFile)('npm', ['run', 'build'], { cwd: path('.') })
  const folder = await folderOf(t)
  await mkdir(join(folder, 'node_modules'))
  for (const name of ['fastify', 'ioredis', 'piscina']) await symlink(path(`node_modules/${name}`), join(folder, 'node_modules', name))
  await symlink(path('.'), join(folder, 'node_modules/fastify-async-charts'))
  await writeFile(join(folder, 'server.js'), HOST)
  await writeFile(join(folder, 'generate.js'), GENERATE)
  await writeFile(join(folder, 'package.json'), JSON.stringify(type === 'module' ? { type } : {}))
  return folder
}

/** As docs/guides/threads.md says; the bundle has no node_modules. */
async function bundle (t: Test, format: Format): Promise<string> {
  const outdir = await folderOf(t)
  await build({
    absWorkingDir: await writeHost(t, 'module'),
    entryPoints: { server: 'server.js', generate: 'generate.js', 'thread-main': 'fastify-async-charts/thread', worker: './node_modules/piscina/dist/worker.js' },
    bundle: true,
    platform: 'node',
    format,
    external: ['@napi-rs/nice'],
    outdir,
    logLevel: 'error',
    ...(format === 'esm' && { banner: { js: BANNER } })
  })
  await writeFile(join(outdir, 'package.json'), JSON.stringify({ type: format === 'esm' ? 'module' : 'commonjs' }))
  return outdir
}

/** Runs a bundled host; its first line says where it listens, or why not. */
async function run (t: Test, folder: string, env: Record<string, string> = {}, args: readonly string[] = []) {
  const { REDIS_URL: _, ...inherited } = process.env
  const child = spawn(process.execPath, [...process.execArgv, ...args, join(folder, 'server.js')], { env: { ...inherited, ...env }, stdio: ['ignore', 'pipe', 'inherit'] })
  const exited = once(child, 'exit')
  t.teardown(async () => {
    child.kill('SIGKILL')
    await exited
  })
  const [line] = await Promise.race([once(createInterface({ input: child.stdout }), 'line'), exited.then(([code]) => { throw new Error(`ended with ${code}`) })])
  const stop = async () => {
    child.kill('SIGTERM')
    return exited
  }
  return { line: line as string, stop }
}

/** The dashboard, and what its page loads. */
async function dashboard (origin: string): Promise<number[]> {
  const page = await (await fetch(`${origin}/charts-dashboard/`)).text()
  const assets = [...page.matchAll(/"\.\/(assets\/[^"]+)"/g)].map(([, path]) => path!)
  return Promise.all(assets.map(async path => (await fetch(`${origin}/charts-dashboard/${path}`)).status))
}

/** One chart, and both of its streams. */
async function chart (origin: string) {
  const base = `${origin}/api/v1/analytics/charts`
  const body = JSON.stringify({ message_id: crypto.randomUUID(), adjustment_query: 'as a line chart' })
  const { task_id } = await (await fetch(`${base}/async`, { method: 'POST', headers: { 'content-type': 'application/json' }, body })).json() as { task_id: string }
  const done = (task: { status: string }) => task.status === 'COMPLETED'
  const source = new EventSource(`${base}/stream/${task_id}`)
  const socket = new WebSocket(`${base.replace('http', 'ws')}/ws/${task_id}`)
  await Promise.all([
    new Promise<void>(resolve => { source.onmessage = ({ data }) => done(JSON.parse(data).data) && resolve() }),
    new Promise<void>(resolve => socket.on('message', data => done(JSON.parse(String(data))) && resolve()))
  ])
  source.close()
  socket.terminate()
  return (await (await fetch(`${base}/async/${task_id}/result`)).json() as { content: object }).content
}

const expected = { asked: 'as a line chart', isMainThread: false, step: 1 }

for (const format of ['cjs', 'esm'] as const) {
  t.test(`bundled by esbuild to ${format}: routes, both streams, threads, and an end`, async t => {
    const folder = await bundle(t, format)
    const keyPrefix = uniquePrefix(t)
    const redis = new Redis(await redisUrl())
    t.teardown(async () => {
      await removeKeys(redis, keyPrefix)
      redis.disconnect()
    })
    for (const env of [{}, { REDIS_URL: await redisUrl(), KEY_PREFIX: keyPrefix }]) {
      const host = await run(t, folder, env)
      t.match(host.line, /^http:/)
      t.strictSame(await chart(host.line), expected)
      t.strictSame(await dashboard(host.line), [200, 200, 200, 200])
      t.strictSame(await host.stop(), [0, null])
    }

    const noWorker = /generator threads cannot start, as piscina does not find its worker\.js: .*threads\.md/
    for (const [missing, args, message] of [
      ['worker.js', [], noWorker],
      // As hosts with OpenTelemetry are started. Threads then load their file as an ES module, which fails with another error.
      ['worker.js', ['--import', 'data:text/javascript,'], noWorker],
      ['thread-main.js', [], /the file in which generator threads start was not found: file:.*thread-main\.js.*threads\.md/]
    ] as const) {
      await rm(join(folder, missing), { force: true })
      const { line } = await run(t, folder, {}, args)
      t.match(line, message, 'what is missing is named')
      t.notMatch(line, /options\.generate/, 'the generator is not to blame')
    }
  })
}

t.test('bundled by ncc to CommonJS, with piscina installed', async t => {
  const source = await writeHost(t, 'commonjs')
  const folder = await folderOf(t)
  // ncc takes the settings of TypeScript from where it is called: not ours.
  const back = process.cwd()
  process.chdir(source)
  t.teardown(() => process.chdir(back))
  const entries = { 'server.js': 'server.js', 'generate.js': 'generate.js', 'thread-main.mjs': 'node_modules/fastify-async-charts/dist/lib/worker/thread-main.js' }
  for (const [name, entry] of Object.entries(entries)) {
    const { code, assets } = await ncc(join(source, entry), { cache: false, quiet: true, externals: ['piscina'] })
    await writeFile(join(folder, name), code)
    for (const [asset, { source }] of Object.entries<{ source: string | Buffer }>(assets)) {
      await mkdir(dirname(join(folder, asset)), { recursive: true })
      await writeFile(join(folder, asset), source)
    }
  }
  await writeFile(join(folder, 'package.json'), JSON.stringify({ type: 'commonjs' }))
  await mkdir(join(folder, 'node_modules'))
  await symlink(path('node_modules/piscina'), join(folder, 'node_modules/piscina'))
  const host = await run(t, folder)
  t.match(host.line, /^http:/)
  t.strictSame(await chart(host.line), expected)
  t.strictSame(await dashboard(host.line), [200, 200, 200, 200])
  t.strictSame(await host.stop(), [0, null])
})
