import { test } from 'tap'
import { ChartQueueService, memoryStore } from '../../lib/index.ts'

const message_id = 'b4fb1bd1-0f68-4e51-9d3c-3cba7b1e0b8e'
const ada = { user_id: 'ada' }
const start = (options: object) => new ChartQueueService({ store: memoryStore(), ...options })

test('an option of the wrong type is named with what was given', async t => {
  t.throws(() => start({ keyPrefix: () => 'charts' }), { code: 'CHARTS_ERR_INVALID_OPTIONS', message: /options\.keyPrefix .*got a function/ })
  t.throws(() => start({ keyPrefix: Symbol('charts') }), { code: 'CHARTS_ERR_INVALID_OPTIONS', message: /options\.keyPrefix .*got Symbol\(charts\)/ })
})

test('a schema of zod 3 from before Standard Schema is recognised', async t => {
  class ZodObject { _def = {}; safeParse () {} }
  t.throws(() => start({ paramsSchema: new ZodObject() }), { message: /got a schema of zod/ })
})

test('a member of params that the host forbids is named', async t => {
  const service = start({ paramsSchema: { type: 'object', properties: { secret: false } } })
  t.teardown(() => service.close())
  await t.rejects(service.enqueueChartTask({ message_id, params: { secret: 1 } }, ada), { code: 'CHARTS_ERR_INVALID_REQUEST', message: /request\/params\/secret is not accepted/ })
})

test('a list of params that holds a date is stored as JSON has it', async t => {
  const service = start({ paramsSchema: {} })
  t.teardown(() => service.close())
  const date = new Date('2030-01-01T00:00:00.000Z')
  const { task } = await service.enqueueChartTask({ message_id, params: ['from', date] as never }, ada)
  t.match(JSON.parse((await service.getTaskData(task.task_id))!), { params: ['from', '2030-01-01T00:00:00.000Z'] })
  await t.rejects(service.enqueueChartTask({ message_id, params: [{ toJSON: () => Symbol('no') }] as never }, ada), { code: 'CHARTS_ERR_INVALID_REQUEST' })
  await t.rejects(service.enqueueChartTask({ message_id, params: [1n] as never }, ada), { code: 'CHARTS_ERR_INVALID_REQUEST' })
})

test('how many tasks a bulk call may take is checked', async t => {
  const service = start({})
  t.teardown(() => service.close())
  for (const limit of [0, 1.5, 1_000_000]) await t.rejects(service.cancelTasks({ user_id: 'ada' }, { limit }), { code: 'CHARTS_ERR_INVALID_REQUEST', message: /limit must be a whole number/ })
})

test('tasks that a filter names by id must fit its tenant too', async t => {
  const service = start({})
  t.teardown(() => service.close())
  const { task: { task_id } } = await service.enqueueChartTask({ message_id }, { user_id: 'ada', org_id: 'acme' })
  t.match(await service.cancelTasks({ task_ids: [task_id], org_id: 'other' }), { done: 0 })
  t.match(await service.cancelTasks({ task_ids: [task_id], org_id: 'acme' }), { done: 1 })
})
