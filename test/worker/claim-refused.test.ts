import t from 'tap'
import type { Claim, TaskStore } from '../../lib/store/task-store.ts'
import { gate, until } from '../helpers/gate.ts'
import { startQueue, stores } from '../helpers/queue.ts'
import { recordingLogger } from '../helpers/recording-logger.ts'
import { spyOnStore } from '../helpers/spy-store.ts'

// A full Redis refuses claims, and accepts settlements.
for (const kind of stores) {
  t.test(`a chart that is ready is stored while claims are refused, ${kind}`, async t => {
    const queue = await startQueue(t, kind)
    const { store, lose, restore, calls, log } = spyOnStore(queue)
    const finish = gate()
    await queue.work(async ({ adjustment_query }) => {
      if (adjustment_query !== 'at once') await finish.opened
      return 'chart'
    }, { store, concurrency: 3, leaseDuration: 60_000 })
    const held = await Promise.all([1, 2].map(async () => (await queue.enqueue()).task_id))
    await Promise.all(held.map(id => queue.state(id, ({ status }) => status === 'PROCESSING')))
    await until(() => calls('waitForWork') > 0)
    const before = log.length
    lose('request', 'claim')
    const { task_id } = await queue.enqueue({ adjustment_query: 'at once' })
    const refused = () => log.slice(before).filter(({ verb }) => verb === 'claim').map(({ args }) => args[0] as Claim)
    await until(() => refused().length > 0)
    finish.open()
    for (const id of held) t.match(await queue.ended(id), { status: 'COMPLETED', attempt: 1 })
    t.match(await queue.service.getTaskStatus(task_id), { status: 'PENDING' })
    restore()
    t.match(await queue.ended(task_id), { status: 'COMPLETED', attempt: 1 })
    t.equal(new Set(refused().slice(0, 2).map(({ claim_id }) => claim_id)).size, 1, 'the claim was repeated unchanged')
  })

  t.test(`a worker stops in order while claims are refused, ${kind}`, async t => {
    const queue = await startQueue(t, kind)
    const { store, lose, calls } = spyOnStore(queue)
    const logger = recordingLogger()
    const finish = gate()
    let runs = 0
    const worker = await queue.work(async () => {
      runs++
      await finish.opened
      return 'chart'
    }, { store, logger, leaseDuration: 60_000, shutdownTimeout: 60_000 })
    const { task_id } = await queue.enqueue()
    await queue.state(task_id, ({ status }) => status === 'PROCESSING')
    await until(() => calls('waitForWork') > 0)
    const before = calls('claim')
    // The first one gets through, and only its reply is lost.
    lose('reply', 'claim')
    const given = await queue.enqueue()
    await until(() => calls('claim') > before)
    lose('request', 'claim')
    const stopping = worker.stop()
    finish.open()
    await stopping
    t.match(await queue.service.getTaskStatus(task_id), { status: 'COMPLETED', attempt: 1 })
    t.match(await queue.service.getTaskStatus(given.task_id), { status: 'PENDING', attempt: 0 }, 'the tasks of the claim are released')
    t.equal(runs, 1)
    t.same(logger.said(/not reachable/), [])
  })
}

for (const [how, fail] of [['rejects', () => Promise.reject(new Error('no'))], ['throws', () => { throw new Error('no') }]] as const) {
  t.test(`a store that cannot say when there is work, as it ${how}, is asked for it`, async t => {
    const queue = await startQueue(t, 'memory')
    const { store, calls } = spyOnStore(queue)
    const worker = await queue.work(async () => 'chart', { store: new Proxy(store, { get: (target, verb: keyof TaskStore) => verb === 'waitForWork' ? fail : target[verb] }) })
    await until(() => calls('claim') > 0)
    t.match(await queue.run(), { status: 'COMPLETED' })
    await worker.stop()
  })
}
