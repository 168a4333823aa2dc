import t from 'tap'
import type { Claim } from '../../lib/store/task-store.ts'
import { gate, inTime, until } from '../helpers/gate.ts'
import { startQueue, stores } from '../helpers/queue.ts'
import { spyOnStore } from '../helpers/spy-store.ts'

for (const kind of stores) {
  t.test(`no more run at a time than concurrency says, and all slots are used, ${kind}`, async t => {
    const queue = await startQueue(t, kind)
    let running = 0
    let most = 0
    const full = gate()
    const ids = await Promise.all(Array.from({ length: 30 }, async () => (await queue.enqueue()).task_id))
    await queue.work(async () => {
      most = Math.max(most, ++running)
      if (running === 5) full.open()
      await full.opened
      await new Promise(resolve => setImmediate(resolve))
      running--
      return null
    }, { concurrency: 5 })
    const tasks = await Promise.all(ids.map(id => queue.ended(id)))
    t.ok(tasks.every(({ status, attempt }) => status === 'COMPLETED' && attempt === 1))
    t.equal(most, 5)
  })

  t.test(`the default is two at a time, ${kind}`, async t => {
    const queue = await startQueue(t, kind)
    const hold = gate()
    const started: string[] = []
    const ids: string[] = []
    for (let i = 0; i < 3; i++) ids.push((await queue.enqueue()).task_id)
    await queue.work(async ({ task_id }) => {
      started.push(task_id)
      await hold.opened
      return null
    })
    await until(() => started.length === 2)
    t.match(await queue.service.getQueueStats(), { queue_length: 1, processing_count: 2 })
    hold.open()
    await Promise.all(ids.map(id => queue.ended(id)))
    t.same(started, ids, 'oldest first')
  })

  t.test(`several are claimed in one round trip, and the next ones as the last ones end, ${kind}`, async t => {
    const queue = await startQueue(t, kind)
    const ids = await Promise.all(Array.from({ length: 40 }, async () => (await queue.enqueue()).task_id))
    const { store, calls, log } = spyOnStore(queue)
    await queue.work(async () => null, { concurrency: 10, store })
    await Promise.all(ids.map(id => queue.ended(id)))
    await until(() => calls('waitForWork') > 0)
    t.equal((log.find(({ verb }) => verb === 'claim')!.args[0] as Claim).count, 10)
    t.ok(calls('settleAttempts') <= 8, `${calls('settleAttempts')} to settle forty and claim thirty`)
    t.ok(calls('claim') <= 3, `${calls('claim')} without an end`)
  })

  t.test(`one command extends all leases, ${kind}`, async t => {
    const queue = await startQueue(t, kind)
    const hold = gate()
    const ids = await Promise.all(Array.from({ length: 8 }, async () => (await queue.enqueue()).task_id))
    const { store, log } = spyOnStore(queue)
    await queue.work(async () => {
      await hold.opened
      return null
    }, { concurrency: 8, store, leaseDuration: 600 })
    const extensions = () => log.filter(({ verb }) => verb === 'extend').map(({ args }) => args[0] as Array<{ task_id: string, lease: number }>)
    await until(() => extensions().length >= 4)
    hold.open()
    const tasks = await Promise.all(ids.map(id => queue.ended(id)))
    t.ok(tasks.every(({ status, attempt }) => status === 'COMPLETED' && attempt === 1), 'longer than a lease, one try')
    for (const leases of extensions().slice(0, 3)) t.same(leases.map(({ task_id }) => task_id).sort(), [...ids].sort())
  })

  t.test(`an idle worker starts a task at once, ${kind}`, async t => {
    const queue = await startQueue(t, kind)
    const { store, calls } = spyOnStore(queue)
    await queue.work(async () => performance.now(), { store })
    await until(() => calls('waitForWork') > 0)
    const waits: number[] = []
    for (let i = 0; i < 20; i++) {
      const before = performance.now()
      const task = await queue.run()
      waits.push(await queue.content(task) as number - before)
    }
    waits.sort((a, b) => a - b)
    t.ok(waits[10]! < 100, `median ${waits[10]!.toFixed(1)} ms, longest ${waits[19]!.toFixed(1)} ms`)
    t.comment(`enqueue to start, ${kind}: median ${waits[10]!.toFixed(1)} ms, longest ${waits[19]!.toFixed(1)} ms`)
  })

  t.test(`every idle worker gets work where there is enough, ${kind}`, async t => {
    const queue = await startQueue(t, kind)
    const all = gate()
    let running = 0
    const spies = [spyOnStore(queue), spyOnStore(queue), spyOnStore(queue)]
    for (const { store } of spies) {
      await queue.work(async () => {
        if (++running === 3) all.open()
        await all.opened
        return null
      }, { concurrency: 1, store })
    }
    await until(() => spies.every(({ calls }) => calls('waitForWork') > 0))
    await Promise.all([queue.enqueue(), queue.enqueue(), queue.enqueue()])
    await inTime(all.opened, 2_000, 'three workers run three tasks at a time')
    t.equal(running, 3)
  })
}
