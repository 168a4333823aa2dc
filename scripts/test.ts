// Runs the tests, which are tap's: without arguments all of them, and what `npm run check` checks beside them; else the named files.
// `--quick`: those that need neither Redis nor a browser.
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { setFlagsFromString } from 'node:v8'
import { chromiumPath, startBrowser } from '../test/helpers/chromium.ts'
import { postgresPath } from '../test/helpers/postgres.ts'
import { redisServerPath, startRedis } from '../test/helpers/redis.ts'
import { root } from '../test/helpers/root.ts'
import { install } from './install.ts'
import { runFiles, V8_FLAGS } from './run-files.ts'
import { planAll, planNamed } from './test-plan.ts'

/** Test files at a time: more than the two cores of a small machine, because most of them wait for something most of the time. */
const CONCURRENCY = 6
/** ms that one process may take, which runs up to twenty files: a limit for what hangs, also on a machine that is busy otherwise. */
const TIMEOUT = 600_000

const args = process.argv.slice(2)
const isQuick = args.includes('--quick')
const named = args.filter(arg => !arg.startsWith('--'))

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
  spawnSync(process.execPath, ['node_modules/typescript70/bin/tsc', '-p', 'tsconfig.build.json', '--checkers', '1'], { cwd: root, stdio: 'inherit' })
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

// The browser is driven from this process.
V8_FLAGS.forEach(flag => setFlagsFromString(flag))
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
  const files = named.length > 0 ? planNamed(named) : planAll(isQuick)
  const passed = await runFiles(files, { concurrency: CONCURRENCY, timeout: TIMEOUT })
  const ok = await checked() && passed
  process.exitCode = ok ? 0 : 1
}
await Promise.all(shared.map(service => service.stop()))
// A file that its time limit has ended may leave processes that hold its output open, and would keep this one alive.
process.exit()
