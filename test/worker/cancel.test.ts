import t from 'tap'
import { setTimeout as delay } from 'node:timers/promises'
import type { AbortCode } from '../../lib/index.ts'
import { gate, inTime, until } from '../helpers/gate.ts'
import { startQueue, stores, type Queue } from '../helpers/queue.ts'
import { recordingLogger } from '../helpers/recording-logger.ts'

const abortOf = (signal: AbortSignal) => new Promise<AbortCode>(resolve => {
  signal.addEventListener('abort', () => resolve((signal.reason as Error & { code: AbortCode }).code))
})

for (const kind of stores) {
  t.test(`a cancel reaches the running generator within a second, ${kind}`, async t => {
    const queue = await startQueue(t, kind)
    const started = gate()
    const aborted = gate<{ code: string, isError: boolean }>()
    let runs = 0
    await queue.work(async (_request, { signal }) => {
      runs++
      started.open()
      await abortOf(signal)
      aborted.open({ code: (signal.reason as { code: string }).code, isError: signal.reason instanceof Error })
      throw signal.reason
    }, { concurrency: 1 })
    const { task_id } = await queue.enqueue()
    await started.opened
    const cancelled = await queue.service.cancelTask(task_id)
    t.match(cancelled, { status: 'CANCELLED', current_step: 'cancelled', chart_id: null, error_code: null })
    t.ok(cancelled!.completed_at)
    t.same(await inTime(aborted.opened, 1_000, 'the generator is aborted'), { code: 'CANCELLED', isError: true })
    await queue.service.cancelTask((await queue.enqueue()).task_id)
    t.same(await queue.service.getTaskStatus(task_id), cancelled, 'nothing changes it any more')
    t.ok(runs <= 2)
  })

  t.test(`what a generator returns after a cancel is dropped, ${kind}`, async t => {
    const queue = await startQueue(t, kind)
    const started = gate()
    await queue.work(async ({ adjustment_query }, { signal, progress }) => {
      if (adjustment_query === 'next') return 'chart'
      started.open()
      await abortOf(signal)
      progress({ step: 'late', progress: 90 })
      return 'late chart'
    }, { concurrency: 1 })
    const { task_id } = await queue.enqueue()
    await started.opened
    const cancelled = await queue.service.cancelTask(task_id)
    t.match(await queue.run({ adjustment_query: 'next' }), { status: 'COMPLETED' }, 'the slot is free')
    t.same(await queue.service.getTaskStatus(task_id), cancelled)
  })

  t.test(`a generator that ignores its signal is abandoned a second after the cancel, ${kind}`, async t => {
    const queue = await startQueue(t, kind)
    const started = gate()
    const late = gate()
    const logger = recordingLogger()
    await queue.work(async ({ adjustment_query }, { progress }) => {
      if (adjustment_query === 'next') return 'chart'
      started.open()
      await late.opened
      progress({ step: 'late', progress: 90 })
      return 'late chart'
    }, { concurrency: 1, logger })
    const { task_id } = await queue.enqueue()
    await started.opened
    const cancelled = await queue.service.cancelTask(task_id)
    const next = await inTime(queue.run({ adjustment_query: 'next' }), 2_000, 'the slot is freed')
    t.match(next, { status: 'COMPLETED' })
    t.match(logger.said(/abandoned/), [{ level: 'error', details: { task_id, code: 'CANCELLED' } }])
    late.open()
    await queue.run({ adjustment_query: 'next' })
    t.same(await queue.service.getTaskStatus(task_id), cancelled, 'the late result is refused')
  })

  t.test(`a waiting task that is cancelled never runs, ${kind}`, async t => {
    const queue = await startQueue(t, kind)
    const ran: string[] = []
    const { task_id } = await queue.enqueue()
    await queue.service.cancelTask(task_id)
    await queue.work(async ({ task_id }) => {
      ran.push(task_id)
      return null
    })
    const next = await queue.run()
    t.same(ran, [next.task_id])
    t.match(await queue.service.getTaskStatus(task_id), { status: 'CANCELLED', attempt: 0 })
  })

  t.test(`a task that waits for its next attempt is cancelled for good, ${kind}`, async t => {
    const queue = await startQueue(t, kind, { retry: { backoff: { delay: 100, jitter: 0 } } })
    let runs = 0
    await queue.work(async ({ adjustment_query }) => {
      if (adjustment_query === 'next') return null
      runs++
      throw new Error('again')
    })
    const { task_id } = await queue.enqueue()
    await queue.state(task_id, ({ current_step }) => current_step === 'retrying')
    t.match(await queue.service.cancelTask(task_id), { status: 'CANCELLED' })
    await delay(200)
    await queue.run({ adjustment_query: 'next' })
    t.equal(runs, 1)
  })

  t.test(`of a cancel and a completion that race one wins, for good, ${kind}`, async t => {
    const queue = await startQueue(t, kind)
    let go = gate()
    await queue.work(async () => {
      await go.opened
      return 'chart'
    }, { concurrency: 1 })
    const seen: Record<string, number> = { CANCELLED: 0, COMPLETED: 0 }
    for (let i = 0; i < 40; i++) {
      go = gate()
      const { task_id } = await queue.enqueue()
      await queue.state(task_id, ({ status }) => status === 'PROCESSING')
      go.open()
      if (i % 4 > 0) await new Promise(resolve => setImmediate(resolve))
      if (i % 4 === 2) await delay(1)
      if (i % 4 === 3) await delay(3)
      const answer = await queue.service.cancelTask(task_id)
      const ended = await queue.ended(task_id)
      t.same(answer, ended, `${i}: what the cancel answered is what it stays`)
      await queue.enqueue({ force_create: true }).then(task => queue.ended(task.task_id))
      t.same(await queue.service.getTaskStatus(task_id), ended)
      t.equal(await queue.content(ended), ended.status === 'COMPLETED' ? 'chart' : undefined)
      seen[ended.status]!++
    }
    t.comment(`race, ${kind}: ${JSON.stringify(seen)}`)
    t.ok(seen['CANCELLED']! > 0)
  })
}

/** As cancel.lua does it, but for the message that nobody hears. */
async function cancelUnheard ({ keyPrefix, redis }: Queue, task_id: string): Promise<void> {
  const key = `{${keyPrefix}}:2:`
  await until(async () => await redis!.zcard(`${key}processing`) === 1)
  const state = await redis!.hget(`${key}states`, task_id)
  await redis!.multi().zrem(`${key}processing`, task_id).hset(`${key}states`, task_id, state!.replace(' PROCESSING ', ' CANCELLED ')).exec()
}

t.test('a cancel whose hint was lost reaches the generator at the next extension', async t => {
  const queue = await startQueue(t, 'redis')
  const started = gate()
  const aborted = gate<string>()
  await queue.work(async (_request, { signal }) => {
    started.open()
    aborted.open(await abortOf(signal))
    throw signal.reason
  }, { leaseDuration: 1_500 })
  const { task_id } = await queue.enqueue()
  await started.opened
  await cancelUnheard(queue, task_id)
  t.equal(await inTime(aborted.opened, 1_500, 'the generator is aborted'), 'CANCELLED')
})

t.test('or with the next progress that it reports, however long the lease', async t => {
  const queue = await startQueue(t, 'redis')
  const [started, cancelled] = [gate(), gate()]
  const aborted = gate<string>()
  await queue.work(async (_request, { signal, progress }) => {
    started.open()
    await cancelled.opened
    progress({ progress: 10 })
    aborted.open(await abortOf(signal))
    throw signal.reason
  }, { leaseDuration: 600_000 })
  const { task_id } = await queue.enqueue()
  await started.opened
  await cancelUnheard(queue, task_id)
  cancelled.open()
  t.equal(await inTime(aborted.opened, 30_000, 'the generator is aborted'), 'CANCELLED')
})
