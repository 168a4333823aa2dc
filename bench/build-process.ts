// One build in a process of its own: measures what it is told to, one message after the other.
import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { Redis } from 'ioredis'
import { memoryOf } from './redis-info.ts'
import { meter, type Work } from './redis-meter.ts'

export interface Figure {
  readonly name: string
  readonly unit: string
  readonly value: number
}

const USERS = 50
/** ms after which an idle worker surely waits again. */
const IDLE = 2

/** `turns`: how often in a round. Many short ones, as what disturbs the machine mostly lasts for longer than one of them. */
const scenes: ReadonlyArray<{ turns: number, run: () => Promise<Figure[]> }> = [
  { turns: 5, run: () => enqueueing(250, 1) },
  { turns: 5, run: () => enqueueing(1_000, 100) },
  { turns: 5, run: () => processing(250, 1) },
  { turns: 5, run: () => processing(400, 10) },
  { turns: 5, run: () => processing(800, 100) },
  { turns: 2, run: () => startingWhenIdle(100) },
  { turns: 1, run: () => remembering(1_000) }
]

const [url, path] = process.argv.slice(2) as [string, string]
const { ChartQueueService, runWorker }: typeof import('../lib/index.ts') = await import(pathToFileURL(path).href)
const redis = new Redis(url)
const queue = { redis, keyPrefix: 'bench', limits: { queueLength: 0, waitingPerTenant: 0 } }
const service = new ChartQueueService(queue)
await service.ready(5_000)

process.on('message', async (scene: number) => {
  await redis.flushall()
  globalThis.gc?.()
  process.send!(await scenes[scene]!.run())
})
process.on('disconnect', () => process.exit())
process.send!(scenes.map(({ turns }) => turns))

async function enqueueing (count: number, inFlight: number): Promise<Figure[]> {
  const name = `enqueue, ${inFlight} in flight`
  const work = await meter(redis)
  const begin = performance.now()
  await enqueue(count, inFlight)
  const rate = count / (performance.now() - begin) * 1_000
  return [{ name, unit: 'tasks/s', value: rate }, ...inFlight === 1 ? [] : costs(name, await work(), count)]
}

async function processing (count: number, concurrency: number): Promise<Figure[]> {
  const name = `process, concurrency ${concurrency}`
  await enqueue(count, 100)
  globalThis.gc?.()
  // The start of the worker is in its costs: a dozen commands.
  const work = await meter(redis)
  const { worker, rate } = await processAll(count, concurrency)
  const done = await work()
  await worker.stop()
  return [{ name, unit: 'tasks/s', value: rate }, ...concurrency === 10 ? [] : costs(name, done, count)]
}

async function startingWhenIdle (count: number): Promise<Figure[]> {
  let started = () => {}
  let ended = () => {}
  const generate = async () => {
    started()
    return {}
  }
  const worker = await runWorker({ ...queue, concurrency: 10, generate, onFinished: () => ended() })
  const times: number[] = []
  for (let i = 0; i < count; i++) {
    await delay(IDLE)
    const end = new Promise<void>(resolve => { ended = resolve })
    const begin = performance.now()
    started = () => times.push(performance.now() - begin)
    await Promise.all([enqueueOne(i), end])
  }
  await worker.stop()
  times.sort((a, b) => a - b)
  return [50, 99].map(percent => ({ name: `idle: enqueue → start, p${percent}`, unit: 'ms', value: times[Math.ceil(count * percent / 100) - 1]! }))
}

async function remembering (count: number): Promise<Figure[]> {
  const empty = await memoryOf(redis)
  await enqueue(count, 100)
  const waiting = await memoryOf(redis) - empty
  const { worker } = await processAll(count, 100)
  await worker.stop()
  const finished = await memoryOf(redis) - empty
  return [
    { name: 'a waiting task', unit: 'bytes', value: waiting / count },
    { name: 'a finished task', unit: 'bytes', value: finished / count }
  ]
}

async function enqueue (count: number, inFlight: number): Promise<void> {
  let next = 0
  await Promise.all(Array.from({ length: inFlight }, async () => {
    while (next < count) await enqueueOne(next++)
  }))
}

function enqueueOne (i: number) {
  return service.enqueueChartTask({ message_id: randomUUID(), force_create: true }, { user_id: `user-${i % USERS}` })
}

/** Works all that waits; `rate` in tasks a second. */
async function processAll (count: number, concurrency: number) {
  let begin = 0
  let left = count
  let end: (at: number) => void
  const ended = new Promise<number>(resolve => { end = resolve })
  const generate = async () => {
    // Not from the start of the worker, which takes as long as many tasks.
    begin ||= performance.now()
    return {}
  }
  const onFinished = () => { if (--left === 0) end(performance.now()) }
  const worker = await runWorker({ ...queue, concurrency, generate, onFinished })
  return { worker, rate: count / (await ended - begin) * 1_000 }
}

function costs (name: string, { cpu, wire, inside }: Work, count: number): Figure[] {
  return [
    { name, unit: 'Redis CPU µs/task', value: cpu / count },
    { name, unit: 'wire commands/task', value: wire / count },
    { name, unit: 'script commands/task', value: inside / count }
  ]
}
