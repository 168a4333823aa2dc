// The package of the peers, bench/peers: installed when it is first needed, and never by the `npm ci` of the project.
import { execFileSync } from 'node:child_process'
import { statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'

const folder = new URL('bench/peers/', import.meta.resolve('fastify-async-charts/package.json'))
const require = createRequire(new URL('package.json', folder))

/** Types are the caller's: the compiler does not have the package. */
export function requirePeer (name: string): unknown {
  return require(name)
}

/** What its lock file names exactly. */
export function peerVersions (): Record<string, string> {
  return require('./package.json').dependencies
}

const changedAt = (file: string) => statSync(new URL(file, folder), { throwIfNoEntry: false })?.mtimeMs ?? 0

/** Installs what its lock file names, unless that has been done. */
export function installPeers (): void {
  if (changedAt('node_modules/.package-lock.json') > changedAt('package-lock.json')) return
  console.error('Installing BullMQ and Bee-Queue into bench/peers, once')
  execFileSync('npm', ['ci', '--no-audit', '--no-fund', '--prefix', fileURLToPath(folder)], { stdio: ['ignore', process.stderr, process.stderr] })
}
