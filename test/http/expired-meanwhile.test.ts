import t from 'tap'
import { startHost } from '../helpers/app.ts'

t.test('a task or batch that expires while the host decides about it is not there', async t => {
  let now = Date.now()
  const host = await startHost(t, 'memory', {
    now: () => now,
    retention: { task: 60, status: 60, messageIndex: 60 },
    authorize: (_identity, { action }) => {
      if (action === 'cancel') now += 61_000
      return true
    }
  })
  const ada = host.as('ada')
  const { task_id } = await ada.finished({ content: 1 })
  t.match((await ada.delete(`/async/${task_id}`)).json(), { statusCode: 404, code: 'CHARTS_ERR_TASK_NOT_FOUND' })

  const batch = await ada.request('POST', '/async/batch', {
    headers: { 'content-type': 'application/json' }, payload: JSON.stringify({ tasks: [{ message_id: crypto.randomUUID() }] })
  })
  const { batch_id, tasks } = batch.json()
  await host.finish(tasks[0].task_id, { content: 1 })
  t.match((await ada.delete(`/async/batch/${batch_id}`)).json(), { statusCode: 404, code: 'CHARTS_ERR_BATCH_NOT_FOUND' })
})

t.test('a large body that breaks off within a text is refused', async t => {
  const host = await startHost(t, 'memory', { limits: { requestBytes: 1_000_000 } })
  t.equal((await host.as('ada').post(`{"adjustment_query":"${'x'.repeat(200_000)}`)).statusCode, 400)
})
