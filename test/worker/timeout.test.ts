import t from 'tap'
import { setTimeout as delay } from 'node:timers/promises'
import { gate, inTime } from '../helpers/gate.ts'
import { startQueue, stores } from '../helpers/queue.ts'
import { recordingLogger } from '../helpers/recording-logger.ts'

for (const kind of stores) {
  t.test(`a generator that never ends fails after its attempts, a second after each deadline, ${kind}`, async t => {
    const queue = await startQueue(t, kind, { retry: { attempts: 2 } })
    const logger = recordingLogger()
    const attempts: number[] = []
    await queue.work(async ({ adjustment_query }, { attempt }) => {
      if (adjustment_query === 'next') return null
      attempts.push(attempt)
      return new Promise<never>(() => {})
    }, { attemptTimeout: 200, concurrency: 1, logger })
    const began = performance.now()
    const task = await inTime(queue.run(), 2 * 1_200 + 1_500, 'it fails')
    t.ok(performance.now() - began >= 2 * 1_200 - 50, 'it had its second of grace')
    t.match(task, { status: 'FAILED', error_code: 'CHARTS_ERR_ATTEMPT_TIMEOUT', error_message: 'Chart generation took too long', attempt: 2 })
    t.same(attempts, [1, 2])
    t.match(logger.said(/abandoned/).map(({ details }) => details['code']), ['TIMEOUT', 'TIMEOUT'])
    t.match(await queue.run({ adjustment_query: 'next' }), { status: 'COMPLETED' }, 'the slot is free')
  })

  t.test(`a generator that answers its signal frees the slot at once, ${kind}`, async t => {
    const queue = await startQueue(t, kind, { retry: { attempts: 1 } })
    const logger = recordingLogger()
    const codes: string[] = []
    await queue.work(async (_request, { signal }) => {
      await delay(60_000, undefined, { signal }).catch(() => {})
      codes.push((signal.reason as { code: string }).code)
      throw signal.reason
    }, { attemptTimeout: 100, logger })
    const task = await inTime(queue.run(), 1_000, 'it fails')
    t.match(task, { status: 'FAILED', error_code: 'CHARTS_ERR_ATTEMPT_TIMEOUT', attempt: 1 })
    t.same(codes, ['TIMEOUT'])
    t.same(logger.said(/abandoned/), [])
  })

  t.test(`a chart that comes after the deadline is dropped, and the next attempt may succeed, ${kind}`, async t => {
    const queue = await startQueue(t, kind)
    const late = gate()
    await queue.work(async (_request, { attempt }) => {
      if (attempt > 1) return `chart ${attempt}`
      await late.opened
      return 'late'
    }, { attemptTimeout: 100 })
    const task = await queue.run()
    late.open()
    t.match(task, { status: 'COMPLETED', attempt: 2 })
    await queue.run()
    t.same(await queue.service.getTaskStatus(task.task_id), task)
    t.equal(await queue.content(task), 'chart 2')
  })
}
