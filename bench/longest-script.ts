// How long the scripts of one queue keep everybody else waiting: the longest run of each verb, by Redis' own clock, in scenes that give
// it as much to do as the limits allow. With `--many <n>`, n tasks at limits 0 in place of 1,000; with `--redis <url>`, on a Redis of
// your own (it is flushed).
import { randomUUID } from 'node:crypto'
import { parseArgs } from 'node:util'
import { Redis } from 'ioredis'
import { queueOf } from '../lib/chart-queue-service.ts'
import { ChartQueueService, type ChartTask, type Identity } from '../lib/index.ts'
import { scripts } from '../lib/store/redis/scripts.ts'
import { startRedis } from '../test/helpers/redis.ts'

const { values } = parseArgs({ options: { many: { type: 'string', default: '1000' }, redis: { type: 'string' } } })
const MANY = Number(values.many)
const ada: Identity = { user_id: 'ada' }
const verbs = new Map(Object.entries(scripts).map(([verb, { sha }]) => [sha as string, verb]))

const server = values.redis ? null : await startRedis({ config: ['--appendonly', 'no'] })
const redis = new Redis(values.redis ?? server!.url)
const quiet = { error () {}, warn () {}, info () {}, debug () {}, trace () {}, fatal () {}, child () { return quiet } }

/** A queue of its own, in which one message has `MANY` tasks. */
async function queue (): Promise<{ service: ChartQueueService, message_id: string }> {
  await redis.flushall()
  for (const { source } of Object.values(scripts)) await redis.script('LOAD', source)
  const limits = { waitingPerTenant: MANY > 1_000 ? 0 : 1_000, scheduledPerTenant: MANY > 1_000 ? 0 : 1_000, queueLength: MANY > 10_000 ? 0 : 10_000 }
  const service = new ChartQueueService({ redis, limits, leaseDuration: 60_000, logger: quiet as never })
  await service.ready(5_000)
  return { service, message_id: randomUUID() }
}

async function fill (service: ChartQueueService, message_id: string, count: number, more: object = {}): Promise<ChartTask[]> {
  const made: ChartTask[] = []
  while (made.length < count) {
    const size = Math.min(100, count - made.length)
    const { tasks } = await service.enqueueChartTasks(Array.from({ length: size }, () => ({ message_id, force_create: true, ...more })), ada)
    made.push(...tasks.map(({ task }) => task))
  }
  return made
}

/** Resolves once nothing of the message but `left` is unfinished. */
async function settled (service: ChartQueueService, message_id: string, left: number): Promise<void> {
  for (let calls = 0; calls < 600; calls++) {
    if ((await service.getActiveTasksByMessageId(message_id, 'ada')).length <= left) return
    await new Promise(resolve => setTimeout(resolve, 50))
  }
  throw new Error('what was superseded or cancelled has not ended')
}

const scenes: Record<string, () => Promise<{ service: ChartQueueService, run: () => Promise<unknown> }>> = {
  async 'supersede all' () {
    const { service, message_id } = await queue()
    await fill(service, message_id, MANY)
    return { service, run: async () => { await service.enqueueChartTask({ message_id, supersede: true, force_create: true }, ada); await settled(service, message_id, 1) } }
  },
  async 'supersede all with a batch of 100' () {
    const { service, message_id } = await queue()
    await fill(service, message_id, MANY)
    return { service, run: async () => { await fill(service, message_id, 100, { supersede: true }); await settled(service, message_id, 100) } }
  },
  async 'cancel what all others need' () {
    const { service, message_id } = await queue()
    const { task: { task_id } } = await service.enqueueChartTask({ message_id }, ada)
    await fill(service, message_id, MANY - 1, { depends_on: [task_id] })
    return { service, run: async () => { await service.cancelTask(task_id); await settled(service, message_id, 0) } }
  },
  async 'complete what all others need' () {
    const { service, message_id } = await queue()
    const { task: { task_id } } = await service.enqueueChartTask({ message_id }, ada)
    await fill(service, message_id, MANY - 1, { depends_on: [task_id] })
    const { lease } = (await service.dequeueChartTask())!
    return { service, run: () => service.completeTask(task_id, lease, { content: {} }) }
  },
  async 'cancel the head of a chain' () {
    const { service, message_id } = await queue()
    let last: string | undefined
    for (let made = 0; made < MANY; made += 100) {
      const { tasks } = await service.enqueueChartTasks(Array.from({ length: 100 }, (_, i) => ({
        message_id, force_create: true, ref: `r${i}`, depends_on: i > 0 ? [`r${i - 1}`] : last ? [last] : []
      })), ada)
      last = tasks.at(-1)!.task.task_id
    }
    const [head] = (await service.listTasks({ limit: 100 })).tasks.filter(({ depends_on }) => depends_on.length === 0)
    const first = head ?? (await service.dequeueChartTask())!.task
    return { service, run: async () => { await service.cancelTask(first.task_id); await settled(service, message_id, 0) } }
  },
  async 'a batch of 100, each with 20 dependencies' () {
    const { service, message_id } = await queue()
    const needs = (await fill(service, message_id, 20)).map(({ task_id }) => task_id)
    return { service, run: () => fill(service, message_id, 100, { depends_on: needs }) }
  },
  async 'cancel a batch of 100' () {
    const { service, message_id } = await queue()
    await fill(service, randomUUID(), MANY - 100)
    const { batch_id } = await service.enqueueChartTasks(Array.from({ length: 100 }, () => ({ message_id, force_create: true })), ada)
    return { service, run: () => service.cancelBatch(batch_id) }
  },
  async 'expired leases, with 100 charts to make at a time' () {
    const { service, message_id } = await queue()
    await fill(service, message_id, MANY)
    const take = (leaseDuration: number) => queueOf(service).leases.claim({ worker_id: randomUUID(), claim_id: randomUUID(), count: 100, leaseDuration })
    for (let taken = 0; taken < MANY / 2; taken += 100) await take(1)
    return { service, run: async () => { for (let calls = 0; calls < 30; calls++) await take(60_000) } }
  },
  async 'scheduled tasks that are due' () {
    const { service, message_id } = await queue()
    await fill(service, message_id, MANY, { run_at: new Date(Date.now() + 3_000).toISOString() })
    return {
      service,
      run: async () => {
        await new Promise(resolve => setTimeout(resolve, 3_000))
        for (let calls = 0; calls < MANY / 20; calls++) await queueOf(service).leases.claim({ worker_id: 'worker', claim_id: randomUUID(), count: 0, leaseDuration: 60_000 })
      }
    }
  },
  async 'reads, and the clean-up' () {
    const { service, message_id } = await queue()
    const made = await fill(service, message_id, MANY)
    for (let i = 0; i < Math.min(made.length, 1_000); i += 2) await service.cancelTask(made[i]!.task_id)
    return {
      service,
      run: async () => {
        await service.listTasks({ status: 'COMPLETED', limit: 100 })
        await service.listTasks({ limit: 100 })
        await service.getMessageCharts(message_id, ada, { limit: 100, content: true })
        await service.getActiveTasksByMessageId(message_id, 'ada')
        await service.getQueueStats()
        await redis.zunionstore('{async-charts}:2:finished', 1, '{async-charts}:2:finished', 'WEIGHTS', 0)
        await service.cleanupExpiredTasks()
      }
    }
  }
}

try {
  await redis.config('SET', 'slowlog-log-slower-than', '0')
  await redis.config('SET', 'slowlog-max-len', '100000')
  console.log(`ms of the longest run, ${MANY} tasks`)
  for (const [name, prepare] of Object.entries(scenes)) {
    const { service, run } = await prepare()
    await redis.slowlog('RESET')
    const began = performance.now()
    await run()
    const whole = performance.now() - began
    const longest = new Map<string, number>()
    for (const [, , micros, [, sha]] of await redis.slowlog('GET', '100000') as Array<[number, number, number, string[]]>) {
      const verb = verbs.get(sha ?? '')
      if (verb) longest.set(verb, Math.max(longest.get(verb) ?? 0, micros / 1_000))
    }
    const figures = [...longest].sort(([, a], [, b]) => b - a).map(([verb, ms]) => `${verb} ${ms.toFixed(1)}`).join('  ')
    console.log(`${name.padEnd(50)} ${figures}  (whole: ${whole.toFixed(0)})`)
    await service.close()
  }
} finally {
  redis.disconnect()
  await server?.stop()
}
