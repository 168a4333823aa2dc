import { randomUUID } from 'node:crypto'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { Redis } from 'ioredis'
import t from 'tap'
import { ChartQueueService, memoryStore } from '../../lib/index.ts'
import { silentLogger } from '../../lib/silent-logger.ts'
import { redisUrl, removeKeys, uniquePrefix } from '../helpers/redis.ts'

// What docs/guides/operating.md says that one tenant can hold.
const KIB = 1_024
/** A task that nobody will run, with what is left of its request, its places in the indexes and one Idempotency-Key. */
const CANCELLED = 4 * KIB
/** A task that waits, without its request. */
const WAITING = 3 * KIB
/** A request of 64 KiB, as Redis allots memory. */
const REQUEST = 80 * KIB
const KEY = 0.5 * KIB

const ada = { user_id: 'ada' }
const LARGE = 'x'.repeat(60_000)

/** A queue on Redis with the default limits, and the bytes of its keys whose names begin so. */
async function redisQueue (t: Tap) {
  const redis = new Redis(await redisUrl())
  const keyPrefix = uniquePrefix(t)
  const service = new ChartQueueService({ redis, keyPrefix, logger: silentLogger })
  t.teardown(async () => {
    await service.close()
    await removeKeys(redis, keyPrefix)
    redis.disconnect()
  })
  await service.ready(2_000)
  const keysOf = async (name = '') => {
    const found: string[] = []
    for await (const page of redis.scanStream({ match: `{${keyPrefix}}:${name}*`, count: 1_000 })) found.push(...page as string[])
    return found
  }
  const bytes = async (name?: string) => {
    const sizes = await Promise.all((await keysOf(name)).map(key => redis.memory('USAGE', key, 'SAMPLES', 0)))
    return sizes.reduce<number>((sum, size) => sum + (size ?? 0), 0)
  }
  return { redis, service, prefix: `{${keyPrefix}}:`, keysOf, bytes }
}
type Tap = Parameters<typeof uniquePrefix>[0] & { teardown (end: () => unknown): unknown }

async function supersedeAgainAndAgain (service: ChartQueueService, times: number): Promise<void> {
  const message_id = randomUUID()
  for (let i = 0; i < times; i++) {
    await service.enqueueChartTask({ message_id, adjustment_query: LARGE + i, supersede: true }, ada, { idempotencyKey: `${message_id}-${i}` })
  }
}

async function completed (service: ChartQueueService, message_id: string): Promise<void> {
  const { task } = await service.enqueueChartTask({ message_id }, ada)
  const { lease } = (await service.dequeueChartTask())!
  await service.completeTask(task.task_id, lease, { content: 'chart' })
}

t.test('300 large requests that replace each other leave one request and 300 small records, on Redis', async t => {
  const { service, bytes } = await redisQueue(t)
  await supersedeAgainAndAgain(service, 300)
  const held = await bytes()
  t.ok(held < 300 * CANCELLED + REQUEST, `${held} bytes`)
})

t.test('1,000 large requests that replace each other leave one request and 1,000 small records, in memory', async t => {
  setFlagsFromString('--expose-gc')
  const gc = runInNewContext('gc') as () => void
  const service = new ChartQueueService({ store: memoryStore(), logger: silentLogger })
  t.teardown(() => service.close())
  await supersedeAgainAndAgain(service, 10)
  gc()
  const before = process.memoryUsage().heapUsed
  await supersedeAgainAndAgain(service, 1_000)
  gc()
  const held = process.memoryUsage().heapUsed - before
  t.ok(held < 1_000 * 2 * CANCELLED + 2 * REQUEST, `${held} bytes`)
})

t.test('a tenant that waits with all that it may holds no more than its requests and small records', async t => {
  const { service, bytes } = await redisQueue(t)
  const message_id = randomUUID()
  // 50 of the 1,000: what each of them holds is the same.
  const { tasks } = await service.enqueueChartTasks(Array.from({ length: 50 }, (_, i) => ({ message_id, adjustment_query: LARGE + i })), ada)
  const held = await bytes()
  t.ok(held < tasks.length * (REQUEST + WAITING), `${held} bytes`)
  for (const { task } of tasks) await service.cancelTask(task.task_id)
  const left = await bytes()
  t.ok(left < tasks.length * CANCELLED, `${left} bytes after all were cancelled`)
})

t.test('of the tasks that end without an attempt, a tenant keeps the latest 10,000 and what leads to them', async t => {
  const { redis, service, prefix, keysOf } = await redisQueue(t)
  const message_id = randomUUID()
  const { batch_id, tasks: [first, second] } = await service.enqueueChartTasks([{ message_id }, { message_id: randomUUID() }], ada, { idempotencyKey: 'once' })
  for (const { task } of [first!, second!]) await service.cancelTask(task.task_id)
  await redis.rpush(`${prefix}2:unrun:user:ada`, ...Array.from({ length: 9_998 }, () => randomUUID()))
  t.ok(await service.getTaskStatus(first!.task.task_id))
  const cancelOne = async () => {
    const { task } = await service.enqueueChartTask({ message_id: randomUUID() }, ada)
    await service.cancelTask(task.task_id)
  }
  await cancelOne()
  t.equal(await service.getTaskStatus(first!.task.task_id), null)
  t.ok(await service.getTaskStatus(second!.task.task_id))
  t.ok(await service.getBatch(batch_id), 'one of its tasks is kept')
  await cancelOne()
  t.equal(await service.getBatch(batch_id), null)
  t.equal(await redis.llen(`${prefix}2:unrun:user:ada`), 10_000)
  t.same(await keysOf('2:idempotency:'), [])
  t.same(await keysOf('2:batch:'), [])
  t.equal(await redis.exists(`${prefix}message_tasks:${message_id}:ada`), 0, 'nothing of it is left')
})

t.test('of the tasks that end without an attempt, a tenant keeps the latest 10,000, in memory', async t => {
  const service = new ChartQueueService({ store: memoryStore(), limits: { waitingPerTenant: 0, queueLength: 0 }, logger: silentLogger })
  t.teardown(() => service.close())
  const first = (await service.enqueueChartTask({ message_id: randomUUID() }, ada)).task.task_id
  await service.cancelTask(first)
  for (let i = 1; i <= 100; i++) {
    t.ok(await service.getTaskStatus(first))
    const { batch_id } = await service.enqueueChartTasks(Array.from({ length: 100 }, () => ({ message_id: randomUUID() })), ada)
    await service.cancelBatch(batch_id)
  }
  t.equal(await service.getTaskStatus(first), null)
})

t.test('a finished chart answers any number of Idempotency-Keys and batches, and remembers a hundred of each', async t => {
  const { redis, service, keysOf, bytes } = await redisQueue(t)
  const message_id = randomUUID()
  await completed(service, message_id)
  for (let i = 0; i < 120; i++) await service.enqueueChartTask({ message_id }, ada, { idempotencyKey: `key-${i}` })
  t.equal((await keysOf('2:idempotency:')).length, 100)
  t.ok(await bytes('2:idempotency:') < 100 * KEY)
  for (let i = 0; i < 120; i++) await service.enqueueChartTasks([{ message_id }], ada)
  const ttls = await Promise.all((await keysOf('2:batch:')).map(key => redis.pttl(key)))
  t.equal(ttls.filter(ttl => ttl > 60_000).length, 100)
  t.ok(ttls.every(ttl => ttl > 0), 'the others are kept for a minute')
})

t.test('an operator cannot run a task again of which only part of the request is kept', async t => {
  const { redis, service, prefix } = await redisQueue(t)
  const { task: { task_id: needed } } = await service.enqueueChartTask({ message_id: randomUUID() }, ada)
  const { task } = await service.enqueueChartTask({ message_id: randomUUID(), adjustment_query: LARGE, depends_on: [needed] }, ada)
  await service.cancelTask(needed)
  await redis.rpush(`${prefix}2:unrun:user:ada`, ...Array.from({ length: 999 }, () => randomUUID()))
  t.equal((await service.getTaskStatus(task.task_id))?.status, 'FAILED')
  const { task: other } = await service.enqueueChartTask({ message_id: randomUUID() }, ada)
  await service.cancelTask(other.task_id)
  t.equal((await service.getTaskStatus(task.task_id))?.adjustment_query, null)
  await t.rejects(service.retryTask(task.task_id), { code: 'CHARTS_ERR_REQUEST_NOT_KEPT' })
})
