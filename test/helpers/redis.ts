import { spawn, type ChildProcess } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import type { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Cluster, Redis } from 'ioredis'
import { findExecutable } from './executables.ts'
import { freePort } from './ports.ts'
import { readUntil } from './read-until.ts'

const HOST = '127.0.0.1'

export interface RedisOptions {
  /** More arguments of redis-server: `['--appendonly', 'yes']`. */
  readonly config?: readonly string[]
  readonly port?: number
}

export interface RedisServer {
  readonly url: string
  readonly port: number
  readonly pid: number
  /** Ends it for good, its data too. */
  stop (): Promise<void>
  /** Ends it as a crash would; `restart()` brings it back. */
  kill (): Promise<void>
  /** From now on it accepts connections and answers nothing. */
  pause (): void
  resume (): void
  /** The same port and folder: what is in its append-only file is there again. */
  restart (): Promise<void>
}

export interface RedisCluster {
  readonly nodes: { host: string, port: number }[]
  readonly servers: RedisServer[]
  stop (): Promise<void>
}

/** Null: tests that need a server of their own are skipped. */
export function redisServerPath (): Promise<string | null> {
  return findExecutable('redis-server', 'valkey-server')
}

let shared: Promise<RedisServer> | undefined

/** What a host may have set for its own commands, and what must not reach ours. ioredis 5 does not know `replyMapping`. */
export const peculiar = {
  keyPrefix: 'host:', stringNumbers: true, replyMapping: 'resp3', enableAutoPipelining: true, commandTimeout: 150, maxRetriesPerRequest: null
} as const

/** The server of the whole test run; where there is none, as under plain `tap`, one for this process. */
export async function redisUrl (): Promise<string> {
  if (process.env['REDIS_URL']) return process.env['REDIS_URL']
  shared ??= startRedis()
  return (await shared).url
}

export async function startRedis (options: RedisOptions = {}): Promise<RedisServer> {
  const folder = await mkdtemp(join(tmpdir(), 'charts-redis-'))
  let running = await launch(folder, options.port ?? null, options.config ?? [])
  const { port } = running

  return {
    url: `redis://${HOST}:${port}`,
    port,
    get pid () { return running.server.pid! },
    async stop () {
      await end(running, 'SIGKILL')
      await rm(folder, { recursive: true, force: true })
    },
    kill: () => end(running, 'SIGKILL'),
    pause () { running.server.kill('SIGSTOP') },
    resume () { running.server.kill('SIGCONT') },
    async restart () {
      running.server.kill('SIGCONT')
      await end(running, 'SIGTERM')
      running = await launch(folder, port, options.config ?? [])
    }
  }
}

/** Three masters, no replicas. */
export async function startCluster (): Promise<RedisCluster> {
  const config = ['--cluster-enabled', 'yes', '--cluster-node-timeout', '2000']
  const servers = await Promise.all([0, 1, 2].map(() => startRedis({ config })))
  const clients = servers.map(({ url }) => new Redis(url))
  const bounds = [0, 5461, 10923, 16384] as const

  for (const [i, client] of clients.entries()) {
    await client.cluster('ADDSLOTSRANGE', bounds[i]!, bounds[i + 1]! - 1)
    await client.call('CLUSTER', 'SET-CONFIG-EPOCH', i + 1)
    await client.cluster('MEET', HOST, servers[0]!.port)
  }
  for (const client of clients) {
    while (!/cluster_state:ok[^]*cluster_known_nodes:3/.test(await client.cluster('INFO'))) await sleep(20)
    client.disconnect()
  }

  return {
    nodes: servers.map(({ port }) => ({ host: HOST, port })),
    servers,
    async stop () { await Promise.all(servers.map(server => server.stop())) }
  }
}

/** A `keyPrefix` that no other test has, and that says whose it is where keys are left behind. */
export function uniquePrefix (t: { readonly name: string }): string {
  return `${t.name.replace(/[^a-z0-9]+/gi, '-').slice(0, 40)}-${randomUUID()}`
}

export function removeKeys (redis: Redis | Cluster, prefix: string): Promise<void> {
  return removeKeysLike(redis, `{${prefix}}:`)
}

/** Removes every key that begins so. */
export async function removeKeysLike (redis: Redis | Cluster, start: string): Promise<void> {
  const match = `${start.replace(/[\\*?[\]]/g, '\\$&')}*`
  for (const node of redis instanceof Cluster ? redis.nodes('master') : [redis]) {
    for await (const keys of node.scanStream({ match, count: 1000 })) {
      if (keys.length > 0) await redis.unlink(...keys)
    }
  }
}

interface Running { readonly port: number, readonly server: ChildProcess, readonly guard: ChildProcess }

async function launch (folder: string, fixedPort: number | null, config: readonly string[]): Promise<Running> {
  const executable = await redisServerPath()
  if (executable === null) throw new Error('Neither redis-server nor valkey-server on the PATH')

  for (let tries = 1; ; tries++) {
    const port = fixedPort ?? await freePort()
    const server = spawn(executable, ['--bind', HOST, '--port', `${port}`, '--dir', folder, '--save', '', ...config], {
      stdio: ['ignore', 'pipe', 'inherit']
    })
    const log = await readUntil(server.stdout, 'Ready to accept connections')
    if (log === null) {
      // A server must not keep a test process alive that has come to its end.
      server.unref()
      ;(server.stdout as Socket).unref()
      return { port, server, guard: guard(server.pid!, folder) }
    }
    if (fixedPort !== null || tries === 5) throw new Error(`redis-server has not started:\n${log}`)
  }
}

/** Removes the server of a process that was killed itself: its end of the pipe closes whatever has happened to it. */
function guard (pid: number, folder: string): ChildProcess {
  const script = 'trap "" INT TERM HUP; read -r _; kill -9 "$0"; rm -rf "$1"'
  const child = spawn('sh', ['-c', script, `${pid}`, folder], { stdio: ['pipe', 'ignore', 'ignore'] })
  child.unref()
  ;(child.stdin as Socket).unref()
  return child
}

async function end ({ server, guard }: Running, signal: NodeJS.Signals): Promise<void> {
  guard.kill('SIGKILL')
  if (server.exitCode !== null || server.signalCode !== null) return
  const exited = once(server, 'exit')
  server.ref()
  server.kill(signal)
  await exited
}
