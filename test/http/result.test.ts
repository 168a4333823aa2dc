import t from 'tap'
import { ChartGenerationError } from '../../lib/index.ts'
import { startHost, storeKinds, type Host } from '../helpers/app.ts'

type Visibility = 'PRIVATE' | 'ORGANIZATION' | 'PUBLIC'

/** Who reads a finished chart: ada@acme has it made. */
const readers: Array<[visibility: Visibility, allowed: string[], refused: string[]]> = [
  ['PRIVATE', ['ada@acme'], ['bob@acme', 'eve@other', 'joe', 'acme']],
  ['ORGANIZATION', ['ada@acme', 'bob@acme'], ['eve@other', 'joe', 'acme']],
  ['PUBLIC', ['ada@acme', 'bob@acme', 'eve@other', 'joe'], []]
]

const result = (host: Host, user: string, task_id: string) => host.as(user).get(`/async/${task_id}/result`)

for (const kind of storeKinds) {
  t.test(`result on ${kind}`, async t => {
    const host = await startHost(t, kind)
    const unknown = (await result(host, 'ada@acme', crypto.randomUUID())).body

    t.test('the chart, with its own fields and no others', async t => {
      const content = { marks: [1, 2.5, null, 'ü', { deep: [] }], empty: {}, text: '</script>' }
      const task = await host.as('ada@acme').finished({ content }, { visibility: 'ORGANIZATION', adjustment_query: 'only 2015' })
      const response = await result(host, 'ada@acme', task.task_id)
      t.equal(response.statusCode, 200)
      t.match(response.headers, { 'content-type': /^application\/json/, 'cache-control': 'private, no-cache' })
      const chart = response.json()
      t.strictSame(chart, {
        chart_id: task.chart_id,
        task_id: task.task_id,
        message_id: task.message_id,
        user_id: 'ada',
        org_id: 'acme',
        visibility: 'ORGANIZATION',
        adjustment_query: 'only 2015',
        created_at: chart.created_at,
        content
      })
      t.match(chart.created_at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
    })

    t.test('any JSON is a chart', async t => {
      for (const content of [null, false, 0, '', 'text', [], {}, [[null]]]) {
        const { task_id } = await host.as('joe').finished({ content })
        const response = await result(host, 'joe', task_id)
        t.equal(response.statusCode, 200)
        t.strictSame(response.json().content, content)
        t.equal(response.json().org_id, null)
      }
    })

    for (const [visibility, allowed, refused] of readers) {
      t.test(`a ${visibility} chart`, async t => {
        const { task_id } = await host.as('ada@acme').finished({ content: 1 }, { visibility })
        for (const user of allowed) t.equal((await result(host, user, task_id)).statusCode, 200, `${user} reads it`)
        for (const user of refused) {
          const response = await result(host, user, task_id)
          t.equal(response.statusCode, 404, `${user} does not`)
          t.equal(response.body, unknown)
        }
      })
    }

    t.test('two users without an org are not of the same org', async t => {
      const { task_id } = await host.as('ada').finished({ content: 1 }, { visibility: 'ORGANIZATION' })
      t.equal((await result(host, 'ada', task_id)).statusCode, 200)
      for (const user of ['bob', 'bob@acme', 'bob@ada']) t.equal((await result(host, user, task_id)).statusCode, 404, user)
    })

    t.test('a waiting and a running task: 409 and when to come again', async t => {
      const { task_id } = await host.as('ada@acme').create({ visibility: 'PUBLIC' })
      for (const step of ['waiting', 'running']) {
        if (step === 'running') await host.take(task_id)
        const response = await result(host, 'ada@acme', task_id)
        t.equal(response.statusCode, 409, step)
        t.match(response.headers['retry-after'], /^[1-9]\d*$/)
        t.strictSame(response.json(), {
          statusCode: 409, code: 'CHARTS_ERR_TASK_NOT_FINISHED', error: 'Conflict', message: response.json().message
        })
        const stranger = await result(host, 'bob@acme', task_id)
        t.equal(stranger.statusCode, 404)
        t.equal(stranger.body, unknown)
        t.equal(stranger.headers['retry-after'], undefined, 'nothing says that there is a task')
      }
    })

    t.test('a failed task: 409 with the error of the task', async t => {
      const error = new ChartGenerationError('100% of rows: no %s, no %d', { code: 'NO_DATA' })
      const { task_id } = await host.as('ada@acme').finished({ error }, { visibility: 'PUBLIC' })
      const response = await result(host, 'ada@acme', task_id)
      t.equal(response.statusCode, 409)
      t.equal(response.headers['retry-after'], undefined)
      t.strictSame(response.json(), {
        statusCode: 409, code: 'CHARTS_ERR_TASK_FAILED', error: 'Conflict', message: '100% of rows: no %s, no %d'
      })
      t.equal((await result(host, 'bob@acme', task_id)).body, unknown)
    })

    t.test('a cancelled task: 409', async t => {
      const { task_id } = await host.as('ada@acme').create({ visibility: 'PUBLIC' })
      await host.as('ada@acme').delete(`/async/${task_id}`)
      const response = await result(host, 'ada@acme', task_id)
      t.equal(response.statusCode, 409)
      t.equal(response.headers['retry-after'], undefined)
      t.match(response.json(), { statusCode: 409, code: 'CHARTS_ERR_TASK_CANCELLED', error: 'Conflict', message: String })
      t.equal((await result(host, 'bob@acme', task_id)).body, unknown)
    })

    t.test('an error other than a ChartGenerationError is not shown', async t => {
      const only = await startHost(t, kind, { retry: { attempts: 1 } })
      const ada = only.as('ada')
      const { task_id } = await ada.finished({ error: new Error('secret of the generator') })
      const bodies = await Promise.all(['result', 'status'].map(async route => (await ada.get(`/async/${task_id}/${route}`)).body))
      for (const body of bodies) t.notMatch(body, /secret/)
      t.match(JSON.parse(bodies[0]!), { code: 'CHARTS_ERR_TASK_FAILED', message: 'Chart generation failed' })
      t.match(JSON.parse(bodies[1]!), { error_code: 'CHARTS_ERR_GENERATION_FAILED', error_message: 'Chart generation failed' })
    })
  })

  t.test(`a chart that is gone while its task is known, on ${kind}`, async t => {
    const kept = new Map()
    const host = await startHost(t, kind, {
      chartStore: {
        save: async chart => kept.set(chart.chart_id, chart),
        get: async chart_id => kept.get(chart_id) ?? null,
        findByMessage: async () => [...kept.values()]
      }
    })
    const { task_id, message_id } = await host.as('ada@acme').finished({ content: 1 }, { visibility: 'PUBLIC' })
    t.strictSame((await result(host, 'bob@other', task_id)).json().content, 1)
    kept.clear()
    const response = await result(host, 'ada@acme', task_id)
    t.equal(response.statusCode, 410)
    t.strictSame(response.json(), {
      statusCode: 410, code: 'CHARTS_ERR_RESULT_EXPIRED', error: 'Gone', message: response.json().message
    })
    t.equal((await result(host, 'bob@acme', task_id)).body, (await result(host, 'bob@acme', crypto.randomUUID())).body)
    t.match((await host.as('ada@acme').get(`/async/${task_id}/status`)).json(), { status: 'COMPLETED' })
    t.strictSame((await host.as('ada@acme').get(`/by-message/${message_id}`)).json().charts, [])
  })
}

t.test('a chart whose key Redis has lost', async t => {
  const host = await startHost(t, 'redis')
  const ada = host.as('ada')
  const { task_id, chart_id, message_id } = await ada.finished({ content: 1 })
  await host.redis!.unlink(`{${host.keyPrefix}}:chart:${chart_id}`)
  const response = await result(host, 'ada', task_id)
  t.equal(response.statusCode, 410)
  t.equal(response.json().code, 'CHARTS_ERR_RESULT_EXPIRED')
  const again = await ada.post({ message_id })
  t.equal(again.statusCode, 202, 'what is gone can be asked for again')
  t.not(again.json().task_id, task_id)
})
