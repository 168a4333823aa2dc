import { randomUUID } from 'node:crypto'
import t from 'tap'
import { ChartQueueService, type ChartTask } from '../../lib/index.ts'
import { until } from '../helpers/gate.ts'
import { startQueue, stores, type Queue } from '../helpers/queue.ts'
import { spyOnStore } from '../helpers/spy-store.ts'

const MANY = 120
const ada = { user_id: 'ada' }

/** A message with many tasks, in two batches. */
async function fill (queue: Queue, message_id: string, more: object = {}): Promise<string[]> {
  const ids: string[] = []
  for (const size of [MANY / 2, MANY / 2]) {
    const { tasks } = await queue.service.enqueueChartTasks(Array.from({ length: size }, () => ({ message_id, force_create: true, ...more })), ada)
    ids.push(...tasks.map(({ task }) => task.task_id))
  }
  return ids
}

const statuses = async (queue: Queue, ids: readonly string[]) =>
  [...new Set(await Promise.all(ids.map(async id => (await queue.service.getTaskStatus(id))?.status)))]

for (const kind of stores) {
  t.test(`whoever supersedes many goes on until all have ended, and each is told of once, ${kind}`, async t => {
    const ended: ChartTask[] = []
    const queue = await startQueue(t, kind, { onFinished: task => ended.push(task) })
    const message_id = randomUUID()
    const ids = await fill(queue, message_id)
    const { task, outcome } = await queue.service.enqueueChartTask({ message_id, force_create: true, supersede: true }, ada)
    t.equal(outcome, 'queued')
    await until(() => ended.length >= MANY)
    t.same(ended.map(({ task_id }) => task_id).sort(), [...ids].sort())
    t.same(await statuses(queue, ids), ['CANCELLED'])
    t.same((await queue.service.getActiveTasksByMessageId(message_id, 'ada')).map(({ task_id }) => task_id), [task.task_id])
    t.equal((await queue.service.getQueueStats()).queue_length, 1)
  })

  t.test(`whoever cancels what many need has the answer at once, and goes on, ${kind}`, async t => {
    const ended: ChartTask[] = []
    const queue = await startQueue(t, kind, { onFinished: task => ended.push(task) })
    const { task_id } = await queue.enqueue()
    const ids = await fill(queue, randomUUID(), { depends_on: [task_id] })
    t.equal((await queue.service.cancelTask(task_id))?.status, 'CANCELLED')
    await until(() => ended.length > MANY)
    t.same(await statuses(queue, ids), ['FAILED'])
  })

  t.test(`what many need and completes without a worker lets all of them run, ${kind}`, async t => {
    const queue = await startQueue(t, kind)
    const { task_id } = await queue.enqueue()
    const ids = await fill(queue, randomUUID(), { depends_on: [task_id] })
    const { lease } = (await queue.service.dequeueChartTask())!
    t.equal(await queue.service.completeTask(task_id, lease, { content: 'chart' }), true)
    await queue.work(async () => 'chart', { concurrency: 50 })
    for (const id of ids) t.equal((await queue.ended(id)).status, 'COMPLETED')
  })

  t.test(`should who supersedes many die, a worker goes on, and starts none of them, ${kind}`, async t => {
    const queue = await startQueue(t, kind)
    const message_id = randomUUID()
    const ids = await fill(queue, message_id)
    const spy = spyOnStore(queue)
    const other = new ChartQueueService({ store: spy.store })
    t.teardown(() => other.close())
    spy.lose('request', 'settleAttempts')
    const { task } = await other.enqueueChartTask({ message_id, force_create: true, supersede: true }, ada)
    t.same((await statuses(queue, ids)).sort(), ['CANCELLED', 'PENDING'])
    const started: string[] = []
    await queue.work(async ({ task_id }) => {
      started.push(task_id)
      return 'chart'
    })
    for (const id of ids) await queue.ended(id)
    t.same(await statuses(queue, ids), ['CANCELLED'])
    await queue.ended(task.task_id)
    t.same(started, [task.task_id])
  })

  t.test(`a batch of 100 that need each other is cancelled in parts, and none fails, ${kind}`, async t => {
    const queue = await startQueue(t, kind)
    const spy = spyOnStore(queue)
    const service = new ChartQueueService({ store: spy.store })
    t.teardown(() => service.close())
    const requests = Array.from({ length: 100 }, (_, i) => ({
      message_id: randomUUID(), ref: `r${i}`, depends_on: i === 0 ? [] : [`r${i - 1}`]
    }))
    const { batch_id } = await service.enqueueChartTasks(requests, ada)
    const tasks = await service.cancelBatch(batch_id)
    t.same([...new Set(tasks!.map(({ status }) => status))], ['CANCELLED'], 'as they are after it')
    const sizes = spy.log.filter(({ verb }) => verb === 'cancelAll').map(({ args: [ids] }) => (ids as string[]).length)
    t.ok(sizes.length > 1 && sizes.every(size => size <= 25), `cancelled ${sizes}`)
  })
}
