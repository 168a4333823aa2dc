import t from 'tap'
import type { Chart, ChartStore } from '../../lib/index.ts'
import { startHost } from '../helpers/app.ts'
import { until } from '../helpers/gate.ts'
import { startQueue } from '../helpers/queue.ts'

const storeOf = (fields: Partial<ChartStore>): ChartStore => ({ save: async () => {}, get: async () => null, findByMessage: async () => [], ...fields })

t.test('a task that was cancelled before it started leaves nothing to delete', async t => {
  const deleted: string[] = []
  const queue = await startQueue(t, 'memory', { chartStore: storeOf({ delete: async chart_id => { deleted.push(chart_id) } }) })
  const { task_id } = await queue.enqueue()
  await queue.service.cancelTask(task_id)
  const other = await queue.enqueue()
  await queue.service.dequeueChartTask()
  await queue.service.cancelTask(other.task_id)
  await until(() => deleted.length > 0)
  t.equal(deleted.length, 1, 'only what a lease may have saved')
})

t.test('a chart of the host that is no JSON is 503, and its text no secret told', async t => {
  let chart: Chart | null = null
  const host = await startHost(t, 'memory', {
    chartStore: storeOf({
      save: async saved => { chart = saved },
      findByMessage: async () => [{ ...chart!, content: 1n as never }]
    })
  })
  const ada = host.as('ada')
  const { message_id } = await ada.finished({ content: 1 })
  t.match((await ada.get(`/by-message/${message_id}`)).json(), { statusCode: 503, code: 'CHARTS_ERR_STORE_UNAVAILABLE' })
})

t.test('a task that is gone before its charts are looked for deletes none', async t => {
  const deleted: string[] = []
  const queue = await startQueue(t, 'memory', { chartStore: storeOf({ delete: async chart_id => { deleted.push(chart_id) } }) })
  const store = queue.place.store!
  let asked = 0
  store.inspect = async () => {
    asked++
    return null
  }
  const { task_id } = await queue.enqueue()
  await queue.service.dequeueChartTask()
  await queue.service.cancelTask(task_id)
  await until(() => asked === 1)
  await new Promise(resolve => setTimeout(resolve, 20))
  t.same(deleted, [])
})
