import { randomInt, randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { errors, type ChartTask } from '../../lib/index.ts'
import { inTime } from '../helpers/gate.ts'
import { connections, startQueue, type Queue } from '../helpers/queue.ts'
import { seeded } from '../helpers/random.ts'
import { redisServerPath, startRedis } from '../helpers/redis.ts'
import { startWorkerProcess, type WorkerProcess } from '../helpers/worker-process.ts'

const TASKS = 150
const WORKERS = 3
const DURATION = 10_000
const LEASE = 1_500
const seed = Number(process.env['SOAK_SEED'] ?? randomInt(2 ** 31))
const random = seeded(seed)

/** As a host does it: what could not be asked is asked again. */
async function ask<T> (question: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await question()
    } catch (error) {
      if (!(error instanceof errors.CHARTS_ERR_STORE_UNAVAILABLE)) throw error
      await delay(50)
    }
  }
}

async function watch (queue: Queue, task_id: string): Promise<ChartTask[]> {
  const seen: ChartTask[] = []
  await ask(async () => {
    for await (const task of queue.service.watchTask(task_id, { after: seen.at(-1)?.version })) seen.push(task)
  })
  return seen
}

t.test(`many tasks, and everything that can happen to them (SOAK_SEED=${seed})`, {
  skip: await redisServerPath() === null && 'needs a Redis of its own'
}, async t => {
  const server = await startRedis()
  t.teardown(() => server.stop())
  const queue = await startQueue(t, 'redis', { url: server.url, pollInterval: 500, retry: { attempts: 4, backoff: { delay: 50, max: 200 } } })
  const redis = queue.redis!
  const start = () => startWorkerProcess(t, { url: server.url, keyPrefix: queue.keyPrefix, leaseDuration: LEASE, concurrency: 4, attemptTimeout: 5_000 })
  const workers: WorkerProcess[] = await Promise.all(Array.from({ length: WORKERS }, start))
  const ids: string[] = []
  const watching = new Map<string, Promise<ChartTask[]>>()
  const cancelled = new Map<string, ChartTask>()
  const done: Record<string, number> = {}
  const pending: Array<Promise<unknown>> = []
  const end = performance.now() + DURATION

  const deeds: Record<string, () => Promise<unknown> | void> = {
    kill: async () => {
      const [worker] = workers.splice(random.between(0, workers.length - 1), 1)
      await worker!.kill()
      pending.push(start().then(worker => workers.push(worker)))
    },
    stop: () => {
      const worker = random.pick(workers)
      worker.signal('SIGSTOP')
      pending.push(delay(random.between(LEASE / 3, LEASE * 2)).then(() => { if (worker.running) worker.signal('SIGCONT') }))
    },
    cancel: () => {
      const task_id = random.pick(ids.slice(-20))
      pending.push(ask(async () => {
        const task = await queue.service.cancelTask(task_id)
        if (task?.status === 'CANCELLED') cancelled.set(task_id, task)
      }))
    },
    disconnect: async () => {
      for (const id of await connections(redis, random.pick(['commands', 'subscriber', 'blocking']))) {
        if (random.next() < 0.5) await redis.client('KILL', 'ID', id).catch(() => {})
      }
    },
    flush: () => redis.script('FLUSH')
  }

  const creating = (async () => {
    while (ids.length < TASKS) {
      const adjustment_query = random.next() < 0.05 ? `block ${random.between(100, LEASE * 2)}` : `after ${random.between(1, 400)}`
      const request = { message_id: randomUUID(), adjustment_query }
      const idempotencyKey = randomUUID()
      const { task } = await ask(() => queue.service.enqueueChartTask(request, { user_id: random.pick(['ada', 'bob', 'eve']) }, { idempotencyKey }))
      ids.push(task.task_id)
      watching.set(task.task_id, watch(queue, task.task_id))
      await delay(random.between(0, 2 * DURATION * 0.8 / TASKS))
    }
  })()
  const troubling = (async () => {
    const names = ['kill', 'stop', 'stop', 'cancel', 'cancel', 'cancel', 'disconnect', 'disconnect', 'flush']
    while (performance.now() < end) {
      await delay(random.between(50, 400))
      const name = random.pick(names)
      // Enough must be alive that the tasks come to their ends.
      if (ids.length === 0 || (name === 'kill' && workers.length < WORKERS)) continue
      done[name] = (done[name] ?? 0) + 1
      await deeds[name]!()
    }
  })()
  await Promise.all([creating, troubling])
  await Promise.all(pending)

  const all = await inTime(Promise.all(ids.map(id => watching.get(id)!)), 30_000, 'all tasks end')
  const statuses: Record<string, number> = {}
  const wrong: unknown[] = []
  for (const [i, id] of ids.entries()) {
    const seen = all[i]!
    const last = seen.at(-1)!
    const stored = (await queue.service.getTaskStatus(id))!
    statuses[stored.status] = (statuses[stored.status] ?? 0) + 1
    const faults = {
      unfinished: stored.completed_at === null,
      differs: JSON.stringify(last) !== JSON.stringify(stored),
      falls: seen.some(({ version }, n) => n > 0 && version <= seen[n - 1]!.version),
      endsTwice: seen.filter(({ completed_at }) => completed_at !== null).length !== 1,
      noChart: stored.status === 'COMPLETED' && await queue.content(stored) === undefined,
      namesChart: stored.status !== 'COMPLETED' && stored.chart_id !== null,
      failsOddly: stored.status === 'FAILED' && stored.error_code !== 'CHARTS_ERR_WORKER_LOST',
      cancelUndone: cancelled.has(id) && JSON.stringify(cancelled.get(id)) !== JSON.stringify(stored)
    }
    const names = Object.entries(faults).filter(([, is]) => is).map(([name]) => name)
    if (names.length > 0) wrong.push({ id, names, seen, stored })
  }
  t.comment(`seed ${seed}: ${JSON.stringify(statuses)} after ${JSON.stringify(done)}`)
  t.same(wrong, [], 'every task has one end, and everybody saw it')
  t.equal(ids.length, TASKS)
  t.ok(statuses['COMPLETED']! > TASKS / 2)

  const key = (name: string) => `{${queue.keyPrefix}}:${name}`
  const left = await redis.keys(key('*'))
  const namesOf = (kind: string) => left.filter(name => name.startsWith(key(kind))).map(name => name.slice(key(kind).length)).sort()
  t.same(namesOf('task:').filter(id => !ids.includes(id)), [], 'a create that was repeated has made no other task')
  const named = await Promise.all(ids.map(async id => (await queue.service.getTaskStatus(id))!.chart_id))
  t.same(namesOf('chart:'), named.filter(chart_id => chart_id !== null).sort(), 'one chart for each that is completed')
  t.same(left.filter(name => /:(processing|waiting|running|queue:.*|shares|turns:.*|delayed|capped:.*)$/.test(name)), [], 'nothing of the work is left')
  for (const name of left) if (await redis.pttl(name) === -1) t.fail(`${name} never expires`)
  t.match(await queue.service.getQueueStats(), { queue_length: 0, processing_count: 0, delayed_count: 0, oldest_waiting_at: null })
})
