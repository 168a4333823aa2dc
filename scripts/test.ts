// Runs the tests, which are tap's, under Node's own test runner: without arguments all of them, and what `npm run check` checks
// beside them; else the named files. `--quick`: those that need neither Redis nor a browser.
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, join, relative, resolve } from 'node:path'
import { run } from 'node:test'
import { fileURLToPath } from 'node:url'
import { chromiumPath, startBrowser } from '../test/helpers/chromium.ts'
import { postgresPath } from '../test/helpers/postgres.ts'
import { redisServerPath, startRedis } from '../test/helpers/redis.ts'
import { root } from '../test/helpers/root.ts'
import { install } from './install.ts'
import { report } from './report.ts'

/** Test files at a time: one more than the two cores of a small machine, because most of them wait for something most of the time. */
const CONCURRENCY = 4
/** ms that one file may take. */
const TIMEOUT = 300_000
/** What tests that are not quick use: a server, a browser, a process, clients that are generated. */
const NOT_QUICK = /helpers\/(?:chromium|guide|postgres|protocols|redis|type-faults|worker-process)\.js|bench\/|e2e\/|examples-generator|'npm'/
/** Tests that take more than five seconds: they wait for timers, or start threads. */
const SLOW = new Set(['calls', 'chart-store', 'costly-bodies', 'drain', 'faults', 'group-feed', 'group-stream', 'large-answers', 'lease', 'leases', 'prefer', 'slow-readers', 'stream-clients', 'threads', 'threads-alike', 'timeout'])
/** Browsers and what is told apart by its timing come last: the compilers and the linter are done by then. */
const ORDER = ['unit', 'store', 'types', 'docs', 'http', 'client', 'dashboard', 'telemetry', 'properties', 'worker', 'e2e', 'faults']

const dist = fileURLToPath(new URL('dist/', root))
const args = process.argv.slice(2)
const isQuick = args.includes('--quick')
const named = args.filter(arg => !arg.startsWith('--'))

function allFiles (): string[] {
  const rank = (file: string) => ORDER.indexOf(file.split('/')[0]!)
  return readdirSync(join(dist, 'test'), { recursive: true, encoding: 'utf8' })
    .filter(file => file.endsWith('.test.js'))
    .sort((a, b) => rank(a) - rank(b) || a.localeCompare(b))
    .map(file => join(dist, 'test', file))
}

const isQuickFile = (file: string) => !SLOW.has(basename(file, '.test.js')) && !NOT_QUICK.test(file + readFileSync(file, 'utf8'))

/** A few files that run the others: to start a process for each takes longer than most quick tests. */
function grouped (files: readonly string[]): string[] {
  return Array.from({ length: CONCURRENCY }, (_, group) => {
    const path = join(dist, `test/quick-${group + 1}.test.js`)
    const imports = files.filter((_, i) => i % CONCURRENCY === group).map(file => `import './${relative(join(dist, 'test'), file)}'\n`)
    writeFileSync(path, imports.join(''))
    return path
  })
}

/** What is run: each file in a process of its own but for the quick ones. */
function filesToRun (): string[] {
  if (named.length > 0) return named.map(compiled)
  const files = allFiles()
  const groups = grouped(files.filter(isQuickFile))
  return isQuick ? groups : [...groups, ...files.filter(file => !isQuickFile(file))]
}

/** The compiled file of a source that was named from where npm was called. */
function compiled (file: string): string {
  const path = relative(fileURLToPath(root), resolve(process.env['INIT_CWD'] ?? '.', file))
  return join(dist, path.replace(/\.ts$/, '.js'))
}

async function hasRedis (): Promise<boolean> {
  const path = await redisServerPath()
  if (path === null) return false
  const major = /v=(\d+)/.exec(spawnSync(path, ['--version'], { encoding: 'utf8' }).stdout)?.[1]
  return Number(major) >= 7
}

/** What the test files share; they find it in their environment. */
const shared: Array<{ stop (): Promise<unknown> }> = []

/** Starts the Redis of this run, unless the environment names one. False where there is none. */
async function shareRedis (): Promise<boolean> {
  if (process.env['REDIS_URL']) return true
  if (!await hasRedis()) await install('redis')
  if (!await hasRedis()) return false
  const redis = await startRedis()
  shared.push(redis)
  process.env['REDIS_URL'] = redis.url
  return true
}

async function shareBrowser (): Promise<void> {
  if (await chromiumPath() === null) await install('chromium')
  const path = await chromiumPath()
  if (path === null) return console.log('No Chromium: browser tests are skipped')
  const browser = await startBrowser(path)
  shared.push({ stop: () => browser.close() })
  process.env['BROWSER_ENDPOINT'] = browser.wsEndpoint()
}

/** What is checked beside the tests; its output is shown when they are done. Tests of the package find its declarations built. */
function startChecks (): () => Promise<boolean> {
  spawnSync(process.execPath, ['node_modules/typescript70/bin/tsc', '-p', 'tsconfig.build.json'], { cwd: root, stdio: 'inherit' })
  const checks = spawn('npm', ['run', '--silent', 'check:sources'], { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  for (const stream of [checks.stdout, checks.stderr]) stream.setEncoding('utf8').on('data', text => { output += text })
  const exited = once(checks, 'close')
  return async () => {
    const [code] = await exited
    console.log(code === 0 ? 'types, lint and package: ok' : output)
    return code === 0
  }
}

// Tests that hang are ended by their file's time limit; tap's own is for people who wait.
process.env['TAP_TIMEOUT'] = '0'
if (isQuick) process.env['TEST_STORES'] = 'memory'
else if (named.length === 0 || named.some(file => /e2e|docs|client|dashboard/.test(file))) await shareBrowser()
if (!isQuick && (named.length === 0 || named.some(file => file.includes('chart-store'))) && await postgresPath() === null) await install('postgresql')
if (!isQuick && !await shareRedis()) {
  console.error('No Redis for the tests: set REDIS_URL, or put a redis-server or valkey-server of version 7 or later on the PATH')
  process.exitCode = 1
} else {
  const checked = named.length === 0 && !isQuick ? startChecks() : async () => true
  const passed = await report(run({ files: filesToRun(), concurrency: CONCURRENCY, timeout: TIMEOUT }))
  const ok = await checked() && passed
  process.exitCode = ok ? 0 : 1
}
await Promise.all(shared.map(service => service.stop()))
// A file that its time limit has ended may leave processes that hold its output open, and would keep this one alive.
process.exit()
