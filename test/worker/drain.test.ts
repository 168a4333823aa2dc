import Fastify from 'fastify'
import t from 'tap'
import { queueOf } from '../../lib/chart-queue-service.ts'
import asyncCharts, { memoryStore, runWorker, type Logger } from '../../lib/index.ts'
import { silentLogger } from '../../lib/silent-logger.ts'
import { gate, inTime, until } from '../helpers/gate.ts'
import { startQueue, stores } from '../helpers/queue.ts'
import { recordingLogger } from '../helpers/recording-logger.ts'
import { spyOnStore } from '../helpers/spy-store.ts'

for (const kind of stores) {
  t.test(`stop lets what runs finish and claims nothing new, ${kind}`, async t => {
    const queue = await startQueue(t, kind)
    const started = gate()
    const finish = gate()
    const ran: string[] = []
    const worker = await queue.work(async ({ task_id }) => {
      ran.push(task_id)
      started.open()
      await finish.opened
      return 'chart'
    }, { concurrency: 2, shutdownTimeout: 20_000 })
    const first = await queue.enqueue()
    await started.opened
    let stopped = false
    const stopping = worker.stop().then(() => { stopped = true })
    const second = await queue.enqueue()
    await new Promise(resolve => setTimeout(resolve, 200))
    t.equal(stopped, false)
    finish.open()
    await inTime(stopping, 1_000, 'it stops as soon as nothing runs')
    await inTime(worker.done, 100, 'done')
    t.match(await queue.service.getTaskStatus(first.task_id), { status: 'COMPLETED', attempt: 1 })
    t.match(await queue.service.getTaskStatus(second.task_id), { status: 'PENDING', attempt: 0 })
    t.same(ran, [first.task_id])
  })

  t.test(`after shutdownTimeout what runs is aborted and released at once, at no cost, ${kind}`, async t => {
    const queue = await startQueue(t, kind)
    const started = gate()
    const aborted = gate<string>()
    const logger = recordingLogger()
    const worker = await queue.work(async (_request, { signal, progress }) => {
      progress({ step: 'rendering', step_progress: 50, progress: 50 })
      signal.addEventListener('abort', () => aborted.open(signal.reason.code))
      started.open()
      await aborted.opened
      throw signal.reason
    }, { shutdownTimeout: 300, leaseDuration: 30_000, logger })
    const { task_id } = await queue.enqueue()
    await started.opened
    const began = performance.now()
    await worker.stop()
    const took = performance.now() - began
    t.ok(took >= 299 && took < 1_300, `${took} ms: it does not wait for a generator that has answered`)
    t.equal(await aborted.opened, 'SHUTDOWN')
    t.match(await queue.service.getTaskStatus(task_id), { status: 'PENDING', attempt: 0, current_step: 'queued', progress: 0, step_progress: {} })
    t.same(logger.said(/abandoned/), [])

    const later = await queue.enqueue()
    const order: string[] = []
    await queue.work(async ({ task_id }, { attempt }) => {
      order.push(task_id)
      return attempt
    }, { concurrency: 1 })
    const task = await inTime(queue.ended(task_id), 1_000, 'another worker claims it at once')
    t.match(task, { status: 'COMPLETED', attempt: 1 })
    await queue.ended(later.task_id)
    t.same(order, [task_id, later.task_id], 'ahead of new ones')
  })

  t.test(`a generator that ignores its signal is abandoned a second later, its task released, ${kind}`, async t => {
    const queue = await startQueue(t, kind)
    const started = gate()
    const late = gate()
    const logger = recordingLogger()
    const worker = await queue.work(async () => {
      started.open()
      await late.opened
      return 'late'
    }, { shutdownTimeout: 200, leaseDuration: 30_000, logger })
    const { task_id } = await queue.enqueue()
    await started.opened
    const began = performance.now()
    await inTime(worker.stop(), 2_200, 'stop')
    t.ok(performance.now() - began >= 1_150)
    t.match(logger.said(/abandoned/), [{ details: { task_id, code: 'SHUTDOWN' } }])
    await queue.work(async () => 'chart')
    const task = await inTime(queue.ended(task_id), 1_000, 'another worker claims it at once')
    t.match(task, { status: 'COMPLETED', attempt: 1 })
    late.open()
    await queue.run()
    t.equal(await queue.content((await queue.service.getTaskStatus(task_id))!), 'chart')
  })

  t.test(`many hand-backs in a row cost no attempt, and the fence still grows, ${kind}`, async t => {
    const queue = await startQueue(t, kind, { retry: { attempts: 1 } })
    const { task_id } = await queue.enqueue()
    for (let i = 0; i < 5; i++) {
      const started = gate<number>()
      const worker = await queue.work(async (_request, { attempt, signal }) => {
        started.open(attempt)
        await new Promise(resolve => signal.addEventListener('abort', resolve))
        throw signal.reason
      })
      t.equal(await started.opened, 1)
      await worker.stop()
    }
    const claimed = await queue.service.dequeueChartTask()
    t.match(claimed, { lease: 6, task: { attempt: 1 } })
    t.ok(await queue.service.completeTask(task_id, 6, { content: null }))
  })

  t.test(`stop twice is stop, also when nothing ran, ${kind}`, async t => {
    const queue = await startQueue(t, kind)
    const worker = await queue.work(async () => null)
    const both = [worker.stop(), worker.stop()]
    await inTime(Promise.all(both), 1_500, 'both')
    await inTime(worker.stop(), 100, 'again')
    await inTime(worker.done, 100, 'done')
  })

  t.test(`stop right after the start releases what arrives meanwhile, ${kind}`, async t => {
    const queue = await startQueue(t, kind)
    const ids = await Promise.all(Array.from({ length: 4 }, async () => (await queue.enqueue()).task_id))
    const isHandedBack = async () => (await queue.service.getTaskDetails(ids[0]!))!.attempts.some(({ outcome }) => outcome === 'released')
    for (let i = 0; i < 50 && !await isHandedBack(); i++) {
      const worker = await queue.work(async (_request, { signal }) => {
        await new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
        return null
      }, { concurrency: 4, leaseDuration: 30_000 })
      await inTime(worker.stop(), 2_000, 'stop')
    }
    t.ok(await isHandedBack(), 'something had arrived')
    for (const id of ids) t.match(await queue.service.getTaskStatus(id), { status: 'PENDING', attempt: 0 })
  })

  t.test(`stop keeps its time while the store does not answer, ${kind}`, async t => {
    const queue = await startQueue(t, kind)
    const started = gate()
    const { store, lose } = spyOnStore(queue)
    const worker = await queue.work(async (_request, { signal }) => {
      started.open()
      await new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
      return null
    }, { store, shutdownTimeout: 500 })
    await queue.enqueue()
    await started.opened
    lose('request')
    await inTime(worker.stop(), 500 + 2_000, 'stop')
    await inTime(worker.done, 100, 'done')
  })

  t.test(`stop of an idle worker keeps its time while the store does not answer, ${kind}`, async t => {
    const queue = await startQueue(t, kind)
    const { store, lose, calls } = spyOnStore(queue)
    const worker = await queue.work(async () => null, { store, shutdownTimeout: 0 })
    await until(() => calls('waitForWork') > 0)
    lose('request')
    await inTime(worker.stop(), 2_000, 'stop')
  })

  t.test(`a sign of work that reached a worker while it stopped reaches another, ${kind}`, async t => {
    const queue = await startQueue(t, kind)
    const other = spyOnStore(queue)
    await queue.work(async () => null, { store: other.store })
    await until(() => other.calls('waitForWork') > 0)
    for (let i = 0; i < 10; i++) {
      const worker = await queue.work(async () => null)
      const task = queue.enqueue()
      const stopping = worker.stop()
      await inTime(queue.ended((await task).task_id), 2_000, 'it is worked')
      await stopping
    }
  })

  t.test(`fastify.close() drains the worker of the plugin, ${kind}`, async t => {
    const queue = await startQueue(t, kind)
    const app = Fastify()
    const started = gate()
    const finish = gate()
    const logger = recordingLogger()
    const listeners = process.listenerCount('SIGTERM')
    await app.register(asyncCharts, {
      ...queue.place,
      keyPrefix: queue.keyPrefix,
      identify: () => ({ user_id: 'ada' }),
      logger,
      worker: { shutdownTimeout: 5_000 },
      generate: async () => {
        started.open()
        await finish.opened
        return 'chart'
      }
    })
    await app.ready()
    t.equal(process.listenerCount('SIGTERM'), listeners, 'the signals are the host\'s')
    const { task_id } = await queue.enqueue()
    await started.opened
    const closing = app.close()
    await until(() => logger.said('the worker drains').length > 0)
    const next = await queue.enqueue()
    finish.open()
    await inTime(closing, 2_000, 'close')
    t.match(await queue.service.getTaskStatus(task_id), { status: 'COMPLETED', attempt: 1 })
    t.match(await queue.service.getTaskStatus(next.task_id), { status: 'PENDING' })
  })
}

t.test('the host\'s client stays open, and as it was', async t => {
  const queue = await startQueue(t, 'redis')
  await queue.redis!.ping()
  const before = { ...queue.redis!.options }
  const own = Object.getOwnPropertyNames(queue.redis!).sort()
  const worker = await queue.work(async () => null)
  await queue.run()
  await worker.stop()
  t.equal(queue.redis!.status, 'ready')
  t.equal(await queue.redis!.ping(), 'PONG')
  t.same({ ...queue.redis!.options }, before)
  t.same(Object.getOwnPropertyNames(queue.redis!).sort(), own)
})

t.test('listeners of signals come and go with the worker', async t => {
  const queue = await startQueue(t, 'memory')
  const count = () => process.listenerCount('SIGTERM') + process.listenerCount('SIGINT')
  const before = count()
  const without = await queue.work(async () => null, { handleSignals: false })
  t.equal(count(), before)
  const withThem = await queue.work(async () => null, { handleSignals: true })
  t.equal(count(), before + 2)
  await withThem.stop()
  await without.stop()
  t.equal(count(), before)
})

t.test('stop keeps its time while the store does not remove the worker', async t => {
  const queue = await startQueue(t, 'memory')
  const { store } = spyOnStore(queue)
  const silent = new Proxy(store, { get: (target, verb: keyof typeof store) => verb === 'removeWorker' ? () => new Promise(() => {}) : target[verb] })
  const worker = await queue.work(async () => null, { store: silent })
  await inTime(worker.stop(), 2_500, 'stop')
})

const failsToStop: Logger = { ...silentLogger, info (_details, message) { if (message === 'the worker has stopped') throw new Error('no disk') } }

t.test('a worker whose logger throws while it stops says so to its host, and its signal handler to nobody', async t => {
  const before = process.listeners('SIGTERM')
  const worker = await runWorker({ store: memoryStore(), generate: async () => null, logger: failsToStop })
  const [drain] = process.listeners('SIGTERM').filter(listener => !before.includes(listener))
  drain!('SIGTERM')
  await t.rejects(worker.done, { message: 'no disk' })
})

t.test('a host whose worker stops has no slots left, and a failure to stop is that of its close', async t => {
  const app = Fastify()
  await app.register(asyncCharts, { store: memoryStore(), identify: () => null, generate: async () => null, logger: failsToStop })
  await app.ready()
  const { telemetry } = queueOf(app.asyncCharts)
  t.same(telemetry.slots, { used: 0, total: 2 })
  await t.rejects(app.close(), { message: 'no disk' })
  t.equal(telemetry.slots, null)
  await app.asyncCharts.close()
})
