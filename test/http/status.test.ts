import t from 'tap'
import { ChartGenerationError } from '../../lib/index.ts'
import { startHost, storeKinds } from '../helpers/app.ts'

const FIELDS = [
  'adjustment_query', 'attempt', 'chart_id', 'completed_at', 'created_at', 'current_step', 'error_code', 'error_message',
  'estimated_completion', 'max_attempts', 'message_id', 'progress', 'started_at', 'status', 'step_progress', 'task_id',
  'version', 'visibility'
]
const ISO = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/

for (const kind of storeKinds) {
  t.test(`status on ${kind}`, async t => {
    const host = await startHost(t, kind)
    const ada = host.as('ada@acme')
    const status = (task_id: string, headers?: Record<string, string>) => ada.get(`/async/${task_id}/status`, headers)

    t.test('a waiting task: its own fields and no others, none of them about its owner', async t => {
      const { message, ...created } = await ada.create({ visibility: 'ORGANIZATION', adjustment_query: 'log scale' })
      const response = await status(created.task_id)
      t.equal(response.statusCode, 200)
      t.match(response.headers, { 'content-type': /^application\/json/, 'cache-control': 'private, no-cache', 'retry-after': /^[1-9]\d*$/ })
      t.strictSame(Object.keys(response.json()).sort(), [...FIELDS, 'queue_position'].sort())
      t.strictSame(response.json(), created)
    })

    t.test('a running task: its step and its progress', async t => {
      const { task_id } = await ada.create()
      await host.take(task_id)
      const started = (await status(task_id)).json()
      t.match(started, { status: 'PROCESSING', current_step: 'started', progress: 0, attempt: 1, version: 2, started_at: ISO, completed_at: null })
      await host.progress(task_id, { step: 'llm_generation', step_progress: 40, progress: 25 })
      const response = await status(task_id)
      t.ok(response.headers['retry-after'])
      t.match(response.json(), {
        status: 'PROCESSING', current_step: 'llm_generation', step_progress: { llm_generation: 40 }, progress: 25, version: 3, started_at: started.started_at
      })
    })

    t.test('a completed task', async t => {
      const { task_id } = await ada.finished({ content: {} })
      const response = await status(task_id)
      t.equal(response.statusCode, 200)
      t.equal(response.headers['retry-after'], undefined)
      t.strictSame(Object.keys(response.json()).sort(), FIELDS)
      t.match(response.json(), {
        status: 'COMPLETED', progress: 100, current_step: 'completed', chart_id: String, completed_at: ISO, error_code: null, error_message: null
      })
    })

    t.test('a failed task is 200, with the words of the generator', async t => {
      const error = new ChartGenerationError('No rows in this date range', { code: 'NO_DATA' })
      const { task_id } = await ada.finished({ error })
      const response = await status(task_id)
      t.equal(response.statusCode, 200)
      t.equal(response.headers['retry-after'], undefined)
      t.match(response.json(), {
        status: 'FAILED', current_step: 'failed', error_code: 'NO_DATA', error_message: 'No rows in this date range', completed_at: ISO, chart_id: null
      })
    })

    t.test('a cancelled task is 200', async t => {
      const { task_id } = await ada.create()
      await ada.delete(`/async/${task_id}`)
      const response = await status(task_id)
      t.equal(response.statusCode, 200)
      t.equal(response.headers['retry-after'], undefined)
      t.match(response.json(), { status: 'CANCELLED', current_step: 'cancelled', completed_at: ISO, error_code: null, error_message: null })
    })

    t.test('a task that is tried again waits, and says so', async t => {
      const { task_id } = await ada.create()
      await host.progress(task_id, { step: 'rendering', step_progress: 10, progress: 50 })
      await host.finish(task_id, { error: new Error('flaky') })
      const response = await status(task_id)
      t.match(response.json(), { status: 'PENDING', current_step: 'retrying', progress: 0, attempt: 1, started_at: ISO, error_message: null })
      t.strictSame(response.json().step_progress, {})
      t.notMatch(response.body, /flaky/)
    })

    t.test('an id in any case', async t => {
      const { task_id } = await ada.create()
      t.equal((await status(task_id.toUpperCase())).json().task_id, task_id)
    })

    t.test('If-None-Match', async t => {
      const { task_id } = await ada.create()
      const first = await status(task_id)
      const etag = String(first.headers.etag)
      t.match(etag, /^(W\/)?"[^"]+"$/)
      t.equal((await status(task_id)).headers.etag, etag, 'the same task has the same tag')
      const strong = etag.replace('W/', '')
      for (const header of [etag, strong, `W/${strong}`, `"a", ${etag}`, `"a",W/${strong},"b"`, `${etag} , "b"`, '*', ' * ']) {
        const response = await status(task_id, { 'if-none-match': header })
        t.equal(response.statusCode, 304, header)
        t.equal(response.body, '')
        t.equal(response.headers.etag, etag)
        t.match(response.headers['retry-after'], /^[1-9]\d*$/)
        t.equal(response.headers['cache-control'], 'private, no-cache')
      }
      for (const header of ['', '"a"', strong.slice(1, -1), '"a", W/"b"', `"x${strong.slice(1)}`]) {
        t.equal((await status(task_id, { 'if-none-match': header })).statusCode, 200, header)
      }
      await host.take(task_id)
      const changed = await status(task_id, { 'if-none-match': etag })
      t.equal(changed.statusCode, 200)
      t.not(changed.headers.etag, etag)
    })

    t.test('HEAD is GET without the body', async t => {
      const { task_id } = await ada.create()
      const response = await ada.request('HEAD', `/async/${task_id}/status`)
      t.equal(response.statusCode, 200)
      t.equal(response.body, '')
      t.ok(response.headers.etag)
    })
  })

  t.test(`the steps of a finished task are kept as long as retention.status says, on ${kind}`, async t => {
    let now = Date.UTC(2030, 0, 1)
    const host = await startHost(t, kind, { now: () => now, retention: { task: 100, status: 50, messageIndex: 100 } })
    const ada = host.as('ada')
    const { task_id } = await ada.create()
    await host.progress(task_id, { step: 'rendering', step_progress: 100 })
    await host.finish(task_id, { content: 1 })
    now += 49_000
    const early = await ada.get(`/async/${task_id}/status`)
    t.strictSame(early.json().step_progress, { rendering: 100 })
    now += 2_000
    const late = await ada.get(`/async/${task_id}/status`)
    t.strictSame(late.json(), { ...early.json(), step_progress: {} })
    now += 50_000
    t.equal((await ada.get(`/async/${task_id}/status`)).statusCode, 404)
  })
}
