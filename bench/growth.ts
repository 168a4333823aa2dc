// What a call of each verb costs Redis while ever more tasks wait, of one tenant and of many.
import { Redis } from 'ioredis'
import { ChartQueueService } from '../lib/index.ts'
import { meterRedis } from './redis-info.ts'
import { FigureCollector, type Figure } from './results.ts'
import { makeRequest, MAX_BATCH } from './systems/system.ts'

export interface GrowthSettings {
  readonly repetitions: number
  /** The longest queue. */
  readonly waiting: number
}

const SIZES = [10, 1_000, 10_000, 100_000]
const TENANTS = [1, 1_000]
const FILLERS = 10
/** Calls of a verb that puts a task into the queue or reads one; half as many take one out by a cancel, and half by a claim. */
const CALLS = 100
const LEASE_MS = 600_000

interface Waiting { readonly message_id: string, readonly task_id: string, readonly user_id: string }

export async function measureGrowth ({ repetitions, waiting }: GrowthSettings, url: string, log: (text: string) => void): Promise<Figure[]> {
  const redis = new Redis(url)
  const collector = new FigureCollector()
  for (const tenants of TENANTS) {
    await redis.flushall()
    const service = new ChartQueueService({ redis, limits: { queueLength: 0, waitingPerTenant: 0 }, leaseDuration: LEASE_MS })
    await service.ready(5_000)
    let length = 0
    for (const size of sizesUpTo(waiting)) {
      await fill(service, size - length, tenants)
      length = size
      // The first one is for the compiler to warm up.
      for (let repetition = 0; repetition <= repetitions; repetition++) {
        log(`${tenants} tenants, ${size} waiting: ${repetition}/${repetitions}`)
        for (const [verb, work] of await callAll(redis, service, tenants)) {
          if (repetition > 0) collector.add(verb, String(size), work.map(reading => ({ ...reading, name: tenantsName(tenants) })))
        }
      }
    }
    await service.close()
  }
  redis.disconnect()
  return collector.figures
}

function sizesUpTo (waiting: number): number[] {
  return [...SIZES.filter(size => size < waiting), waiting]
}

const tenantsName = (tenants: number) => tenants === 1 ? '1 tenant' : `${tenants.toLocaleString('en')} tenants`
const identityOf = (i: number, tenants: number) => ({ user_id: `user-${i % tenants}` })

async function fill (service: ChartQueueService, count: number, tenants: number): Promise<void> {
  let next = 0
  await Promise.all(Array.from({ length: FILLERS }, async () => {
    while (next < count) {
      const begin = next
      next += MAX_BATCH
      // A batch is of one tenant. Of many, each has some.
      const requests = Array.from({ length: Math.min(MAX_BATCH, count - begin) }, (_, i) => makeRequest(i))
      if (tenants === 1) await service.enqueueChartTasks(requests, identityOf(0, tenants))
      else await Promise.all(requests.map((request, i) => service.enqueueChartTask(request, identityOf(begin + i, tenants))))
    }
  }))
}

/** All verbs, one call after the other. Afterwards as many tasks wait as before. */
async function callAll (redis: Redis, service: ChartQueueService, tenants: number) {
  const costs = new Map<string, Array<{ unit: string, value: number }>>()
  const cost = async (verb: string, count: number, call: (i: number) => Promise<unknown>) => {
    const meter = await meterRedis(redis)
    for (let i = 0; i < count; i++) await call(i)
    const { cpu, commands } = await meter()
    costs.set(verb, [{ unit: 'Redis CPU µs/call', value: cpu / count }, { unit: 'Redis commands/call', value: commands / count }])
  }
  const added: Waiting[] = []
  const claimed: Array<NonNullable<Awaited<ReturnType<ChartQueueService['dequeueChartTask']>>>> = []
  await cost('enqueue', CALLS, async i => {
    const request = makeRequest(i)
    const identity = identityOf(i, tenants)
    const { task: { task_id } } = await service.enqueueChartTask(request, identity)
    added.push({ message_id: request.message_id, task_id, ...identity })
  })
  await cost('status', CALLS, i => service.getTaskStatus(added[i]!.task_id))
  await cost('by-message', CALLS, i => service.getMessageCharts(added[i]!.message_id, added[i]!, { limit: 20, content: false }))
  await cost('cancel', CALLS / 2, i => service.cancelTask(added[i]!.task_id))
  await cost('claim', CALLS / 2, async () => claimed.push((await service.dequeueChartTask())!))
  await cost('settle', CALLS / 2, i => service.completeTask(claimed[i]!.task.task_id, claimed[i]!.lease, { content: {} }))
  return costs
}
