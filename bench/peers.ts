// This package beside BullMQ and Bee-Queue: each scenario for all systems in turn, and all scenarios again in each repetition.
import { Redis } from 'ioredis'
import { isIdle, SCENARIOS, type Context } from './peer-scenarios.ts'
import type { StartRedis } from './redis-starter.ts'
import { FigureCollector, type Figure } from './results.ts'
import { orderOf } from './statistics.ts'
import { startSystem, type SystemClient } from './system-client.ts'
import { SYSTEM_NAMES } from './systems/index.ts'

export interface PeersSettings {
  readonly repetitions: number
  readonly tasks: number
  /** Seconds for which an idle process is watched. */
  readonly idle: number
  readonly scenarios: readonly string[]
}

type Contexts = ReadonlyArray<readonly [system: string, context: Context]>

export async function measurePeers (settings: PeersSettings, startRedis: StartRedis, log: (text: string) => void): Promise<Figure[]> {
  const { repetitions, scenarios } = settings
  const collector = new FigureCollector()
  for (let repetition = 0; repetition < repetitions; repetition++) {
    const begin = (scenario: string) => {
      log(`${repetition + 1}/${repetitions} ${scenario}`)
      return SCENARIOS[scenario]!
    }
    const timed = scenarios.filter(scenario => !isIdle(scenario))
    if (timed.length > 0) {
      await withSystems(settings, startRedis, async contexts => {
        for (const [i, scenario] of timed.entries()) {
          const measure = begin(scenario)
          for (const [system, context] of orderOf(contexts, repetition + i)) {
            await context.redis.flushall()
            collector.add(scenario, system, await measure(context))
          }
        }
      })
    }
    for (const scenario of scenarios.filter(isIdle)) {
      const measure = begin(scenario)
      await withSystems(settings, startRedis, async contexts => {
        await Promise.all(contexts.map(async ([system, context]) => collector.add(scenario, system, await measure(context))))
      })
    }
  }
  return collector.figures
}

/** Each system has processes of its own, and a Redis of its own: what one leaves there is not another's. */
async function withSystems (
  { tasks, idle }: PeersSettings,
  startRedis: StartRedis,
  use: (contexts: Contexts) => Promise<void>
): Promise<void> {
  const ends: Array<() => unknown> = []
  try {
    const contexts: Array<Contexts[number]> = []
    for (const system of SYSTEM_NAMES) {
      const server = await startRedis()
      const redis = new Redis(server.url)
      const clients = new Map<string, SystemClient>()
      ends.push(() => clients.forEach(client => client.end()), () => redis.disconnect(), () => server.stop())
      const client = (role: string) => {
        if (!clients.has(role)) clients.set(role, startSystem(system, server.url))
        return clients.get(role)!
      }
      contexts.push([system, { redis, tasks, idle, client }])
    }
    await use(contexts)
  } finally {
    for (const end of ends) await end()
  }
}
