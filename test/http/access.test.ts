import t from 'tap'
import { ChartGenerationError, type Access, type ChartTask, type Identity, type PublicChartTask } from '../../lib/index.ts'
import { identify, startHost, storeKinds, type Caller } from '../helpers/app.ts'
import { openSse } from '../helpers/streams.ts'

const message_id = 'b4fb1bd1-0f68-4e51-9d3c-3cba7b1e0b8e'
const unknown_id = '0d3b1c0e-8c39-4f3e-9d0a-6f0a5e0c7a11'

/** Every route with an id of a task, as somebody would ask for it. */
const withTask: Array<[name: string, ask: (caller: Caller, task_id: string) => ReturnType<Caller['get']>]> = [
  ['status', (caller, task_id) => caller.get(`/async/${task_id}/status`)],
  ['result', (caller, task_id) => caller.get(`/async/${task_id}/result`)],
  ['cancel', (caller, task_id) => caller.delete(`/async/${task_id}`)],
  ['stream', (caller, task_id) => caller.get(`/stream/${task_id}`)],
  ['ws', (caller, task_id) => caller.get(`/ws/${task_id}`)]
]
const withoutTask: typeof withTask = [
  ['create', caller => caller.post({ message_id })],
  ['by-message', (caller, id) => caller.get(`/by-message/${id}`)],
  ['stats', caller => caller.get('/async/stats')]
]

for (const kind of storeKinds) {
  t.test(`an unidentified caller, on ${kind}`, async t => {
    const host = await startHost(t, kind)
    const { task_id } = await host.as('ada').create()

    for (const [name, ask] of [...withTask, ...withoutTask]) {
      t.test(`is answered 401 by ${name}`, async t => {
        const response = await ask(host.nobody, task_id)
        t.equal(response.statusCode, 401)
        t.strictSame(response.json(), {
          statusCode: 401, code: 'CHARTS_ERR_UNAUTHENTICATED', error: 'Unauthorized', message: response.json().message
        })
        t.equal(response.headers['cache-control'], 'private, no-cache')
      })
    }

    t.test('gets 401 before the input is validated', async t => {
      const { nobody } = host
      const answers = await Promise.all([
        nobody.post('{"message_id":'),
        nobody.post({ message_id: 'x', unknown: 1 }),
        nobody.post({ message_id, adjustment_query: 'x'.repeat(100_000) }),
        nobody.post('<xml/>', { 'content-type': 'application/xml' }),
        nobody.post({ message_id }, { 'idempotency-key': '' }),
        ...withTask.map(([, ask]) => ask(nobody, 'no-uuid')),
        nobody.get('/by-message/no-uuid?limit=none')
      ])
      for (const response of answers) t.equal(response.statusCode, 401)
    })

    t.test('is somebody by a cookie, too', async t => {
      t.equal((await host.nobody.get(`/async/${task_id}/status`, { cookie: 'a=b; user=ada' })).statusCode, 200)
    })
  })

  t.test(`users with odd names on ${kind}`, async t => {
    const host = await startHost(t, kind, { identify: request => ({ user_id: decodeURIComponent(String(request.headers['x-user'])) }) })
    const names = ['a:b', 'a b', 'a\nb', '{x}', '*', '__proto__', 'constructor', 'jürgen', '\u{1f4c8}', '0', 'x'.repeat(500)]
    const callers = names.map(name => host.as(encodeURIComponent(name)))
    const tasks = await Promise.all(callers.map(caller => caller.create({ message_id })))
    t.equal(new Set(tasks.map(({ task_id }) => task_id)).size, names.length)
    for (const [i, caller] of callers.entries()) {
      t.same((await caller.get(`/by-message/${message_id}`)).json().active_tasks.map((task: { task_id: string }) => task.task_id), [tasks[i]!.task_id], names[i]!)
      t.equal((await caller.get(`/async/${tasks.at(i - 1)!.task_id}/status`)).statusCode, 404)
    }
    for (const { task_id } of tasks) await host.finish(task_id, { content: 1 })
    for (const [i, caller] of callers.entries()) t.equal((await caller.get(`/async/${tasks[i]!.task_id}/result`)).json().user_id, names[i])
  })

  t.test(`ids on ${kind}`, async t => {
    let now = Date.UTC(2030, 0, 1)
    const host = await startHost(t, kind, { now: () => now, retention: { task: 10, status: 10, messageIndex: 10 } })
    const expired = await host.as('ada').finished({ content: 1 })
    now += 11_000
    const bobs = await host.as('bob').create({ visibility: 'PUBLIC' })
    const bobsChart = await host.as('bob').finished({ content: 1 })
    const failed = await host.as('bob').finished({ error: new ChartGenerationError('no') }, { visibility: 'PUBLIC' })

    for (const [name, ask] of withTask) {
      t.test(`${name}: unknown, expired and somebody else's are the same, word for word`, async t => {
        const answers = await Promise.all([unknown_id, expired.task_id, bobs.task_id, bobsChart.task_id, failed.task_id].map(id => ask(host.as('ada'), id)))
        const { date: _, ...headers } = answers[0]!.headers
        t.strictSame(answers[0]!.json(), {
          statusCode: 404, code: 'CHARTS_ERR_TASK_NOT_FOUND', error: 'Not Found', message: 'Chart task not found'
        })
        for (const response of answers) {
          t.equal(response.statusCode, 404)
          t.equal(response.body, answers[0]!.body)
          const { date: _, ...others } = response.headers
          t.strictSame(others, headers, 'the headers too')
        }
      })
    }

    for (const [name, ask] of [...withTask, withoutTask[1]!]) {
      t.test(`${name}: an id that is not a plain UUID`, async t => {
        for (const id of ['message-uuid', `urn:uuid:${unknown_id}`, `{${unknown_id}}`, unknown_id.slice(1), `${unknown_id}0`, `${unknown_id}%0A`, '%00', "1' OR '1'='1"]) {
          const response = await ask(host.as('ada'), encodeURI(id))
          t.equal(response.statusCode, 400, id)
          t.match(response.json(), { statusCode: 400, code: 'FST_ERR_VALIDATION', error: 'Bad Request', message: /_id/ })
        }
      })
    }
  })

  t.test(`authorize on ${kind}`, async t => {
    const asked: Array<{ identity: Identity } & Access> = []
    let allowed = (_access: Access): unknown => true
    const host = await startHost(t, kind, {
      authorize: async (identity, access) => {
        asked.push({ identity, ...access })
        return allowed(access) as boolean
      }
    })
    const base = await host.listen()
    const ada = host.as('ada@acme')
    const { task_id } = await ada.finished({ content: 1 }, { message_id, visibility: 'PUBLIC' })
    const running = await ada.create()
    const none = (await ada.get(`/async/${unknown_id}/status`)).body
    t.beforeEach(() => { asked.length = 0 })
    t.afterEach(() => { allowed = () => true })

    t.test('gets the identity, the action and the task', async t => {
      await ada.post({ message_id: unknown_id, visibility: 'PRIVATE' })
      await ada.get(`/async/${task_id}/status`)
      await host.as('bob').get(`/async/${task_id}/result`)
      await ada.delete(`/async/${task_id}`)
      await ada.get(`/by-message/${message_id}`)
      await ada.get('/async/stats')
      const task = { task_id, user_id: 'ada', org_id: 'acme' }
      t.match(asked, [
        { identity: { user_id: 'ada', org_id: 'acme' }, action: 'create', message_id: unknown_id, body: { message_id: unknown_id, visibility: 'PRIVATE' } },
        { action: 'read', message_id, task },
        { identity: { user_id: 'bob', org_id: null }, action: 'read', message_id, task },
        { action: 'cancel', message_id, task },
        { action: 'read', message_id },
        { action: 'read', message_id, task },
        { action: 'monitor' }
      ])
    })

    t.test('is not called for a task of another user', async t => {
      for (const [name, ask] of withTask) t.equal((await ask(host.as('eve'), running.task_id)).statusCode, 404, name)
      t.strictSame(asked, [])
    })

    t.test('is not asked about a request that is refused anyway', async t => {
      t.equal((await ada.post({ message_id: 'x' })).statusCode, 400)
      t.equal((await ada.get('/async/x/status')).statusCode, 400)
      t.strictSame(asked, [])
    })

    for (const no of [false, undefined, 'yes', 1]) {
      t.test(`says no with ${no}`, async t => {
        allowed = () => no
        const { queue_length } = await host.service.getQueueStats()
        const created = await ada.post({ message_id: crypto.randomUUID() })
        t.equal(created.statusCode, 403)
        t.strictSame(created.json(), { statusCode: 403, code: 'CHARTS_ERR_FORBIDDEN', error: 'Forbidden', message: created.json().message })
        t.equal((await host.service.getQueueStats()).queue_length, queue_length)
        t.equal((await ada.get('/async/stats')).statusCode, 403)
        for (const [name, ask] of withTask) {
          const response = await ask(ada, task_id)
          t.equal(response.statusCode, 404, name)
          t.equal(response.body, none)
        }
        const message = await ada.get(`/by-message/${message_id}`)
        t.equal(message.statusCode, 404)
        t.equal(message.body, none)
      })
    }

    t.test('may tell reading from cancelling', async t => {
      allowed = ({ action }) => action !== 'cancel'
      t.equal((await ada.get(`/async/${running.task_id}/status`)).statusCode, 200)
      t.equal((await ada.delete(`/async/${running.task_id}`)).statusCode, 404)
      t.equal((await host.service.getTaskStatus(running.task_id))!.status, 'PENDING')
    })

    t.test('gets the body of a create', async t => {
      allowed = access => access.action !== 'create' || access.body.visibility !== 'PUBLIC'
      t.equal((await ada.post({ message_id: crypto.randomUUID() })).statusCode, 202)
      t.equal((await ada.post({ message_id: crypto.randomUUID(), visibility: 'PUBLIC' })).statusCode, 403)
    })

    t.test('cannot allow more than ownership does', async t => {
      const { task_id } = await ada.finished({ content: 1 })
      for (const [name, ask] of withTask) t.equal((await ask(host.as('bob@acme'), task_id)).statusCode, 404, name)
    })

    t.test('is asked about every item of a message', async t => {
      const message_id = crypto.randomUUID()
      const made: Record<string, string> = {}
      const keep = async (name: string, task: Promise<{ task_id: string }>) => { made[name] = (await task).task_id }
      await keep('chart', ada.finished({ content: 1 }, { message_id, visibility: 'ORGANIZATION' }))
      await keep('secret chart', ada.finished({ content: 1 }, { message_id, adjustment_query: 'secret' }))
      await keep('failed', ada.finished({ error: new ChartGenerationError('no') }, { message_id, adjustment_query: 'failed' }))
      await keep('secret failed', ada.finished({ error: new ChartGenerationError('no') }, { message_id, adjustment_query: 'a secret failed' }))
      await keep('active', ada.create({ message_id, adjustment_query: 'active' }))
      await keep('secret active', ada.create({ message_id, adjustment_query: 'a secret active' }))
      const names = (tasks: Array<{ task_id: string }>) => tasks.map(({ task_id }) => Object.keys(made).find(name => made[name] === task_id))
      const isSecret = (task?: ChartTask) => task?.adjustment_query?.includes('secret')
      allowed = ({ action, task }) => action === 'create' || !isSecret(task)

      for (const query of ['', '?content=false']) {
        const { charts, active_tasks, has_active_tasks, failed_tasks } = (await ada.get(`/by-message/${message_id.toUpperCase()}${query}`)).json()
        t.strictSame([charts, active_tasks, failed_tasks].map(names), [['chart'], ['active'], ['failed']])
        t.equal(has_active_tasks, true)
      }
      t.match(asked.filter(({ task }) => task?.task_id === made['secret chart']), [{ action: 'read', message_id, task: { status: 'COMPLETED' } }, {}], 'of a chart, its task')
      t.strictSame(names((await host.as('bob@acme').get(`/by-message/${message_id}`)).json().charts), ['chart'])

      asked.length = 0
      const stream = await openSse(`${base}/stream/by-message/${message_id}`, ada.headers)
      const seen = [await stream.task(), await stream.task(), await stream.task()] as PublicChartTask[]
      await keep('secret late', ada.create({ message_id, adjustment_query: 'a secret late' }))
      await keep('late', ada.create({ message_id, adjustment_query: 'late' }))
      seen.push((await stream.task())!)
      await host.take(made['secret active']!)
      await host.take(made['active']!)
      seen.push((await stream.task())!)
      stream.destroy()
      t.strictSame(names(seen), ['chart', 'failed', 'active', 'late', 'active'])
      t.equal(asked.filter(({ task }) => task?.task_id === made['active']).length, 1, 'once for each task of a stream')
    })
  })

  t.test(`statistics on ${kind}`, async t => {
    t.test('are refused where nobody has been named', async t => {
      const host = await startHost(t, kind)
      const response = await host.as('ada').get('/async/stats')
      t.equal(response.statusCode, 403)
      t.equal(response.json().code, 'CHARTS_ERR_FORBIDDEN')
    })

    t.test('say how busy the queue is', async t => {
      const host = await startHost(t, kind, {
        identify: async request => ({ ...identify(request)!, roles: ['operator'] }),
        authorize: ({ roles }, { action }) => action !== 'monitor' || roles!.includes('operator')
      })
      const ada = host.as('ada')
      const empty = await ada.get('/async/stats')
      t.equal(empty.statusCode, 200)
      t.equal(empty.headers['cache-control'], 'private, no-cache')
      t.match(empty.json(), { queue_length: 0, processing_count: 0, updated_at: /^\d{4}-.*Z$/ })
      const { task_id } = await ada.create()
      await ada.create()
      await ada.create()
      await host.take(task_id)
      t.match((await ada.get('/async/stats')).json(), { queue_length: 2, processing_count: 1 })
    })
  })
}
