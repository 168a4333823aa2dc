import t from 'tap'
import { queueOf } from '../../lib/chart-queue-service.ts'
import type { ChartTask, TaskStore } from '../../lib/index.ts'
import { gate, until, type Gate } from '../helpers/gate.ts'
import { startQueue, stores, type Queue } from '../helpers/queue.ts'
import { recordingLogger } from '../helpers/recording-logger.ts'
import { spyOnStore } from '../helpers/spy-store.ts'

/** ms: nothing else waits for it than the losses, which are made. */
const LEASE = 100

/** Two tasks that the next worker claims together: one like any other, and one that must run alone, as two workers were lost with it. */
async function suspected (queue: Queue): Promise<{ other: string, suspect: string }> {
  const { leases } = queueOf(queue.service)
  let claims = 0
  const claim = async (count: number) => (await leases.claim({ worker_id: 'victim', claim_id: `claim-${claims++}`, count, leaseDuration: LEASE })).tasks
  const { task_id: suspect } = await queue.enqueue({ adjustment_query: 'suspect' })
  await claim(1)
  await until(async () => (await claim(1)).length === 1)
  const { task_id: other } = await queue.enqueue({ adjustment_query: 'other' })
  const claimed = (await claim(1)).find(({ task }) => task.task_id === other)
  await queue.service.releaseTask(other, claimed!.lease)
  await until(async () => {
    await claim(0)
    return (await queue.service.getTaskStatus(suspect))!.status === 'PENDING'
  })
  return { other, suspect }
}

const isHeld = ({ status, current_step }: ChartTask) => status === 'PROCESSING' && current_step === 'queued'

for (const kind of stores) {
  t.test(`a worker that runs others lets them end first, and claims nothing new until the task has ended, ${kind}`, async t => {
    const queue = await startQueue(t, kind)
    const logger = recordingLogger()
    const { other, suspect } = await suspected(queue)
    const running = new Set<string>()
    const finish: Record<string, Gate<void>> = { other: gate(), suspect: gate(), later: gate() }
    const beside = new Map<string, string[]>()
    await queue.work(async ({ adjustment_query }) => {
      beside.set(adjustment_query!, [...running])
      running.add(adjustment_query!)
      await finish[adjustment_query!]!.opened
      running.delete(adjustment_query!)
      return null
    }, { concurrency: 3, logger })
    await queue.state(suspect, isHeld)
    const later = await queue.enqueue({ adjustment_query: 'later' })
    finish['other']!.open()
    t.match(await queue.ended(other), { status: 'COMPLETED' })
    await until(() => running.has('suspect'))
    t.match(await queue.service.getTaskStatus(suspect), { status: 'PROCESSING', current_step: 'started' })
    t.match(await queue.service.getTaskStatus(later.task_id), { status: 'PENDING' })
    finish['suspect']!.open()
    t.match(await queue.ended(suspect), { status: 'COMPLETED', attempt: 3 })
    finish['later']!.open()
    t.match(await queue.ended(later.task_id), { status: 'COMPLETED' })
    t.same(Object.fromEntries(beside), { other: [], suspect: [], later: [] })
    t.match(logger.said(/runs alone/), [{ level: 'warn', details: { task_id: suspect, attempt: 3, worker_id: 'victim', times: 2, beside: [other] } }])
  })

  t.test(`what is held ends at once where it is cancelled, and makes room, ${kind}`, async t => {
    const queue = await startQueue(t, kind)
    const { suspect } = await suspected(queue)
    const finish = gate()
    const started: string[] = []
    await queue.work(async ({ adjustment_query }) => {
      started.push(adjustment_query!)
      await finish.opened
      return null
    }, { concurrency: 2 })
    await queue.state(suspect, isHeld)
    await queue.enqueue({ adjustment_query: 'next' })
    await queue.service.cancelTask(suspect)
    await until(() => started.length === 2)
    t.same(started, ['other', 'next'])
    finish.open()
  })

  t.test(`a start that cannot be stored is stored later, ${kind}`, async t => {
    const queue = await startQueue(t, kind)
    const logger = recordingLogger()
    const { other, suspect } = await suspected(queue)
    const finish = gate()
    const { store, lose, restore } = spyOnStore(queue)
    await queue.work(async ({ adjustment_query }) => {
      if (adjustment_query === 'other') await finish.opened
      return null
    }, { concurrency: 2, logger, store })
    await queue.state(suspect, isHeld)
    lose('request', 'progress')
    finish.open()
    await until(() => logger.said(/the start of the attempt could not be stored/).length > 0)
    t.match(await queue.service.getTaskStatus(suspect), { status: 'PROCESSING', current_step: 'queued' })
    restore()
    t.match(await queue.ended(suspect), { status: 'COMPLETED' })
    t.match(await queue.ended(other), { status: 'COMPLETED' })
  })

  t.test(`what has lost its lease while it was held does not start, ${kind}`, async t => {
    const queue = await startQueue(t, kind)
    const logger = recordingLogger()
    const { other, suspect } = await suspected(queue)
    const finish = gate()
    const spy = spyOnStore(queue)
    let answers = 0
    const progress: TaskStore['progress'] = async reports => ++answers === 1 ? reports.map(() => false) : spy.store.progress(reports)
    const store = new Proxy(spy.store, { get: (target, verb: keyof TaskStore) => verb === 'progress' ? progress : target[verb] })
    const started: string[] = []
    await queue.work(async ({ adjustment_query }) => {
      started.push(adjustment_query!)
      if (adjustment_query === 'other') await finish.opened
      return null
    }, { concurrency: 2, logger, store })
    await queue.state(suspect, isHeld)
    finish.open()
    t.match(await queue.ended(other), { status: 'COMPLETED' })
    await until(() => logger.said('the attempt was aborted').length > 0)
    t.same(logger.said('the attempt was aborted').map(({ details }) => [details['task_id'], details['code']]), [[suspect, 'LEASE_LOST']])
    t.same(started, ['other'])
  })

  t.test(`what is held is released by a worker that stops, ${kind}`, async t => {
    const queue = await startQueue(t, kind)
    const { other, suspect } = await suspected(queue)
    const finish = gate()
    const worker = await queue.work(async () => { await finish.opened; return null }, { concurrency: 2, shutdownTimeout: 60_000 })
    await queue.state(suspect, isHeld)
    const stopped = worker.stop()
    await queue.state(suspect, ({ status, attempt }) => status === 'PENDING' && attempt === 2)
    finish.open()
    await stopped
    t.match(await queue.ended(other), { status: 'COMPLETED' })
  })
}

t.test('a generator that ends its thread ends no process: its task fails, and no worker was lost', async t => {
  const queue = await startQueue(t, 'memory', { retry: { attempts: 2 } })
  const logger = recordingLogger()
  const generate = new URL('../fixtures/generators/ends-thread.js', import.meta.url)
  await queue.work(generate, { concurrency: 2, logger })
  const [exits, waits] = await Promise.all(['exit', 'draw'].map(adjustment_query => queue.run({ adjustment_query })))
  t.match(exits, { status: 'FAILED', error_code: 'CHARTS_ERR_GENERATION_FAILED', attempt: 2 })
  t.match(waits, { status: 'COMPLETED', attempt: 1 })
  t.same(logger.said(/lease expired|lost their worker/), [])
})
