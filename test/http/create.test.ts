import t from 'tap'
import { startHost, storeKinds } from '../helpers/app.ts'

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/
const ISO = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/

for (const kind of storeKinds) {
  t.test(`POST on ${kind}`, async t => {
    const host = await startHost(t, kind)
    const ada = host.as('ada@acme')

    t.test('accepts a task, with the exact JSON of the spec', async t => {
      const message_id = crypto.randomUUID()
      const response = await ada.post({ message_id, visibility: 'PRIVATE', force_create: false, adjustment_query: 'as a line chart' })
      t.equal(response.statusCode, 202)
      const task = response.json()
      t.equal(response.headers.location, `/api/v1/analytics/charts/async/${task.task_id}/status`)
      t.match(response.headers['retry-after'], /^[1-9]\d*$/)
      t.match(response.headers['content-type'], /^application\/json/)
      t.equal(response.headers['cache-control'], 'private, no-cache')
      t.match(task.task_id, UUID)
      t.match(task.created_at, ISO)
      t.strictSame(task, {
        task_id: task.task_id,
        message_id,
        chart_id: null,
        status: 'PENDING',
        progress: 0,
        current_step: 'queued',
        step_progress: {},
        error_message: null,
        error_code: null,
        created_at: task.created_at,
        started_at: null,
        completed_at: null,
        estimated_completion: null,
        queue_position: 1,
        visibility: 'PRIVATE',
        adjustment_query: 'as a line chart',
        attempt: 0,
        max_attempts: 3,
        version: 1,
        message: 'Chart generation queued successfully'
      })
      t.equal((await ada.request('GET', response.headers.location!.slice(host.path.length))).statusCode, 200, 'Location is the status')
    })

    t.test('needs no more than a message', async t => {
      const task = await ada.create()
      t.match(task, { visibility: 'PRIVATE', adjustment_query: null })
    })

    t.test('takes an adjustment_query of null', async t => {
      t.equal((await ada.create({ adjustment_query: null })).adjustment_query, null)
    })

    t.test('knows a message in any case', async t => {
      const message_id = crypto.randomUUID()
      const lower = await ada.create({ message_id })
      const upper = await ada.create({ message_id: message_id.toUpperCase() })
      t.equal(upper.task_id, lower.task_id)
    })

    t.test('answers with the task that is active already', async t => {
      const message_id = crypto.randomUUID()
      const first = await ada.create({ message_id })
      await host.progress(first.task_id, { step: 'rendering', step_progress: 40, progress: 30 })
      const response = await ada.post({ message_id })
      t.equal(response.statusCode, 202)
      t.equal(response.headers.location, `${host.path}/async/${first.task_id}/status`)
      t.ok(response.headers['retry-after'])
      t.match(response.json(), {
        task_id: first.task_id, status: 'PROCESSING', progress: 30, step_progress: { rendering: 40 }, message: 'Chart generation already in progress'
      })
    })

    t.test('answers with a forced task that is active, too', async t => {
      const message_id = crypto.randomUUID()
      const forced = await ada.create({ message_id, force_create: true })
      t.equal((await ada.create({ message_id })).task_id, forced.task_id)
    })

    t.test('answers 200 with the task of a chart that exists', async t => {
      const message_id = crypto.randomUUID()
      const { task_id } = await ada.finished({ content: { bars: 3 } }, { message_id })
      const response = await ada.post({ message_id })
      t.equal(response.statusCode, 200)
      t.equal(response.headers['retry-after'], undefined)
      const task = response.json()
      t.match(task, { task_id, status: 'COMPLETED', progress: 100, current_step: 'completed', message: String })
      t.match(task.chart_id, UUID)
      t.strictSame((await host.service.getActiveTasksByMessageId(message_id, 'ada')), [], 'nothing is queued')
    })

    t.test('force_create queues although there is a chart, and although a task is active', async t => {
      const message_id = crypto.randomUUID()
      const first = await ada.finished({ content: 1 }, { message_id })
      const second = await ada.create({ message_id, force_create: true })
      const third = await ada.create({ message_id, force_create: true })
      t.equal(new Set([first.task_id, second.task_id, third.task_id]).size, 3)
      t.equal(second.message, 'Chart generation queued successfully')
    })

    t.test('a failed or cancelled task does not stand in the way of a new one', async t => {
      const message_id = crypto.randomUUID()
      const failed = await ada.finished({ error: Object.assign(new Error('x'), { name: 'ChartGenerationError' }) }, { message_id })
      t.equal(failed.status, 'FAILED')
      const again = await ada.create({ message_id })
      t.not(again.task_id, failed.task_id)
      await ada.delete(`/async/${again.task_id}`)
      t.not((await ada.create({ message_id })).task_id, again.task_id)
    })

    t.test('a request that differs is another chart', async t => {
      const message_id = crypto.randomUUID()
      const first = await ada.create({ message_id })
      const others = await Promise.all([
        ada.create({ message_id, visibility: 'PUBLIC' }),
        ada.create({ message_id, adjustment_query: 'x' }),
        ada.create({ message_id, adjustment_query: 'X' }),
        ada.create({ message_id, adjustment_query: '' }),
        host.as('ada').create({ message_id }),
        host.as('ada@other').create({ message_id }),
        host.as('bob@acme').create({ message_id }),
        ada.create({ message_id: crypto.randomUUID() })
      ])
      t.equal(new Set([first, ...others].map(task => task.task_id)).size, others.length + 1)
    })

    t.test('fifty equal POSTs at once make one task', async t => {
      const message_id = crypto.randomUUID()
      const responses = await Promise.all(Array.from({ length: 50 }, () => ada.post({ message_id })))
      t.ok(responses.every(response => response.statusCode === 202))
      const tasks = responses.map(response => response.json())
      t.equal(new Set(tasks.map(task => task.task_id)).size, 1)
      t.equal(tasks.filter(task => task.message === 'Chart generation queued successfully').length, 1)
      t.equal((await host.service.getActiveTasksByMessageId(message_id, 'ada')).length, 1)
    })
  })

  t.test(`params on ${kind}`, async t => {
    const paramsSchema = {
      type: 'object',
      properties: { rows: { type: 'integer', maximum: 10, default: 5 } },
      required: ['rows'],
      additionalProperties: false
    }
    const host = await startHost(t, kind, { paramsSchema })
    const ada = host.as('ada')

    t.test('reach the generator as they were sent', async t => {
      const { task_id } = await ada.create({ params: { rows: 3 } })
      t.strictSame(JSON.parse((await host.service.getTaskData(task_id))!).params, { rows: 3 })
    })

    t.test('are validated by the schema of the host, without coercion or defaults', async t => {
      for (const params of [{ rows: '3' }, { rows: 11 }, { rows: 1, more: 1 }, {}, null, [], 'rows']) {
        const response = await ada.post({ message_id: crypto.randomUUID(), params })
        t.equal(response.statusCode, 400, JSON.stringify(params))
        t.match(response.json().message, /params/)
      }
    })

    t.test('tell charts apart, whatever the order of their keys', async t => {
      const message_id = crypto.randomUUID()
      const one = await ada.create({ message_id, params: { rows: 1 } })
      const two = await ada.create({ message_id, params: { rows: 2 } })
      const again = await ada.create({ message_id, params: { rows: 1 } })
      t.not(one.task_id, two.task_id)
      t.equal(one.task_id, again.task_id)
    })
  })

  t.test(`a chart that the host's store has lost does not count, on ${kind}`, async t => {
    const kept = new Map()
    const host = await startHost(t, kind, {
      chartStore: {
        save: async chart => kept.set(chart.chart_id, chart),
        get: async chart_id => kept.get(chart_id),
        findByMessage: async () => [...kept.values()]
      }
    })
    const ada = host.as('ada')
    const message_id = crypto.randomUUID()
    const { task_id } = await ada.finished({ content: 1 }, { message_id })
    t.equal((await ada.post({ message_id })).statusCode, 200)
    kept.clear()
    t.not((await ada.create({ message_id })).task_id, task_id)
  })
}
