import { test } from 'tap'
import { ChartGenerationError, errors, type CreateChartRequest, type Identity } from '../../lib/index.ts'
import { startQueue, type Queue } from '../helpers/queue.ts'

const ada: Identity = { user_id: 'ada' }
const message_id = 'b4fb1bd1-0f68-4e51-9d3c-3cba7b1e0b8e'
const one = (fields: Partial<CreateChartRequest> = {}) => ({ message_id: crypto.randomUUID(), ...fields })

async function fail (queue: Queue, request: Partial<CreateChartRequest>) {
  const { task_id } = await queue.enqueue(request)
  const { lease } = (await queue.service.dequeueChartTask())!
  await queue.service.completeTask(task_id, lease, { error: new ChartGenerationError('No rows', { code: 'NO_DATA' }) })
  return task_id
}

test('a failed chart is retried with its params', async t => {
  const queue = await startQueue(t, 'memory', { paramsSchema: {} })
  const { task } = (await queue.service.retryTask(await fail(queue, { params: { rows: 7 } })))!
  t.match(JSON.parse((await queue.service.getTaskData(task.task_id))!), { params: { rows: 7 } })
})

test('retries that the queue has no room for are skipped, and named', async t => {
  const queue = await startQueue(t, 'memory', { limits: { queueLength: 1 } })
  const task_id = await fail(queue, {})
  await queue.enqueue()
  t.match(await queue.service.retryTasks({ task_ids: [task_id] }), { done: 0, skipped: [{ task_id, code: 'CHARTS_ERR_QUEUE_FULL' }] })
})

test('a batch is the same again with its dependencies outside of it, and its time', async t => {
  const queue = await startQueue(t, 'memory')
  const needed = await queue.enqueue()
  const tasks = [one({ depends_on: [needed.task_id] }), one({ run_at: new Date(Date.now() + 60_000).toISOString() })]
  const first = await queue.service.enqueueChartTasks(tasks, ada, { idempotencyKey: 'k' })
  const again = await queue.service.enqueueChartTasks(tasks, ada, { idempotencyKey: 'k' })
  t.match([first.outcome, again.outcome], ['accepted', 'replayed'])
  t.equal(again.batch_id, first.batch_id)
  const later = tasks.map(request => ({ ...request, ...(request.run_at && { run_at: new Date(Date.now() + 120_000).toISOString() }) }))
  await t.rejects(queue.service.enqueueChartTasks(later, ada, { idempotencyKey: 'k' }), { code: 'CHARTS_ERR_IDEMPOTENCY_KEY_REUSED' })
})

test('a chart that a hundred batches wait for is refused to the next, which is told which one', async t => {
  const queue = await startQueue(t, 'memory', { limits: { waitingPerTenant: 0 } })
  for (let i = 0; i < 100; i++) await queue.service.enqueueChartTasks([{ message_id }], ada)
  await t.rejects(queue.service.enqueueChartTasks([one(), { message_id }], ada), { code: 'CHARTS_ERR_INVALID_REQUEST', message: /request\/tasks\/1 .*100 batches/ })
})

test('a batch that supersedes more than ends at once ends all of it', async t => {
  const queue = await startQueue(t, 'memory')
  const first = await queue.enqueue({ message_id, adjustment_query: 'first' })
  const dependents = []
  for (let i = 0; i < 60; i++) dependents.push(await queue.enqueue({ depends_on: [first.task_id] }))
  await queue.service.enqueueChartTasks([{ message_id, supersede: true }], ada)
  t.equal((await queue.service.getTaskStatus(first.task_id))!.status, 'CANCELLED')
  for (const { task_id } of dependents) t.match(await queue.ended(task_id), { status: 'FAILED', error_code: 'CHARTS_ERR_DEPENDENCY_FAILED' })
})

test('tasks that are no list are refused', async t => {
  const queue = await startQueue(t, 'memory')
  await t.rejects(queue.service.enqueueChartTasks(null as never, ada), { code: 'CHARTS_ERR_INVALID_REQUEST' })
})

test('params that change while they are read are refused', async t => {
  const queue = await startQueue(t, 'memory', { paramsSchema: {} })
  const refusals: string[] = []
  for (let good = 0; good < 5; good++) {
    let reads = 0
    const params = { get rows () { return ++reads > good ? 1n : 1 } }
    await queue.service.enqueueChartTask({ message_id: crypto.randomUUID(), params: params as never }, ada).catch(error => refusals.push(error.code))
  }
  t.ok(refusals.length > 0)
  t.same([...new Set(refusals)], ['CHARTS_ERR_INVALID_REQUEST'])
})

test('a task that ends just before a bulk cancel is skipped', async t => {
  const queue = await startQueue(t, 'memory')
  const { task_id } = await queue.enqueue()
  const { lease } = (await queue.service.dequeueChartTask())!
  const target = queue.place.store!
  const cancelAll = target.cancelAll.bind(target)
  target.cancelAll = async ids => {
    await queue.service.completeTask(task_id, lease, { content: 1 })
    return cancelAll(ids)
  }
  t.match(await queue.service.cancelTasks({ user_id: 'ada' }), { done: 0, skipped: [{ task_id, code: 'CHARTS_ERR_TASK_FINISHED' }] })
})

test('a failed task that is gone when a bulk retry reaches it is skipped', async t => {
  const queue = await startQueue(t, 'memory')
  const task_id = await fail(queue, { message_id })
  queue.place.store!.inspect = async () => null
  t.match(await queue.service.retryTasks({ user_id: 'ada' }), { matched: 1, done: 0, skipped: [{ task_id, code: 'CHARTS_ERR_TASK_NOT_FOUND' }] })
})

test('an error that is not of one task ends a bulk retry', async t => {
  const queue = await startQueue(t, 'memory')
  await fail(queue, { message_id })
  queue.place.store!.inspect = async () => { throw new errors.CHARTS_ERR_STORE_UNAVAILABLE() }
  await t.rejects(queue.service.retryTasks({ user_id: 'ada' }), { code: 'CHARTS_ERR_STORE_UNAVAILABLE' })
})
