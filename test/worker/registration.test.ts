import { hostname } from 'node:os'
import t from 'tap'
import { VERSION } from '../../lib/version.ts'
import { gate, until } from '../helpers/gate.ts'
import { redisUrl } from '../helpers/redis.ts'
import { spyOnStore } from '../helpers/spy-store.ts'
import { startQueue, stores } from '../helpers/queue.ts'
import { startWorkerProcess } from '../helpers/worker-process.ts'

for (const kind of stores) {
  t.test(`a worker is told while it is there, on ${kind}`, async t => {
    const queue = await startQueue(t, kind)
    t.strictSame((await queue.service.getWorkers()).workers, [])
    const [begun, end] = [gate(), gate()]
    const worker = await queue.work(async (_request, { progress }) => {
      progress({ step: 'rendering', progress: 40 })
      begun.open()
      await end.opened
      return null
    }, { concurrency: 3, shutdownTimeout: 60_000 })
    const only = async () => {
      const { workers, complete } = await queue.service.getWorkers()
      t.equal(complete, true)
      t.equal(workers.length, 1)
      return workers[0]!
    }
    await until(async () => (await queue.service.getWorkers()).workers.length > 0)
    t.match(await only(), {
      host: hostname(), pid: process.pid, version: VERSION, concurrency: 3, state: 'running', running: [], running_count: 0, started_at: String, last_seen_at: String
    })
    const { task_id, message_id } = await queue.enqueue()
    await begun.opened
    await until(async () => (await only()).running[0]?.current_step === 'rendering')
    t.match(await only(), { running: [{ task_id, message_id, attempt: 1, current_step: 'rendering', progress: 40, started_at: String }], running_count: 1 })

    const stopped = worker.stop()
    await until(async () => (await only()).state === 'draining')
    t.equal((await only()).running_count, 1, 'what it runs goes on')
    end.open()
    await stopped
    t.strictSame((await queue.service.getWorkers()).workers, [], 'at once after a graceful stop')
  })

  t.test(`a store that keeps neither workers nor a history works as before, on ${kind}`, async t => {
    const queue = await startQueue(t, kind)
    const spy = spyOnStore(queue)
    spy.lose('request', 'registerWorker', 'removeWorker', 'addHistory')
    const worker = await queue.work(async () => 'chart', { store: spy.store })
    t.match(await queue.run(), { status: 'COMPLETED' })
    await worker.stop()
    t.ok(spy.calls('registerWorker') > 0)
    t.ok(spy.calls('removeWorker') > 0)
  })
}

t.test('a worker that is killed is gone about a lease later', { skip: !stores.includes('redis') }, async t => {
  const queue = await startQueue(t, 'redis')
  const killed = await startWorkerProcess(t, { url: await redisUrl(), keyPrefix: queue.keyPrefix })
  await until(async () => (await queue.service.getWorkers()).workers.some(({ pid }) => pid === killed.pid))
  await killed.kill()
  await until(async () => (await queue.service.getWorkers()).workers.length === 0, 60_000)
})

t.test('a worker is told again by itself', { skip: !stores.includes('redis') }, async t => {
  const queue = await startQueue(t, 'redis')
  const { redis, keyPrefix } = queue
  const one = await queue.work(async () => null)
  await until(async () => (await queue.service.getWorkers()).workers.length === 1)
  const { worker_id } = (await queue.service.getWorkers()).workers[0]!
  const key = `{${keyPrefix}}:2:worker:${worker_id}`
  const [first] = (await redis!.get(key))!.split(' ')
  await until(async () => Number((await redis!.get(key))?.split(' ')[0]) > Number(first), 60_000)
  await redis!.del(key)
  t.strictSame((await queue.service.getWorkers()).workers, [])
  await until(async () => (await queue.service.getWorkers()).workers.length === 1, 60_000)

  await one.stop()
})
