// Runs tap with what its tests need: one Redis for the whole run, and a browser where there can be one.
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chromiumPath } from '../test/helpers/chromium.ts'
import { findExecutable } from '../test/helpers/executables.ts'
import { redisServerPath, startRedis } from '../test/helpers/redis.ts'

const PACKAGE_MANAGERS = [
  { command: 'apt-get', refresh: ['update'], install: ['install', '-y', '--no-install-recommends'], redis: 'redis-server' },
  { command: 'apk', install: ['add', '--no-cache'], redis: 'redis' },
  { command: 'dnf', install: ['install', '-y'], redis: 'redis' },
  { command: 'yum', install: ['install', '-y'], redis: 'redis' }
]
const isRoot = process.getuid?.() === 0
// A container or a build machine is there to be filled; a developer's own machine is not ours to change.
const mayInstall = isRoot || Boolean(process.env['CI'])

async function install (program: 'redis' | 'chromium'): Promise<void> {
  for (const { command, refresh, install, redis } of PACKAGE_MANAGERS) {
    if (!mayInstall || await findExecutable(command) === null) continue
    const name = program === 'redis' ? redis : program
    console.log(`Installing ${name} with ${command}, as the tests need it`)
    const run = (args: string[]) => spawnSync(isRoot ? command : 'sudo', isRoot ? args : ['-n', command, ...args], {
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
      stdio: ['ignore', 'ignore', 'pipe'],
      encoding: 'utf8'
    })
    if (refresh) run(refresh)
    const { status, stderr } = run([...install, name])
    if (status !== 0) console.error(stderr)
    return
  }
}

async function hasRedis (): Promise<boolean> {
  const path = await redisServerPath()
  if (path === null) return false
  const major = /v=(\d+)/.exec(spawnSync(path, ['--version'], { encoding: 'utf8' }).stdout)?.[1]
  return Number(major) >= 7
}

if (await chromiumPath() === null) await install('chromium')
if (await chromiumPath() === null) console.log('No Chromium: browser tests are skipped')

const isHosted = Boolean(process.env['REDIS_URL'])
if (!isHosted && !await hasRedis()) await install('redis')

if (!isHosted && !await hasRedis()) {
  console.error('No Redis for the tests: set REDIS_URL, or put a redis-server or valkey-server of version 7 or later on the PATH')
  process.exitCode = 1
} else {
  const redis = isHosted ? null : await startRedis()
  const env = redis === null ? process.env : { ...process.env, REDIS_URL: redis.url }
  const tap = spawn('tap', process.argv.slice(2), { env, stdio: ['ignore', 'inherit', 'inherit'], detached: true })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    // The whole group, as a terminal does it: tap alone would wait for its tests to end.
    process.on(signal, () => process.kill(-tap.pid!, signal))
  }
  const [code] = await once(tap, 'exit')
  await redis?.stop()
  process.exitCode = code ?? 1
}
