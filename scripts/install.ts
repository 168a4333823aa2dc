import { spawnSync } from 'node:child_process'
import { findExecutable } from '../test/helpers/executables.ts'

type Program = 'redis' | 'chromium' | 'postgresql'

interface PackageManager {
  readonly command: string
  readonly refresh?: string[]
  readonly install: string[]
  /** Packages that have another name than their program, the first one that can be installed. */
  readonly names: { readonly [program in Program]?: readonly string[] }
}

const PACKAGE_MANAGERS: readonly PackageManager[] = [
  { command: 'apt-get', refresh: ['update'], install: ['install', '-y', '--no-install-recommends'], names: { redis: ['redis-server'], chromium: ['chromium-headless-shell', 'chromium'] } },
  { command: 'apk', install: ['add', '--no-cache'], names: {} },
  { command: 'dnf', install: ['install', '-y'], names: { postgresql: ['postgresql-server'] } },
  { command: 'yum', install: ['install', '-y'], names: { postgresql: ['postgresql-server'] } }
]
const isRoot = process.getuid?.() === 0
// A container or a build machine is there to be filled; a developer's own machine is not ours to change.
const mayInstall = isRoot || Boolean(process.env['CI'])

/** Installs a program that the tests need with the system's package manager, as root or on a build machine; elsewhere does nothing. */
export async function install (program: Program): Promise<void> {
  for (const { command, refresh, install, names } of PACKAGE_MANAGERS) {
    if (!mayInstall || await findExecutable(command) === null) continue
    const run = (args: string[]) => spawnSync(isRoot ? command : 'sudo', isRoot ? args : ['-n', command, ...args], {
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
      stdio: ['ignore', 'ignore', 'pipe'],
      encoding: 'utf8'
    })
    if (refresh) run(refresh)
    for (const name of names[program] ?? [program]) {
      console.log(`Installing ${name} with ${command}, as the tests need it`)
      const { status, stderr } = run([...install, name])
      if (status === 0) return
      console.error(stderr)
    }
    return
  }
}
