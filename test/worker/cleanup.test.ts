import { mock } from 'node:test'
import t from 'tap'
import { until } from '../helpers/gate.ts'
import { startQueue } from '../helpers/queue.ts'
import { recordingLogger } from '../helpers/recording-logger.ts'
import { spyOnStore } from '../helpers/spy-store.ts'

t.test('a worker cleans up every minute, also after a clean-up that failed', async t => {
  const queue = await startQueue(t, 'memory')
  const logger = recordingLogger()
  const { store, calls, lose, restore } = spyOnStore(queue)
  mock.timers.enable({ apis: ['setInterval'] })
  t.teardown(() => mock.timers.reset())
  await queue.work(async () => null, { store, logger })
  mock.timers.tick(60_000)
  t.equal(calls('cleanup'), 1)
  lose('request', 'cleanup')
  mock.timers.tick(60_000)
  await until(() => logger.said(/^cleanup failed/).length === 1)
  restore()
  mock.timers.tick(60_000)
  t.equal(calls('cleanup'), 3)
})
