import { getEventListeners } from 'node:events'
import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import type { Leases } from '../../lib/service/leases.ts'
import { silentLogger } from '../../lib/silent-logger.ts'
import type { Attempt } from '../../lib/worker/attempt.ts'
import { ProgressSender } from '../../lib/worker/progress-sender.ts'
import { gate, until } from '../helpers/gate.ts'
import { hostStore } from '../helpers/chart-store.ts'
import { startQueue } from '../helpers/queue.ts'
import { recordingLogger } from '../helpers/recording-logger.ts'
import { spyOnStore } from '../helpers/spy-store.ts'

const timers = () => process.getActiveResourcesInfo().filter(kind => kind === 'Timeout').length
const listeners = (signal: AbortSignal) => getEventListeners(signal, 'abort').length

t.test('an attempt that is abandoned leaves no timer and no listener behind', async t => {
  const queue = await startQueue(t, 'memory')
  const before = timers()
  const logger = recordingLogger()
  const started = gate<AbortSignal>()
  const worker = await queue.work(async (_request, { signal }) => {
    started.open(signal)
    return new Promise(() => {})
  }, { logger })
  const { task_id } = await queue.enqueue()
  const signal = await started.opened
  await queue.service.cancelTask(task_id)
  await until(() => logger.said(/abandoned/).length === 1)
  await worker.stop()
  t.equal(listeners(signal), 0)
  await until(() => timers() <= before)
})

t.test('nor does one that is aborted before its generator was called', async t => {
  const before = timers()
  const asked = gate()
  const charts = hostStore()
  const chartStore = {
    ...charts,
    get: () => {
      asked.open()
      return new Promise<undefined>(() => {})
    }
  }
  const queue = await startQueue(t, 'memory', { chartStore })
  const worker = await queue.work(async () => 'chart')
  const { task_id } = await queue.run()
  await queue.enqueue({ depends_on: [task_id] })
  await asked.opened
  await worker.stop()
  await queue.service.close()
  await until(() => timers() <= before)
  t.pass('all timers are gone')
})

t.test('nor does a worker that stops while the store does not answer', async t => {
  const queue = await startQueue(t, 'memory')
  const before = timers()
  const { store, lose, calls } = spyOnStore(queue)
  const worker = await queue.work(async (_request, { progress, signal }) => {
    progress({ progress: 1 })
    await new Promise(resolve => signal.addEventListener('abort', resolve))
    progress({ progress: 2 })
    return new Promise(() => {})
  }, { store })
  const { task_id } = await queue.enqueue()
  await queue.state(task_id, ({ progress }) => progress === 1)
  lose('request')
  await worker.stop()
  t.ok(timers() <= before, 'nothing is waited for any more')
  const asked = calls('progress')
  await turn()
  t.equal(calls('progress'), asked)
})

t.test('progress that is under way when a worker stops is not followed by more', async t => {
  const sent = gate()
  const stored = gate<boolean[]>()
  const leases = {
    progress: () => {
      sent.open()
      return stored.opened
    }
  } as unknown as Leases
  const attempts = new Set([{ takeReport: () => ({}) } as unknown as Attempt])
  const sender = new ProgressSender({ leases, attempts, logger: silentLogger, onStale () {} })
  const before = timers()
  sender.soon()
  await sent.opened
  sender.soon()
  sender.stop()
  stored.open([true])
  await turn()
  t.ok(timers() <= before)
})
