// Enqueues and works tasks that use a feature of ours, right before or after as many plain ones, and then those of the next feature.
import { setTimeout as delay } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { ChartQueueService, runWorker, type GenerateChart } from '../lib/index.ts'
import { FEATURES, PLAIN_TASKS, type Feature } from './features.ts'
import { meterRedis, type RedisWork } from './redis-info.ts'
import { FigureCollector, type Figure, type Reading } from './results.ts'
import { orderOf } from './statistics.ts'

export interface FeaturesSettings {
  readonly repetitions: number
  readonly tasks: number
  readonly features: readonly string[]
}

/** The two columns of a figure. */
export const PLAIN = 'plain'
export const WITH = 'with the feature'
const CONCURRENCY = 100

export async function measureFeatures ({ repetitions, tasks, features }: FeaturesSettings, url: string, log: (text: string) => void): Promise<Figure[]> {
  const redis = new Redis(url)
  const collector = new FigureCollector()
  const measure = async (feature: Feature) => {
    await redis.flushall()
    return measureFeature(redis, feature, tasks)
  }
  // The first one is for the compiler to warm up.
  await measure(PLAIN_TASKS)
  for (let repetition = 0; repetition < repetitions; repetition++) {
    for (const [i, name] of features.entries()) {
      log(`${repetition + 1}/${repetitions} ${name}`)
      const pair = [[PLAIN, PLAIN_TASKS], [WITH, FEATURES[name]!]] as const
      for (const [column, feature] of orderOf(pair, repetition + i)) collector.add(name, column, await measure(feature))
    }
  }
  redis.disconnect()
  return collector.figures
}

async function measureFeature (redis: Redis, { limits, prepare, enqueue, due = 0, generate }: Feature, count: number): Promise<Reading[]> {
  const queue = { redis, limits: { queueLength: 0, waitingPerTenant: 0, ...limits } }
  const service = new ChartQueueService(queue)
  await service.ready(5_000)
  await prepare?.(service, count)
  const enqueueMeter = await meterRedis(redis)
  await enqueue(service, count)
  const enqueued = await enqueueMeter()
  await delay(due)
  // The start of the worker is in its costs: a dozen commands.
  const processMeter = await meterRedis(redis)
  const worker = await workAll(queue, count, generate)
  const processed = await processMeter()
  await worker.stop()
  await service.close()
  return [...readings('enqueue', enqueued, count), ...readings('process', processed, count)]
}

async function workAll (queue: object & { redis: Redis }, count: number, generate: GenerateChart = async () => ({})) {
  let left = count
  let end: () => void
  const ended = new Promise<void>(resolve => { end = resolve })
  const onFinished = () => { if (--left === 0) end() }
  const worker = await runWorker({ ...queue, concurrency: CONCURRENCY, handleSignals: false, generate, onFinished })
  await ended
  return worker
}

function readings (name: string, { cpu, commands }: RedisWork, count: number): Reading[] {
  return [
    { name, unit: 'Redis CPU µs/task', value: cpu / count },
    { name, unit: 'Redis commands/task', value: commands / count }
  ]
}
