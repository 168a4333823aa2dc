import t from 'tap'
import type { ChartTask } from '../../lib/index.ts'
import { ChartGenerationError } from '../../lib/index.ts'
import { gate, until } from '../helpers/gate.ts'
import { startQueue, stores } from '../helpers/queue.ts'
import { recordingLogger } from '../helpers/recording-logger.ts'

for (const kind of stores) {
  t.test(`onFinished is called once per end, with the finished task, where it ended, ${kind}`, async t => {
    const here: ChartTask[] = []
    const there: ChartTask[] = []
    const queue = await startQueue(t, kind, { onFinished: task => here.push(task), retry: { attempts: 2 } })
    const started = gate()
    await queue.work(async ({ adjustment_query }, { signal }) => {
      if (adjustment_query === 'fail') throw new Error('twice')
      if (adjustment_query === 'refuse') throw new ChartGenerationError('no')
      if (adjustment_query === 'hold') {
        started.open()
        await new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
      }
      return 'chart'
    }, { onFinished: task => there.push(task) })
    const completed = await queue.run()
    const failed = await queue.run({ adjustment_query: 'fail' })
    const refused = await queue.run({ adjustment_query: 'refuse' })
    await until(() => there.length === 3)
    t.same(there, [completed, failed, refused])
    t.same(here, [])

    const { task_id } = await queue.enqueue({ adjustment_query: 'hold' })
    await started.opened
    const cancelled = await queue.service.cancelTask(task_id)
    await queue.service.cancelTask(task_id)
    await queue.run()
    await until(() => there.length === 4)
    t.same(here, [cancelled], 'a cancel ends where it was asked for, once')
    t.notOk(there.some(task => task.task_id === task_id))
  })

  t.test(`what onFinished throws is only logged, ${kind}`, async t => {
    const queue = await startQueue(t, kind)
    const logger = recordingLogger()
    let calls = 0
    await queue.work(async () => 'chart', {
      logger,
      onFinished: () => {
        if (++calls === 1) throw new Error('at once')
        return Promise.reject(new Error('later'))
      }
    })
    const ids = [(await queue.run()).task_id, (await queue.run()).task_id]
    await until(() => logger.said('onFinished failed').length === 2)
    t.match(logger.said('onFinished failed'), ids.map(task_id => ({ level: 'error', details: { task_id } })))
    t.match(await queue.run(), { status: 'COMPLETED' })
  })

  t.test(`stop waits for onFinished, ${kind}`, async t => {
    const queue = await startQueue(t, kind)
    let over = false
    const worker = await queue.work(async () => 'chart', {
      onFinished: async () => {
        await new Promise(resolve => setTimeout(resolve, 200))
        over = true
      }
    })
    await queue.run()
    await worker.stop()
    t.ok(over)
  })

  t.test(`onFinished is called where a lost task was found, ${kind}`, async t => {
    const queue = await startQueue(t, kind, { retry: { attempts: 1 }, leaseDuration: 100 })
    const { task_id } = await queue.enqueue()
    await queue.service.dequeueChartTask()
    const found = gate<ChartTask>()
    await queue.work(async () => null, { onFinished: found.open, leaseDuration: 500 })
    t.match(await found.opened, { task_id, status: 'FAILED', error_code: 'CHARTS_ERR_WORKER_LOST' })
  })
}
