import { execFile, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chown, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { findExecutable } from './executables.ts'
import { freePort } from './ports.ts'
import { readUntil } from './read-until.ts'

/** Where Debian has what it does not put on the PATH. */
const VERSIONS = '/usr/lib/postgresql'

export interface PostgresServer {
  readonly url: string
  /** Ends it for good, its data too. */
  stop (): Promise<void>
}

/** Who runs the server: it refuses root. */
interface Account { readonly uid?: number, readonly gid?: number }

/** The folder of `initdb` and `postgres`, or null: tests that need the server are skipped. */
export async function postgresPath (): Promise<string | null> {
  const onPath = await findExecutable('initdb')
  if (onPath !== null && await findExecutable('postgres') !== null) return join(onPath, '..')
  const versions = await readdir(VERSIONS).catch(() => [])
  const [latest] = versions.sort((a, b) => Number(b) - Number(a))
  return latest === undefined ? null : join(VERSIONS, latest, 'bin')
}

function accountOf (): Account {
  if (process.getuid?.() !== 0) return {}
  for (const name of ['postgres', 'nobody']) {
    try {
      const [uid, gid] = ['-u', '-g'].map(option => Number(execFileSync('id', [option, name], { stdio: ['ignore', 'pipe', 'ignore'] })))
      return { uid: uid!, gid: gid! }
    } catch {}
  }
  throw new Error('PostgreSQL does not run as root, and there is no user to run it as')
}

/** A server of the test's own, on a free port, without a password. */
export async function startPostgres (): Promise<PostgresServer> {
  const bin = (await postgresPath())!
  const account = accountOf()
  const folder = await mkdtemp(join(tmpdir(), 'charts-postgres-'))
  if (account.uid !== undefined) await chown(folder, account.uid, account.gid!)
  const data = join(folder, 'data')
  const options = { ...account, cwd: folder, env: { PATH: process.env['PATH'], LC_ALL: 'C' } }
  await promisify(execFile)(join(bin, 'initdb'), ['-D', data, '-U', 'charts', '-A', 'trust', '-E', 'UTF8', '--no-sync'], options)
  const port = await freePort()
  const server = spawn(join(bin, 'postgres'), [
    '-D', data, '-p', `${port}`, '-c', 'listen_addresses=127.0.0.1', '-c', 'unix_socket_directories=', '-c', 'fsync=off'
  ], { ...options, stdio: ['ignore', 'ignore', 'pipe'] })
  // Its pipe closes whatever happens to this process: no server outlives its test. SIGQUIT ends it at once, with its children.
  const guard = spawn('sh', ['-c', 'trap "" INT TERM HUP; read -r _; kill -QUIT "$0"; sleep 1; rm -rf "$1"', `${server.pid}`, folder], { stdio: ['pipe', 'ignore', 'ignore'] })
  const exited = once(server, 'exit')
  const stop = async () => {
    guard.kill('SIGKILL')
    server.kill('SIGQUIT')
    await exited
    await rm(folder, { recursive: true, force: true })
  }
  const log = await readUntil(server.stderr, 'ready to accept connections')
  if (log === null) return { url: `postgres://charts@127.0.0.1:${port}/postgres`, stop }
  await stop()
  throw new Error(`PostgreSQL has not started:\n${log}`)
}
