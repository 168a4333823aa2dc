import { test } from 'tap'
import { ChartQueueService, memoryStore } from '../../lib/index.ts'
import { toLogged } from '../../lib/logging.ts'
import { consoleLogger } from '../../lib/worker/console-logger.ts'
import { recordingLogger } from '../helpers/recording-logger.ts'

test('all errors of an AggregateError are logged, and cut like others', async t => {
  const { errors } = toLogged(new AggregateError([new Error('first'), new Error('x'.repeat(5_000))], 'both')) as AggregateError
  t.equal(errors[0].message, 'first')
  t.ok(errors[1].message.length < 3_000)
})

test('details that cannot be written as JSON do not keep the message from the console', async t => {
  class OddError extends Error {
    toJSON () { throw new Error('no') }
  }
  const lines = t.capture(console, 'error')
  consoleLogger().error({ err: new OddError('odd') }, 'chart failed')
  t.same(lines().map(({ args }) => args), [['chart failed (unreadable details)']])
})

test('an error whose name can be read only once is logged, and its attempt is settled', async t => {
  let reads = 0
  class OddError extends Error {
    override get name (): string {
      if (++reads > 1) throw new Error('no name')
      return 'OddError'
    }
  }
  const logger = recordingLogger()
  const service = new ChartQueueService({ store: memoryStore(), logger, retry: { attempts: 1 } })
  t.teardown(() => service.close())
  const { task: { task_id } } = await service.enqueueChartTask({ message_id: crypto.randomUUID() }, { user_id: 'ada' })
  t.equal(await service.completeTask(task_id, (await service.dequeueChartTask())!.lease, { error: new OddError('odd') }), true)
  t.match(logger.said('chart failed'), [{ details: { task_id, err: Object } }])
})
