import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { gate, inTime, until } from '../helpers/gate.ts'
import { startQueue, stores } from '../helpers/queue.ts'
import { redisServerPath, startRedis } from '../helpers/redis.ts'
import { spyOnStore } from '../helpers/spy-store.ts'

for (const kind of stores) {
  t.test(`a paused queue with workers, ${kind}`, async t => {
    const queue = await startQueue(t, kind)
    const started: string[] = []
    const go = gate()
    const { store, calls } = spyOnStore(queue)
    for (let i = 0; i < 2; i++) {
      await queue.work(async ({ task_id }) => {
        started.push(task_id)
        if (started.length === 1) await go.opened
        return 1
      }, { concurrency: 2, store })
    }
    const running = await queue.enqueue()
    await until(() => started.length === 1)
    await queue.service.pauseQueue()
    const before = calls('claim')
    const waiting = [await queue.enqueue(), await queue.enqueue(), await queue.enqueue()]
    await until(() => calls('claim') > before)
    await delay(300)
    t.same(started, [running.task_id], 'nothing more is begun')
    go.open()
    t.equal((await queue.ended(running.task_id)).status, 'COMPLETED', 'what runs goes on to its end')
    t.equal(started.length, 1)
    await queue.service.resumeQueue()
    await inTime(Promise.all(waiting.map(({ task_id }) => queue.ended(task_id))), 2_000, 'the others begin at once')
  })
}

t.test('idle workers of a paused queue let Redis rest', { skip: await redisServerPath() === null && 'needs a Redis of its own' }, async t => {
  const server = await startRedis()
  t.teardown(() => server.stop())
  const queue = await startQueue(t, 'redis', { url: server.url })
  for (let i = 0; i < 3; i++) await queue.work(async () => 1)
  await queue.service.pauseQueue()
  for (let i = 0; i < 5; i++) await queue.enqueue()
  await delay(500)
  const calls = async () => Number(/cmdstat_evalsha:calls=(\d+)/.exec(await queue.redis!.info('commandstats'))?.[1] ?? 0)
  const before = await calls()
  await delay(2_000)
  const asked = await calls() - before
  t.ok(asked <= 3, `${asked} scripts in two seconds`)
})
