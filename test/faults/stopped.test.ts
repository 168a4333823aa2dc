import t from 'tap'
import { inTime } from '../helpers/gate.ts'
import { startQueue } from '../helpers/queue.ts'
import { redisUrl } from '../helpers/redis.ts'
import { startWorkerProcess } from '../helpers/worker-process.ts'

// They wait more than they work.
t.jobs = 2

// Long enough that a busy machine does not take the living for dead.
const LEASE = 3_000

t.test('what a worker reports that was stopped beyond its lease is refused', { buffered: true }, async t => {
  const queue = await startQueue(t, 'redis', { retry: { attempts: 10 } })
  const options = { url: await redisUrl(), keyPrefix: queue.keyPrefix, leaseDuration: LEASE, concurrency: 3 }
  const stopped = await startWorkerProcess(t, options)
  const deaf = (await queue.enqueue({ adjustment_query: 'deaf' })).task_id
  const hold = (await queue.enqueue({ adjustment_query: 'hold' })).task_id
  const ids = [deaf, hold]
  await Promise.all(ids.map(id => stopped.next('started', ({ task_id }) => task_id === id)))
  stopped.signal('SIGSTOP')
  const other = await startWorkerProcess(t, options)
  await inTime(Promise.all(ids.map(id => other.next('started', ({ task_id }) => task_id === id))), LEASE + 1_000, 'another runs them')
  const reported = await Promise.all(ids.map(id => queue.state(id, ({ attempt, progress }) => attempt >= 2 && progress === 50)))

  stopped.signal('SIGCONT')
  stopped.send({ command: 'finish', task_id: deaf })
  // Whether the other attempt is aborted or told to finish first is chance: both come when the process goes on.
  const { code } = await stopped.next('aborted', ({ task_id }) => task_id === hold)
  t.equal(code, 'LEASE_LOST')
  for (const task of reported) t.same(await queue.service.getTaskStatus(task.task_id), task)
  // The slots of the one that was stopped are free again: it works on.
  await other.kill()
  await Promise.all(reported.map(async ({ task_id, attempt }) => {
    // One after the other: a task that has lost two workers runs alone.
    const started = await stopped.next('started', event => event.task_id === task_id && event.attempt > attempt)
    stopped.send({ command: 'finish', task_id })
    t.match(await queue.ended(task_id), { status: 'COMPLETED', attempt: started.attempt })
  }))
  t.equal((await queue.redis!.keys(`{${queue.keyPrefix}}:chart:*`)).length, 2)
})

t.test('a task is completed once, by the worker that took it over', { buffered: true }, async t => {
  const queue = await startQueue(t, 'redis')
  const options = { url: await redisUrl(), keyPrefix: queue.keyPrefix, leaseDuration: LEASE }
  const stopped = await startWorkerProcess(t, options)
  const { task_id } = await queue.enqueue({ adjustment_query: 'deaf' })
  await stopped.next('started')
  stopped.signal('SIGSTOP')
  const other = await startWorkerProcess(t, options)
  await other.next('started')
  other.send({ command: 'finish', task_id })
  const task = await queue.ended(task_id)
  stopped.send({ command: 'finish', task_id })
  stopped.signal('SIGCONT')
  // Whether its attempt is aborted or told to finish first is chance. What it runs next comes after its report.
  await other.kill()
  const next = await queue.enqueue({ adjustment_query: 'after 10' })
  await queue.ended(next.task_id)
  t.equal((await stopped.next('started', event => event.task_id === next.task_id)).attempt, 1)
  t.same(await queue.service.getTaskStatus(task_id), task)
  t.same(await queue.content(task), { pid: other.pid, told: true })
  t.equal(stopped.all('finished').filter(event => event.task_id === task_id).length, 0)
})

t.test('an event loop that is blocked beyond the lease is taken for dead, and its result refused', { buffered: true }, async t => {
  const queue = await startQueue(t, 'redis')
  const options = { url: await redisUrl(), keyPrefix: queue.keyPrefix, leaseDuration: LEASE, concurrency: 1 }
  const blocked = await startWorkerProcess(t, options)
  const { task_id } = await queue.enqueue({ adjustment_query: `block ${3 * LEASE}` })
  await blocked.next('started')
  const other = await queue.work(async ({ task_id }, { attempt }) => ({ task_id, attempt }), { leaseDuration: LEASE })
  const task = await inTime(queue.ended(task_id), LEASE + 1_500, 'another completes it')
  t.match(task, { status: 'COMPLETED', attempt: 2 })
  await other.stop()
  const next = await queue.enqueue({ adjustment_query: 'after 10' })
  t.match(await queue.ended(next.task_id), { status: 'COMPLETED', attempt: 1 }, 'the blocked one works on')
  t.same(await queue.service.getTaskStatus(task_id), task)
  t.same(await queue.content(task), { task_id, attempt: 2 })
})

t.test('an event loop that is blocked beyond the lease delivers its chart where nobody has collected it', { buffered: true }, async t => {
  const queue = await startQueue(t, 'redis')
  const options = { url: await redisUrl(), keyPrefix: queue.keyPrefix, leaseDuration: LEASE, concurrency: 1 }
  const blocked = await startWorkerProcess(t, options)
  const { task_id } = await queue.enqueue({ adjustment_query: `block ${2 * LEASE}` })
  const task = await queue.ended(task_id)
  t.match(task, { status: 'COMPLETED', attempt: 1 })
  t.equal(blocked.all('started').length, 1)
})
