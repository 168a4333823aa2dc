import t from 'tap'
import type { ChartTask } from '../../lib/index.ts'
import { inTime } from '../helpers/gate.ts'
import { startQueue, type Queue } from '../helpers/queue.ts'
import { redisUrl } from '../helpers/redis.ts'
import { startWorkerProcess, type WorkerProcess } from '../helpers/worker-process.ts'

// They wait more than they work.
t.jobs = 2

const LEASE = 1_500

async function many (queue: Queue, n: number, adjustment_query: string): Promise<string[]> {
  return Promise.all(Array.from({ length: n }, async () => (await queue.enqueue({ adjustment_query })).task_id))
}

async function charts (queue: Queue): Promise<number> {
  return (await queue.redis!.keys(`{${queue.keyPrefix}}:chart:*`)).length
}

t.test('tasks of a worker that was killed run again within a lease and a second, each to one end and one chart', { buffered: true }, async t => {
  const queue = await startQueue(t, 'redis')
  const options = { url: await redisUrl(), keyPrefix: queue.keyPrefix, leaseDuration: LEASE, concurrency: 5 }
  const victim = await startWorkerProcess(t, options)
  const ids = await many(queue, 5, 'hold')
  await Promise.all(ids.map(id => victim.next('started', ({ task_id }) => task_id === id)))
  const heir = await startWorkerProcess(t, options)
  const ends: Record<string, ChartTask[]> = {}
  const watching = ids.map(async id => {
    for await (const task of queue.service.watchTask(id)) if (task.completed_at) (ends[id] ??= []).push(task)
  })
  await victim.kill()
  await inTime(Promise.all(ids.map(id => heir.next('started', ({ task_id }) => task_id === id))), LEASE + 1_000, 'all of them run again')
  for (const task_id of ids) heir.send({ command: 'finish', task_id })
  await Promise.all(watching)
  for (const id of ids) {
    t.equal(ends[id]!.length, 1, 'one end')
    t.match(ends[id]![0], { status: 'COMPLETED', attempt: 2, step_progress: { 'try 2': 50 } })
    t.same(await queue.content(ends[id]![0]!), { pid: heir.pid, told: true })
  }
  t.equal(await charts(queue), 5)
  t.same(heir.all('finished').map(({ status }) => status), Array(5).fill('COMPLETED'))
})

t.test('a worker that idles takes over without being told', { buffered: true }, async t => {
  const queue = await startQueue(t, 'redis')
  const options = { url: await redisUrl(), keyPrefix: queue.keyPrefix, leaseDuration: LEASE, concurrency: 1 }
  const heir = await startWorkerProcess(t, options)
  const victim = await startWorkerProcess(t, options)
  const ids = await many(queue, 2, 'hold')
  const [first, second] = await Promise.all([heir.next('started'), victim.next('started')])
  heir.send({ command: 'finish', task_id: first.task_id })
  t.not(first.task_id, second.task_id)
  await queue.ended(first.task_id)
  await victim.kill()
  await inTime(heir.next('started', ({ task_id }) => task_id === second.task_id), LEASE + 1_000, 'it runs again')
  heir.send({ command: 'finish', task_id: second.task_id })
  t.match(await queue.ended(second.task_id), { status: 'COMPLETED', attempt: 2 })
  t.same(ids.sort(), [first.task_id, second.task_id].sort())
})

t.test('a task whose last worker is lost fails, and onFinished is called where that was found', { buffered: true }, async t => {
  const queue = await startQueue(t, 'redis', { retry: { attempts: 1 } })
  const options = { url: await redisUrl(), keyPrefix: queue.keyPrefix, leaseDuration: LEASE }
  const victim = await startWorkerProcess(t, options)
  const { task_id } = await queue.enqueue({ adjustment_query: 'hold' })
  await victim.next('started')
  await victim.kill()
  const finder = await startWorkerProcess(t, options)
  const task = await inTime(queue.ended(task_id), LEASE + 1_000, 'it fails')
  t.match(task, { status: 'FAILED', error_code: 'CHARTS_ERR_WORKER_LOST', error_message: 'Chart generation was interrupted too often', attempt: 1, chart_id: null })
  t.match(await finder.next('finished'), { task_id, status: 'FAILED' })
  t.equal(finder.all('finished').length, 1)
  t.equal(finder.all('started').length, 0)
})

t.test('all tries of a task whose worker dies each time', { buffered: true }, async t => {
  const queue = await startQueue(t, 'redis', { retry: { attempts: 2 } })
  const options = { url: await redisUrl(), keyPrefix: queue.keyPrefix, leaseDuration: 500 }
  const { task_id } = await queue.enqueue({ adjustment_query: 'hold' })
  for (const attempt of [1, 2]) {
    const victim = await startWorkerProcess(t, options)
    t.equal((await victim.next('started')).attempt, attempt)
    await victim.kill()
  }
  await startWorkerProcess(t, options)
  t.match(await queue.ended(task_id), { status: 'FAILED', error_code: 'CHARTS_ERR_WORKER_LOST', attempt: 2 })
})

t.test('a task that ends its process takes those beside it along twice, then runs alone: they complete, it fails', { buffered: true }, async t => {
  const queue = await startQueue(t, 'redis')
  const options = { url: await redisUrl(), keyPrefix: queue.keyPrefix, leaseDuration: LEASE, concurrency: 2 }
  const [poison] = await many(queue, 1, 'exit')
  const [healthy] = await many(queue, 1, 'hold')
  const startedOf = (worker: WorkerProcess, id: string) => worker.next('started', ({ task_id }) => task_id === id)
  for (const attempt of [1, 2]) {
    const victim = await startWorkerProcess(t, options)
    const both = await Promise.all([startedOf(victim, poison!), startedOf(victim, healthy!)])
    t.same(both.map(started => started.attempt), [attempt, attempt])
    victim.send({ command: 'finish', task_id: poison! })
    t.equal(await victim.exited, 1)
  }

  const [first, second] = await Promise.all([startWorkerProcess(t, options), startWorkerProcess(t, options)])
  const [withPoison, other] = await Promise.race([first, second].map(async worker => {
    await startedOf(worker, poison!)
    return worker === first ? [first, second] : [second, first]
  })) as [WorkerProcess, WorkerProcess]
  t.equal((await startedOf(other, healthy!)).attempt, 3, 'each has a process for itself')
  t.same(withPoison.all('started').map(({ task_id }) => task_id), [poison])
  t.match(await withPoison.next('warned', ({ message }) => /runs alone/.test(message)), { details: { task_id: poison, attempt: 3, times: 2, worker_id: String, beside: [] } })
  const found = [first, second].flatMap(worker => worker.all('warned')).filter(({ message }) => /will be retried/.test(message))
  for (const [task_id, beside] of [[poison, healthy], [healthy, poison]]) {
    t.match(found.find(({ details }) => (details as { task_id: string }).task_id === task_id), { details: { attempt: 2, beside: [beside] } }, 'the log says what ran')
  }

  withPoison.send({ command: 'finish', task_id: poison! })
  t.match(await queue.ended(poison!), { status: 'FAILED', error_code: 'CHARTS_ERR_WORKER_LOST', attempt: 3 })
  t.match(await other.next('warned', ({ message }) => /no attempts are left/.test(message)), { details: { task_id: poison, attempt: 3, beside: [] } })
  other.send({ command: 'finish', task_id: healthy! })
  t.match(await queue.ended(healthy!), { status: 'COMPLETED', attempt: 3 })
})
