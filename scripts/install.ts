import { spawnSync } from 'node:child_process'
import { findExecutable } from '../test/helpers/executables.ts'

const PACKAGE_MANAGERS = [
  { command: 'apt-get', refresh: ['update'], install: ['install', '-y', '--no-install-recommends'], redis: 'redis-server' },
  { command: 'apk', install: ['add', '--no-cache'], redis: 'redis' },
  { command: 'dnf', install: ['install', '-y'], redis: 'redis' },
  { command: 'yum', install: ['install', '-y'], redis: 'redis' }
]
const isRoot = process.getuid?.() === 0
// A container or a build machine is there to be filled; a developer's own machine is not ours to change.
const mayInstall = isRoot || Boolean(process.env['CI'])

/** Installs a program that the tests need with the system's package manager, as root or on a build machine; elsewhere does nothing. */
export async function install (program: 'redis' | 'chromium'): Promise<void> {
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
