import t from 'tap'
import { queueOf } from '../../lib/chart-queue-service.ts'
import { ChartGenerationError } from '../../lib/index.ts'
import { until } from '../helpers/gate.ts'
import { startQueue, stores } from '../helpers/queue.ts'
import { spyOnStore } from '../helpers/spy-store.ts'

for (const kind of stores) {
  t.test(`what another process counts is there by itself, on ${kind}`, async t => {
    const queue = await startQueue(t, kind)
    const spy = spyOnStore(queue)
    const worker = await queue.work(async ({ adjustment_query }) => {
      if (adjustment_query === 'no') throw new ChartGenerationError('No rows', { code: 'NO_DATA' })
      return null
    }, { store: spy.store })
    await queue.run()
    const failed = await queue.run({ adjustment_query: 'no' })
    const totals = async () => (await queue.service.getQueueHistory()).totals
    await until(async () => (await totals()).completed + (await totals()).failed === 2, 60_000)
    t.match(await totals(), { created: 2, started: 2, completed: 1, failed: 1 })
    t.match((await queue.service.getFailures()).failures, [{ error_code: 'NO_DATA', count: 1, tasks: [{ task_id: failed.task_id, message_id: failed.message_id, error_message: 'No rows' }] }])
    t.ok(spy.calls('addHistory') <= 2, 'not one by one')
    await queue.run()
    await worker.stop()
    t.match(await totals(), { created: 3, started: 3, completed: 2 }, 'a worker that stops leaves nothing uncounted')
  })

  t.test(`an addition whose reply is lost counts once, on ${kind}`, async t => {
    const queue = await startQueue(t, kind)
    const spy = spyOnStore(queue)
    spy.lose('reply', 'addHistory')
    await queue.work(async () => null, { store: spy.store })
    await queue.run()
    await until(() => spy.calls('addHistory') > 0, 60_000)
    spy.restore()
    await until(() => spy.calls('addHistory') > 1, 60_000)
    t.match((await queue.service.getQueueHistory()).totals, { started: 1, completed: 1 })
  })

  t.test(`tasks that end without a worker are counted where that is noticed, on ${kind}`, async t => {
    const queue = await startQueue(t, kind, { retry: { attempts: 1 } })
    const { service } = queue
    const base = await queue.enqueue()
    await queue.enqueue({ depends_on: [base.task_id] })
    await service.cancelTask(base.task_id)
    const { task_id } = await queue.enqueue()
    await queueOf(service).leases.claim({ worker_id: 'gone', claim_id: 'gone', count: 1, leaseDuration: 1 })
    await until(async () => {
      await service.dequeueChartTask()
      return (await service.getTaskStatus(task_id))?.status === 'FAILED'
    })
    const { totals, minutes } = await service.getQueueHistory({ minutes: 5 })
    t.match(totals, { created: 3, started: 1, cancelled: 1, failed: 2 })
    t.same(minutes.flatMap(({ failed }) => Object.keys(failed)).sort(), ['CHARTS_ERR_DEPENDENCY_FAILED', 'CHARTS_ERR_WORKER_LOST'])
  })
}
