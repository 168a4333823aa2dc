import t from 'tap'
import { ChartGenerationError } from '../../lib/index.ts'
import { startHost, storeKinds } from '../helpers/app.ts'

for (const kind of storeKinds) {
  t.test(`DELETE on ${kind}`, async t => {
    const host = await startHost(t, kind)
    const ada = host.as('ada@acme')

    t.test('a waiting task', async t => {
      const { task_id } = await ada.create()
      const response = await ada.delete(`/async/${task_id}`)
      t.equal(response.statusCode, 200)
      t.equal(response.headers['cache-control'], 'private, no-cache')
      t.match(response.json(), { task_id, status: 'CANCELLED', current_step: 'cancelled', completed_at: String, started_at: null })
      t.strictSame(response.json(), (await ada.get(`/async/${task_id}/status`)).json())
      await t.rejects(host.take(task_id), /not waiting/, 'it never runs')
    })

    t.test('a running task: final at once, whatever its worker still says', async t => {
      const { task_id } = await ada.create()
      await host.progress(task_id, { step: 'rendering', step_progress: 50 })
      const response = await ada.delete(`/async/${task_id}`)
      t.equal(response.statusCode, 200)
      t.match(response.json(), { status: 'CANCELLED', attempt: 1 })
      await t.rejects(host.finish(task_id, { content: 1 }), /could not be finished/)
      await t.rejects(host.progress(task_id, { step: 'late' }), /could not be updated/)
      t.strictSame((await ada.get(`/async/${task_id}/status`)).json(), response.json())
    })

    t.test('a task that waits for another try', async t => {
      const { task_id } = await ada.create()
      await host.finish(task_id, { error: new Error('flaky') })
      t.match((await ada.delete(`/async/${task_id}`)).json(), { status: 'CANCELLED', attempt: 1 })
    })

    t.test('a cancelled task: the same answer, nothing new', async t => {
      const { task_id } = await ada.create()
      const first = await ada.delete(`/async/${task_id}`)
      const second = await ada.delete(`/async/${task_id}`)
      t.equal(second.statusCode, 200)
      t.strictSame(second.json(), first.json())
    })

    t.test('a completed and a failed task: 409', async t => {
      const completed = await ada.finished({ content: 1 })
      const failed = await ada.finished({ error: new ChartGenerationError('no') })
      for (const { task_id, status } of [completed, failed]) {
        const response = await ada.delete(`/async/${task_id}`)
        t.equal(response.statusCode, 409, status)
        t.strictSame(response.json(), {
          statusCode: 409, code: 'CHARTS_ERR_TASK_FINISHED', error: 'Conflict', message: response.json().message
        })
        t.equal((await ada.get(`/async/${task_id}/status`)).json().status, status)
      }
    })

    t.test("somebody else's task: 404, and it goes on", async t => {
      const { task_id } = await ada.create({ visibility: 'PUBLIC' })
      const unknown = await ada.delete(`/async/${crypto.randomUUID()}`)
      t.equal(unknown.statusCode, 404)
      for (const user of ['bob@acme', 'bob']) {
        const response = await host.as(user).delete(`/async/${task_id}`)
        t.equal(response.statusCode, 404)
        t.equal(response.body, unknown.body)
      }
      t.equal((await ada.get(`/async/${task_id}/status`)).json().status, 'PENDING')
    })
  })
}
