// What Redis says about its own work.
import { setTimeout as delay } from 'node:timers/promises'
import type { Redis } from 'ioredis'

/** ms until Redis has moved all keys to a larger table: meanwhile there are two. */
const SETTLED_MS = 300

export interface RedisWork {
  /** µs of CPU of the whole server. */
  readonly cpu: number
  /** Commands, those that scripts call included. */
  readonly commands: number
}

/** Starts to measure; what it returns says how much it was. */
export async function meterRedis (redis: Redis): Promise<() => Promise<RedisWork>> {
  const before = cpuOf(await redis.info('cpu'))
  await redis.config('RESETSTAT')
  return async () => {
    const info = await redis.info('cpu', 'commandstats')
    return { cpu: cpuOf(info) - before, commands: callsOf(info) }
  }
}

/** Bytes of everything but the buffers of connections, once the tables of keys have their size. */
export async function memoryOf (redis: Redis): Promise<number> {
  await delay(SETTLED_MS)
  const info = await redis.info('memory')
  return numberIn(info, 'used_memory') - numberIn(info, 'mem_clients_normal')
}

/** Commands since the statistics were reset. */
export function callsOf (info: string): number {
  let calls = 0
  for (const [, command, count] of info.matchAll(/^cmdstat_(\S+?):calls=(\d+)/gm)) {
    // Our own, which comes after the statistics that it has emptied.
    if (command !== 'config|resetstat') calls += Number(count)
  }
  return calls
}

export function numberIn (info: string, field: string): number {
  const value = new RegExp(`^${field}:([\\d.]+)`, 'm').exec(info)?.[1]
  if (value === undefined) throw new Error(`Redis does not say ${field}`)
  return Number(value)
}

export async function versionOfRedis (redis: Redis): Promise<string> {
  const info = await redis.info('server')
  const [, valkey] = /^valkey_version:(\S+)/m.exec(info) ?? []
  return valkey ? `Valkey ${valkey}` : `Redis ${/^redis_version:(\S+)/m.exec(info)![1]}`
}

function cpuOf (info: string): number {
  return 1e6 * (numberIn(info, 'used_cpu_user') + numberIn(info, 'used_cpu_sys'))
}
