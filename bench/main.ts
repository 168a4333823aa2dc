// `npm run bench`: measures this package beside its peers, what its features cost, how its costs grow, or two builds of it.
import { readFileSync, writeFileSync } from 'node:fs'
import { availableParallelism, cpus } from 'node:os'
import { Redis } from 'ioredis'
import { measureGrowth } from './growth.ts'
import { measureFeatures } from './measure-features.ts'
import { parseOptions, type BenchOptions } from './options.ts'
import { writePage } from './page.ts'
import { measurePeers } from './peers.ts'
import { compareBuilds } from './plain-path.ts'
import { versionOfRedis } from './redis-info.ts'
import { redisStarter, type StartRedis } from './redis-starter.ts'
import { summaryOf, tableOf } from './report.ts'
import type { Kind, Run } from './results.ts'
import { installPeers, peerVersions } from './systems/peers-package.ts'
import { textTable } from './tables.ts'
import { UsageError } from './usage-error.ts'

type Measured = Pick<Run, 'versions' | 'settings' | 'figures'>

const log = (text: string) => console.error(text)

const MEASURE: Readonly<Record<Kind, (options: BenchOptions, start: StartRedis) => Promise<Measured>>> = {
  async peers ({ repetitions, tasks, idle, only }, start) {
    installPeers()
    return {
      versions: peerVersions(),
      settings: { repetitions, tasks, 'idle seconds': idle },
      figures: await measurePeers({ repetitions, tasks, idle, scenarios: only }, start, log)
    }
  },

  async features ({ repetitions, tasks, only }, start) {
    const figures = await withRedis(start, url => measureFeatures({ repetitions, tasks, features: only }, url, log))
    return { versions: {}, settings: { repetitions, tasks }, figures }
  },

  async growth ({ repetitions, waiting }, start) {
    const figures = await withRedis(start, url => measureGrowth({ repetitions, waiting }, url, log))
    return { versions: {}, settings: { repetitions }, figures }
  }
}

try {
  await main(parseOptions(process.argv.slice(2)))
} catch (error) {
  if (!(error instanceof UsageError)) throw error
  console.error(error.message)
  process.exitCode = 2
}

async function main (options: BenchOptions): Promise<void> {
  const { mode, path, rounds, port, json, write } = options
  const start = redisStarter(port)
  if (mode === 'against') return compareBuilds(path, rounds, start)
  const run = mode === 'from' ? readRun(path) : await measure(mode, options, start)
  console.log(`${summaryOf(run)}\n\n${textTable(tableOf(run))}`)
  if (json !== null) writeFileSync(json, `${JSON.stringify(run, null, 2)}\n`)
  if (write) writePage(run)
}

async function measure (kind: Kind, options: BenchOptions, start: StartRedis): Promise<Run> {
  const redis = await withRedis(start, readVersion)
  const { versions, settings, figures } = await MEASURE[kind](options, start)
  return {
    kind,
    date: new Date().toISOString(),
    machine: { cores: availableParallelism(), cpu: cpus()[0]!.model, node: process.versions.node, redis },
    versions,
    settings,
    figures
  }
}

async function withRedis<T> (start: StartRedis, use: (url: string) => Promise<T>): Promise<T> {
  const server = await start()
  try {
    return await use(server.url)
  } finally {
    await server.stop()
  }
}

async function readVersion (url: string): Promise<string> {
  const redis = new Redis(url)
  try {
    return await versionOfRedis(redis)
  } finally {
    redis.disconnect()
  }
}

function readRun (path: string): Run {
  try {
    const run: Run = JSON.parse(readFileSync(path, 'utf8'))
    if (!(run.kind in MEASURE)) throw new Error('it has none of the kinds that are measured')
    return run
  } catch (error) {
    throw new UsageError(`No figures in ${path}: ${(error as Error).message}`)
  }
}
