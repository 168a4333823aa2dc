// What is measured of each queue, one scenario after the other.
import { setTimeout as delay } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import { memoryOf, meterRedis, type RedisWork } from './redis-info.ts'
import type { Reading } from './results.ts'
import { percentile } from './statistics.ts'
import type { SystemClient } from './system-client.ts'
import type { Effort, EnqueueMode } from './system-process.ts'

export interface Context {
  readonly redis: Redis
  readonly tasks: number
  readonly idle: number
  /** The system's process for this role: the same in all scenarios of a repetition, so that its code is compiled. */
  client (role: 'producer' | 'worker'): SystemClient
}

type Measure = (context: Context) => Promise<Reading[]>

/** ms between two tasks of an idle queue. */
const GAP_MS = 5
const WARM_UP_TASKS = 500
const MAX_LATENCY_TASKS = 500
const IDLE_CONCURRENCY = 10
const MEMORY_CONCURRENCY = 100
/** ms after which a process has no start left to do. */
const START_MS = 3_000

/** One at a time takes longer, and needs fewer tasks. */
const few = (tasks: number) => Math.ceil(tasks / 4)

export const SCENARIOS: Readonly<Record<string, Measure>> = {
  'enqueue-serial': context => enqueueing(context, 'serial', few(context.tasks)),
  'enqueue-in-flight': context => enqueueing(context, 'in flight', context.tasks),
  'enqueue-bulk': context => enqueueing(context, 'bulk', context.tasks),
  'process-1': context => processing(context, 1, few(context.tasks)),
  'process-10': context => processing(context, 10, context.tasks),
  'process-100': context => processing(context, 100, context.tasks),
  start: untilStart,
  end: untilEnd,
  memory,
  'idle-worker': context => idling(context, 'a worker', 'worker'),
  'idle-server': context => idling(context, 'a server that follows a task', 'producer')
}
export const SCENARIO_NAMES = Object.keys(SCENARIOS)

/** Nothing is timed in these, so all systems may be measured at once. */
export const isIdle = (scenario: string) => scenario.startsWith('idle')

async function enqueueing (context: Context, mode: EnqueueMode, tasks: number): Promise<Reading[]> {
  const { redis } = context
  await enqueue(context, mode, warmUp(tasks))
  await redis.flushall()
  const producer = context.client('producer')
  await producer.call('openProducer')
  const meter = await meterRedis(redis)
  const effort = await producer.call('enqueue', { count: tasks, mode })
  const work = await meter()
  await producer.call('close')
  return readings(`enqueue, ${mode === 'in flight' ? '100 in flight' : mode === 'bulk' ? 'batches of 100' : 'one after the other'}`, tasks, effort, work)
}

async function processing (context: Context, concurrency: number, tasks: number): Promise<Reading[]> {
  const { redis } = context
  const worker = context.client('worker')
  await enqueueAndProcess(context, concurrency, warmUp(tasks))
  await redis.flushall()
  await enqueue(context, 'bulk', tasks)
  // The start of the worker is in its costs: a dozen commands.
  const meter = await meterRedis(redis)
  const effort = await worker.call('process', { count: tasks, concurrency })
  const work = await meter()
  await worker.call('close')
  return readings(`process, concurrency ${concurrency}`, tasks, effort, work)
}

function readings (name: string, tasks: number, { elapsed, cpu }: Effort, redis: RedisWork): Reading[] {
  return [
    { name, unit: 'tasks/s', value: tasks / elapsed * 1_000 },
    { name, unit: 'Redis CPU µs/task', value: redis.cpu / tasks },
    { name, unit: 'Redis commands/task', value: redis.commands / tasks },
    { name, unit: 'client CPU µs/task', value: cpu / tasks }
  ]
}

async function enqueue (context: Context, mode: EnqueueMode, count: number): Promise<void> {
  const producer = context.client('producer')
  await producer.call('openProducer')
  await producer.call('enqueue', { count, mode })
  await producer.call('close')
}

async function processAll (context: Context, concurrency: number, count: number): Promise<void> {
  const worker = context.client('worker')
  await worker.call('process', { count, concurrency })
  await worker.call('close')
}

async function enqueueAndProcess (context: Context, concurrency: number, count: number): Promise<void> {
  await enqueue(context, 'bulk', count)
  await processAll(context, concurrency, count)
}

function warmUp (tasks: number): number {
  return Math.min(WARM_UP_TASKS, tasks)
}

async function untilStart (context: Context): Promise<Reading[]> {
  const [producer, worker] = [context.client('producer'), context.client('worker')]
  await worker.call('work', { concurrency: IDLE_CONCURRENCY })
  await producer.call('openProducer')
  const added = await producer.call('addApart', { count: latencyTasks(context), gap: GAP_MS })
  await delay(10 * GAP_MS)
  const starts = new Map(await worker.call('startTimes'))
  await producer.call('close')
  await worker.call('close')
  return latencies('idle queue: add until start', warm(added).map(([message_id, at]) => starts.get(message_id)! - at))
}

async function untilEnd (context: Context): Promise<Reading[]> {
  const worker = context.client('worker')
  await worker.call('work', { concurrency: IDLE_CONCURRENCY })
  const times = await context.client('producer').call('followApart', { count: latencyTasks(context), gap: GAP_MS })
  await worker.call('close')
  return latencies('idle queue: add until its end is seen elsewhere', warm(times))
}

function latencyTasks ({ tasks }: Context): number {
  return Math.min(few(tasks), MAX_LATENCY_TASKS)
}

/** Without the first fifth, for which code is still compiled. */
function warm<T> (items: readonly T[]): T[] {
  return items.slice(Math.floor(items.length / 5))
}

function latencies (name: string, times: readonly number[]): Reading[] {
  return [50, 99].map(percent => ({ name: `${name}, p${percent}`, unit: 'ms', value: percentile(times, percent) }))
}

async function memory (context: Context): Promise<Reading[]> {
  const { redis, tasks } = context
  // Redis then knows the scripts, which are no task's.
  await enqueueAndProcess(context, MEMORY_CONCURRENCY, warmUp(tasks))
  await redis.flushall()
  const empty = await memoryOf(redis)
  await enqueue(context, 'bulk', tasks)
  const waiting = await memoryOf(redis) - empty
  await processAll(context, MEMORY_CONCURRENCY, tasks)
  const finished = await memoryOf(redis) - empty
  return [
    { name: 'memory of a waiting task', unit: 'bytes', value: waiting / tasks },
    { name: 'memory of a finished task', unit: 'bytes', value: finished / tasks }
  ]
}

async function idling ({ redis, idle, client }: Context, who: string, role: 'worker' | 'producer'): Promise<Reading[]> {
  if (role === 'worker') await client(role).call('work', { concurrency: IDLE_CONCURRENCY })
  else await client(role).call('followOne')
  await delay(START_MS)
  const meter = await meterRedis(redis)
  await delay(idle * 1_000)
  const { commands } = await meter()
  return [{ name: `idle: ${who}`, unit: 'Redis commands/s', value: commands / idle }]
}
