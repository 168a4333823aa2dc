import t from 'tap'
import { setTimeout as delay } from 'node:timers/promises'
import type { ChartTask } from '../../lib/index.ts'
import { gate, inTime, until } from '../helpers/gate.ts'
import { startQueue, stores } from '../helpers/queue.ts'
import { spyOnStore } from '../helpers/spy-store.ts'
import { recordingLogger } from '../helpers/recording-logger.ts'

const LEASE = 900

// They wait more than they work.
t.jobs = 3

for (const kind of stores) {
  t.test(`an attempt is aborted before its lease ends where the store does not answer, ${kind}`, { buffered: true }, async t => {
    const queue = await startQueue(t, kind)
    const { store, lose } = spyOnStore(queue)
    const aborted = gate<{ code: string, at: number }>()
    let restarted = Infinity
    const started = gate()
    await queue.work(async (_request, { signal }) => {
      started.open()
      signal.addEventListener('abort', () => aborted.open({ code: (signal.reason as { code: string }).code, at: performance.now() }))
      await delay(60_000, undefined, { signal })
      return 'first'
    }, { store, leaseDuration: LEASE })
    const { task_id } = await queue.enqueue()
    await started.opened
    lose('request')
    await queue.work(async () => {
      restarted = performance.now()
      return 'second'
    }, { leaseDuration: LEASE })
    const task = await inTime(queue.ended(task_id), LEASE + 1_000, 'another worker claims it')
    const { code, at } = await aborted.opened
    t.equal(code, 'LEASE_LOST')
    t.ok(at < restarted, `aborted ${(restarted - at).toFixed(0)} ms before the next start`)
    t.match(task, { status: 'COMPLETED', attempt: 2 })
    t.equal(await queue.content(task), 'second')
  })

  t.test(`a blip shorter than the lease loses nothing, ${kind}`, { buffered: true }, async t => {
    const queue = await startQueue(t, kind)
    const { store, lose, restore, calls } = spyOnStore(queue)
    const finish = gate()
    let runs = 0
    await queue.work(async (_request, { signal }) => {
      runs++
      await finish.opened
      signal.throwIfAborted()
      return 'chart'
    }, { store, leaseDuration: LEASE })
    const { task_id } = await queue.enqueue()
    await until(() => runs === 1)
    lose('request')
    const before = calls('extend')
    await until(() => calls('extend') > before)
    restore()
    await delay(LEASE)
    finish.open()
    t.match(await queue.ended(task_id), { status: 'COMPLETED', attempt: 1 })
    t.equal(runs, 1)
  })

  t.test(`a finished chart is delivered when the store comes back, not made anew, ${kind}`, { buffered: true }, async t => {
    const queue = await startQueue(t, kind)
    const { store, lose, restore, calls } = spyOnStore(queue)
    const started = gate()
    const finish = gate()
    let runs = 0
    await queue.work(async () => {
      runs++
      started.open()
      await finish.opened
      return 'chart'
    }, { store, leaseDuration: LEASE })
    const { task_id } = await queue.enqueue()
    await started.opened
    lose('request')
    finish.open()
    await until(() => calls('settleAttempts') > 0)
    await delay(LEASE * 2)
    restore()
    t.match(await queue.ended(task_id), { status: 'COMPLETED', attempt: 1 })
    t.equal(runs, 1)
  })

  t.test(`it comes too late once another worker has claimed the task, ${kind}`, { buffered: true }, async t => {
    const queue = await startQueue(t, kind)
    const { store, lose, restore, calls } = spyOnStore(queue)
    const started = gate()
    const finish = gate()
    await queue.work(async ({ adjustment_query }) => {
      if (adjustment_query === 'next') return 'next'
      started.open()
      await finish.opened
      return 'first'
    }, { store, leaseDuration: LEASE, concurrency: 1 })
    const { task_id } = await queue.enqueue()
    await started.opened
    lose('request')
    finish.open()
    const other = await queue.work(async () => 'second', { leaseDuration: LEASE })
    const task = await queue.ended(task_id)
    await other.stop()
    const before = calls('settleAttempts')
    restore()
    await until(() => calls('settleAttempts') > before)
    t.equal(await queue.content(await queue.run({ adjustment_query: 'next' })), 'next')
    t.same(await queue.service.getTaskStatus(task_id), task)
    t.equal(await queue.content(task), 'second')
  })

  t.test(`replies that are lost claim nothing twice and cost no attempt, ${kind}`, { buffered: true }, async t => {
    const queue = await startQueue(t, kind)
    const { store, lose, restore, calls } = spyOnStore(queue)
    const runs = new Map<string, number>()
    await queue.work(async ({ task_id }) => {
      runs.set(task_id, (runs.get(task_id) ?? 0) + 1)
      await delay(20)
      return task_id
    }, { store, concurrency: 4, leaseDuration: 5_000 })
    const tasks: ChartTask[] = []
    for (let i = 0; i < 10; i++) {
      const before = calls('claim') + calls('settleAttempts')
      lose('reply', 'claim', 'settleAttempts')
      const ids: string[] = []
      for (let n = 0; n < 2; n++) ids.push((await queue.enqueue()).task_id)
      await until(() => calls('claim') + calls('settleAttempts') > before + 1)
      restore()
      tasks.push(...await Promise.all(ids.map(id => queue.ended(id))))
    }
    t.ok(tasks.every(({ status, attempt }) => status === 'COMPLETED' && attempt === 1))
    t.ok([...runs.values()].every(n => n === 1), 'each ran once')
    for (const task of tasks) t.equal(await queue.content(task), task.task_id)
  })

  t.test(`a reply that is lost until the lease is nearly over costs no attempt, ${kind}`, { buffered: true }, async t => {
    const queue = await startQueue(t, kind)
    const { store, lose, restore, calls } = spyOnStore(queue)
    const { task_id } = await queue.enqueue()
    lose('reply', 'claim', 'settleAttempts')
    let runs = 0
    // The store is asked at 0, 100, 300, 700 and 1,500 ms.
    const leaseDuration = 2_400
    const working = queue.work(async () => {
      runs++
      return 'chart'
    }, { store, leaseDuration })
    await until(() => calls('claim') === 4)
    restore()
    await working
    t.match(await queue.ended(task_id), { status: 'COMPLETED', attempt: 1 })
    t.equal(runs, 1)
  })

  t.test(`progress that could not be stored is stored later, ${kind}`, { buffered: true }, async t => {
    const queue = await startQueue(t, kind)
    const { store, lose, restore, calls } = spyOnStore(queue)
    const go = gate()
    const done = gate()
    await queue.work(async (_request, { progress }) => {
      await go.opened
      progress({ step: 'extraction', step_progress: 100, progress: 40 })
      await until(() => calls('progress') > 0)
      progress({ step: 'rendering', progress: 60 })
      await done.opened
      return 'chart'
    }, { store, leaseDuration: 5_000 })
    const { task_id } = await queue.enqueue()
    lose('request', 'progress')
    go.open()
    await until(() => calls('progress') > 0)
    restore()
    const task = await inTime(queue.state(task_id, ({ progress }) => progress === 60), 3_000, 'it arrives')
    t.match(task, { current_step: 'rendering', step_progress: { extraction: 100 } })
    done.open()
    t.match(await queue.ended(task_id), { status: 'COMPLETED' })
  })

  t.test(`a task that comes back to the worker that lost it runs there under its new lease, ${kind}`, { buffered: true }, async t => {
    const queue = await startQueue(t, kind)
    const { store, lose, restore, log } = spyOnStore(queue)
    const logger = recordingLogger()
    const starts: number[] = []
    const finish = gate()
    let running = 0
    let most = 0
    // It ignores its signal: the first attempt is still there when the second one begins.
    await queue.work(async (_request, { attempt }) => {
      starts.push(attempt)
      most = Math.max(most, ++running)
      await finish.opened
      running--
      return `chart ${attempt}`
    }, { store, leaseDuration: LEASE, concurrency: 3, logger })
    const { task_id } = await queue.enqueue()
    await until(() => starts.length === 1)
    lose('request')
    await delay(LEASE)
    restore()
    await until(() => starts.length === 2)
    await until(() => logger.said(/abandoned/).length === 1)
    const extended = () => log.filter(({ verb, args }) => verb === 'extend' && (args[0] as Array<{ lease: number }>).some(({ lease }) => lease === 2)).length
    const before = extended()
    await until(() => extended() >= before + 3)
    t.match(await queue.service.getTaskStatus(task_id), { status: 'PROCESSING', attempt: 2 }, 'its lease is kept')
    finish.open()
    const task = await queue.ended(task_id)
    t.match(task, { status: 'COMPLETED', attempt: 2 })
    t.equal(await queue.content(task), 'chart 2')
    t.same(starts, [1, 2])
    t.equal(most, 2)
  })

  t.test(`a lease that was lost is not kept from others while its generator ignores that, ${kind}`, { buffered: true }, async t => {
    const queue = await startQueue(t, kind)
    const { store, lose, restore } = spyOnStore(queue)
    const lost = gate()
    const hold = gate()
    await queue.work(async (_request, { signal }) => {
      signal.addEventListener('abort', () => lost.open())
      await hold.opened
      return 'first'
    }, { store, leaseDuration: LEASE, concurrency: 1 })
    const { task_id } = await queue.enqueue()
    await queue.state(task_id, ({ status }) => status === 'PROCESSING')
    lose('request')
    await lost.opened
    restore()
    await queue.work(async () => 'second', { leaseDuration: LEASE })
    const task = await inTime(queue.ended(task_id), LEASE, 'another worker claims it')
    t.match(task, { status: 'COMPLETED', attempt: 2 })
    hold.open()
  })
}
