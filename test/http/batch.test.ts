import t from 'tap'
import type { BatchedChartRequest } from '../../lib/index.ts'
import { startHost, storeKinds, type Caller } from '../helpers/app.ts'

type Body = Partial<BatchedChartRequest> & Record<string, unknown>
interface Task { readonly task_id: string, readonly status: string, readonly current_step: string, readonly message: string }

const message_id = () => crypto.randomUUID()
const send = (caller: Caller, tasks: readonly Body[], headers: Record<string, string> = {}) => caller.request('POST', '/async/batch', {
  headers: { 'content-type': 'application/json', ...headers },
  payload: JSON.stringify({ tasks: tasks.map(task => ({ message_id: message_id(), ...task })) })
})

async function accepted (caller: Caller, tasks: readonly Body[]): Promise<{ batch_id: string, tasks: Task[], ids: string[] }> {
  const response = await send(caller, tasks)
  if (response.statusCode !== 202) throw new Error(`not accepted: ${response.body}`)
  const body = response.json()
  return { ...body, ids: body.tasks.map(({ task_id }: Task) => task_id) }
}

for (const kind of storeKinds) {
  t.test(`a batch on ${kind}`, async t => {
    const host = await startHost(t, kind)
    const ada = host.as('ada@acme')

    t.test('is accepted: 202, Location, its tasks in the order asked', async t => {
      const ids = [message_id(), message_id(), message_id()]
      const response = await send(ada, ids.map(message_id => ({ message_id })))
      t.equal(response.statusCode, 202)
      const { batch_id, tasks } = response.json()
      t.equal(response.headers.location, `/api/v1/analytics/charts/async/batch/${batch_id}`)
      t.equal(response.headers['idempotent-replayed'], undefined)
      t.match(response.headers, { 'cache-control': 'private, no-cache', 'content-type': /^application\/json/ })
      t.strictSame(tasks.map((task: { message_id: string }) => task.message_id), ids)
      for (const task of tasks) {
        t.match(task, { status: 'PENDING', current_step: 'queued', version: 1, message: 'Chart generation queued successfully' })
        const { message, ...shown } = task
        t.strictSame((await ada.get(`/async/${task.task_id}/status`)).json(), shown, 'the shape of everywhere')
      }
      const { pathname } = new URL(response.headers.location as string, 'http://host')
      t.equal((await ada.get(pathname.slice(host.path.length))).statusCode, 200, 'Location leads to it')
    })

    t.test('tells how it is doing: counts, progress, order', async t => {
      const { batch_id, ids } = await accepted(ada, [{}, {}, {}, {}])
      await host.finish(ids[0]!, { content: 1 })
      await host.progress(ids[1]!, { progress: 50 })
      await ada.delete(`/async/${ids[2]}`)
      const response = await ada.get(`/async/batch/${batch_id.toUpperCase()}`)
      t.equal(response.statusCode, 200)
      const { tasks, ...summary } = response.json()
      t.strictSame(summary, {
        batch_id, total: 4, counts: { PENDING: 1, PROCESSING: 1, COMPLETED: 1, FAILED: 0, CANCELLED: 1 }, progress: 62
      })
      t.strictSame(tasks.map((task: Task) => task.task_id), ids)
      t.notOk('user_id' in tasks[0] || 'org_id' in tasks[0], 'whose it is stays inside')
      await ada.delete(`/async/${ids[1]}`)
      await ada.delete(`/async/${ids[3]}`)
      t.match((await ada.get(`/async/batch/${batch_id}`)).json(), { progress: 100, counts: { PENDING: 0, PROCESSING: 0, COMPLETED: 1, CANCELLED: 3 } })
    })

    t.test('DELETE cancels the unfinished tasks', async t => {
      const { batch_id, ids } = await accepted(ada, [{}, {}, { ref: 'a' }, { depends_on: ['a'] }])
      await host.finish(ids[0]!, { content: 1 })
      await host.take(ids[1]!)
      const response = await ada.delete(`/async/batch/${batch_id}`)
      t.equal(response.statusCode, 200)
      const { counts, tasks } = response.json()
      t.equal(counts.COMPLETED, 1)
      t.equal(counts.PENDING + counts.PROCESSING, 0)
      t.strictSame(tasks.slice(0, 3).map((task: Task) => task.status), ['COMPLETED', 'CANCELLED', 'CANCELLED'])
      t.strictSame((await ada.delete(`/async/batch/${batch_id}`)).json(), response.json(), 'again it is the same')
    })

    t.test('refs name tasks of the batch, in any order', async t => {
      const { ids } = await accepted(ada, [{ depends_on: ['rows', 'style'] }, { ref: 'rows' }, { ref: 'style', depends_on: ['rows'] }])
      const steps = []
      for (const id of ids) steps.push((await ada.get(`/async/${id}/status`)).json().current_step)
      t.strictSame(steps, ['waiting_for_dependencies', 'queued', 'waiting_for_dependencies'])
      await host.finish(ids[1]!, { content: 1 })
      await host.finish(ids[2]!, { content: 2 })
      await host.finish(ids[0]!, { content: 3 })
    })

    t.test('a task_id of an earlier one is a name too', async t => {
      const { task_id } = await ada.create()
      const { tasks } = await accepted(ada, [{ depends_on: [task_id] }, { depends_on: [task_id.toUpperCase()] }])
      t.strictSame(tasks.map(task => task.current_step), ['waiting_for_dependencies', 'waiting_for_dependencies'])
      const cancelled = await ada.delete(`/async/${task_id}`)
      t.equal(cancelled.statusCode, 200)
      for (const task of tasks) {
        t.match((await ada.get(`/async/${task.task_id}/status`)).json(), { status: 'FAILED', error_code: 'CHARTS_ERR_DEPENDENCY_FAILED', attempt: 0 })
      }
    })

    t.test('an invalid ref is refused with 400, and named', async t => {
      const { queue_length } = await host.service.getQueueStats()
      const faults: Array<[Body[], RegExp]> = [
        [[{ ref: 'a', depends_on: ['b'] }, { ref: 'b', depends_on: ['c'] }, { ref: 'c', depends_on: ['a'] }], /a → b → c → a/],
        [[{ ref: 'self', depends_on: ['self'] }], /self → self/],
        [[{ ref: 'x', depends_on: ['a'] }, { ref: 'a', depends_on: ['b'] }, { ref: 'b', depends_on: ['a'] }], /a → b → a/],
        [[{ ref: 'a' }, { depends_on: ['a', 'nobody'] }], /nobody/],
        [[{ ref: 'twice' }, { ref: 'other' }, { ref: 'twice' }], /twice/]
      ]
      for (const [tasks, named] of faults) {
        const response = await send(ada, tasks)
        t.equal(response.statusCode, 400, String(named))
        t.match(response.json(), { statusCode: 400, code: 'CHARTS_ERR_INVALID_REQUEST', message: named })
      }
      const id = crypto.randomUUID()
      const unknown = await send(ada, [{}, { depends_on: [id] }])
      t.equal(unknown.statusCode, 400)
      t.match(unknown.json(), { code: 'CHARTS_ERR_DEPENDENCY_UNKNOWN', message: new RegExp(id) })
      const { task_id } = await ada.create()
      await ada.delete(`/async/${task_id}`)
      const failed = await send(ada, [{}, { depends_on: [task_id] }])
      t.equal(failed.statusCode, 409)
      t.match(failed.json(), { code: 'CHARTS_ERR_DEPENDENCY_FAILED', message: new RegExp(task_id) })
      t.equal((await host.service.getQueueStats()).queue_length, queue_length, 'nothing was accepted')
    })

    t.test('1 to 100 tasks', async t => {
      for (const count of [0, 101]) {
        const response = await send(ada, Array.from({ length: count }, () => ({})))
        t.equal(response.statusCode, 400, `${count} tasks`)
        t.match(response.json(), { code: 'FST_ERR_VALIDATION', message: /body\/tasks/ })
      }
      t.equal((await accepted(ada, Array.from({ length: 100 }, () => ({})))).tasks.length, 100)
    })

    t.test('every fault is named with its index, and nothing is accepted', async t => {
      const { queue_length } = await host.service.getQueueStats()
      const response = await send(ada, [{}, { priority: 'urgent' as never }, { message_id: 'x' }, { run_at: 'soon' }, { what: 1 }, { ref: '' }, { params: {} }])
      t.equal(response.statusCode, 400)
      const { code, message } = response.json()
      t.equal(code, 'FST_ERR_VALIDATION')
      for (const named of ['tasks/1/priority', 'tasks/2/message_id', 'tasks/3/run_at', 'tasks/4 must not have what', 'tasks/5/ref', 'tasks/6 must not have params']) {
        t.ok(message.includes(named), `${named} in ${message}`)
      }
      t.notOk(message.includes('tasks/0'))
      const far = await send(ada, [{}, { run_at: new Date(Date.now() + 31 * 86_400_000).toISOString() }])
      t.equal(far.statusCode, 400)
      t.match(far.json(), { code: 'CHARTS_ERR_INVALID_REQUEST', message: /tasks\/1\/run_at/ })
      for (const payload of ['[]', '{}', '{"tasks":{}}', '{"tasks":[null]}', '{"tasks":[],"more":1}', 'null', '1']) {
        const bad = await ada.request('POST', '/async/batch', { headers: { 'content-type': 'application/json' }, payload })
        t.equal(bad.statusCode, 400, payload)
      }
      t.equal((await host.service.getQueueStats()).queue_length, queue_length)
    })

    t.test('alike ones are one task', async t => {
      const id = message_id()
      const { ids, tasks, batch_id } = await accepted(ada, [{ message_id: id }, { message_id: id }, { message_id: id, force_create: true }])
      t.equal(ids[0], ids[1])
      t.not(ids[0], ids[2])
      t.equal(tasks[1]!.message, 'Chart generation already in progress')
      t.equal((await ada.get(`/async/batch/${batch_id}`)).json().total, 3)
    })

    t.test("somebody else's, unknown and too old: the same answer, word for word", async t => {
      const { batch_id, ids } = await accepted(ada, [{}])
      const unknown = await ada.get(`/async/batch/${crypto.randomUUID()}`)
      t.equal(unknown.statusCode, 404)
      t.match(unknown.json(), { code: 'CHARTS_ERR_BATCH_NOT_FOUND' })
      for (const user of ['bob@acme', 'bob', 'eve@other']) {
        for (const method of ['GET', 'DELETE'] as const) {
          const response = await host.as(user).request(method, `/async/batch/${batch_id}`)
          t.equal(response.statusCode, 404)
          t.equal(response.body, unknown.body)
        }
      }
      t.equal((await host.nobody.get(`/async/batch/${batch_id}`)).statusCode, 401)
      t.equal((await ada.get('/async/batch/x')).statusCode, 400)
      t.equal((await ada.get(`/async/${ids[0]}/status`)).json().status, 'PENDING', 'nobody has cancelled it')
    })

    t.test('Idempotency-Key: the same batch again, another body 422', async t => {
      const first = { message_id: message_id(), force_create: true, ref: 'a' }
      const body = [first, { message_id: message_id(), depends_on: ['a'] }]
      const made = await send(ada, body, { 'idempotency-key': 'b-1' })
      const { batch_id, tasks } = made.json()
      await host.finish(tasks[0].task_id, { content: 1 })
      const again = await send(ada, body, { 'idempotency-key': '"b-1"' })
      t.equal(again.statusCode, 202)
      t.match(again.headers, { 'idempotent-replayed': 'true', location: made.headers.location })
      t.equal(again.json().batch_id, batch_id)
      t.strictSame(again.json().tasks.map((task: Task) => [task.task_id, task.status]), [[tasks[0].task_id, 'COMPLETED'], [tasks[1].task_id, 'PENDING']])
      const others = [[first], [...body, {}], [...body].reverse(), [first, { ...body[1], depends_on: [] }], [{ ...first, priority: 'low' as const }, body[1]!]]
      for (const other of others) {
        const response = await send(ada, other, { 'idempotency-key': 'b-1' })
        t.equal(response.statusCode, 422)
        t.match(response.json(), { code: 'CHARTS_ERR_IDEMPOTENCY_KEY_REUSED' })
      }
      t.equal((await ada.post(first, { 'idempotency-key': 'b-1' })).statusCode, 400, 'a ref is for batches')
      t.equal((await ada.post({ message_id: first.message_id, force_create: true }, { 'idempotency-key': 'b-1' })).statusCode, 422)
      t.equal((await send(host.as('bob@acme'), body, { 'idempotency-key': 'b-1' })).headers['idempotent-replayed'], undefined)
      t.equal((await send(ada, body, { 'idempotency-key': 'ü' })).statusCode, 400)
    })

    t.test('a key of one task is none for a batch', async t => {
      const id = message_id()
      t.equal((await ada.post({ message_id: id }, { 'idempotency-key': 'b-2' })).statusCode, 202)
      t.equal((await send(ada, [{ message_id: id }], { 'idempotency-key': 'b-2' })).statusCode, 422)
    })

    t.test('fifty at once with one key are one batch', async t => {
      const body = [{ message_id: message_id(), force_create: true }, { message_id: message_id(), force_create: true }]
      const responses = await Promise.all(Array.from({ length: 50 }, () => send(ada, body, { 'idempotency-key': 'b-3' })))
      t.equal(new Set(responses.map(response => response.json().batch_id)).size, 1)
      t.equal(responses.filter(response => response.headers['idempotent-replayed'] === undefined).length, 1)
    })
  })

  t.test(`a batch is accepted whole or not at all, on ${kind}`, async t => {
    const host = await startHost(t, kind, { limits: { waitingPerTenant: 3, queueLength: 5 } })
    const ada = host.as('ada@acme')
    const refused: Array<[string, number, string]> = [['ada@acme', 429, 'CHARTS_ERR_TOO_MANY_TASKS'], ['bob', 503, 'CHARTS_ERR_QUEUE_FULL']]
    await accepted(ada, [{}, {}, {}])
    for (const [user, status, code] of refused) {
      const response = await send(host.as(user), [{}, {}, {}])
      t.equal(response.statusCode, status)
      t.match(response.json(), { code })
      t.ok(Number(response.headers['retry-after']) > 0)
    }
    t.equal((await host.service.getQueueStats()).queue_length, 3)
    t.equal((await accepted(host.as('bob'), [{}, {}])).tasks.length, 2, 'what fits is accepted')
  })

  t.test(`authorize and batches, on ${kind}`, async t => {
    const denied = new Set<string>()
    const asked: string[] = []
    const host = await startHost(t, kind, {
      authorize: (_identity, { action, message_id }) => {
        asked.push(action)
        return !denied.has(action) && !denied.has(message_id!)
      }
    })
    const ada = host.as('ada')
    const forbidden = message_id()
    denied.add(forbidden)
    const response = await send(ada, [{}, { message_id: forbidden }, {}])
    t.equal(response.statusCode, 403)
    t.match(response.json(), { code: 'CHARTS_ERR_FORBIDDEN' })
    t.equal((await host.service.getQueueStats()).queue_length, 0, 'one that is refused refuses all')
    denied.clear()
    const { batch_id } = await accepted(ada, [{}, {}])
    const unknown = (await ada.get(`/async/batch/${crypto.randomUUID()}`)).body
    for (const [method, path, action] of [
      ['GET', `/async/batch/${batch_id}`, 'read'], ['DELETE', `/async/batch/${batch_id}`, 'cancel'], ['GET', `/stream/batch/${batch_id}`, 'read']
    ] as const) {
      denied.add(action)
      asked.length = 0
      const response = await ada.request(method, path)
      t.ok(asked.includes(action), `${method} ${path} asks for ${action}`)
      t.equal(response.statusCode, 404, `${method} ${path}`)
      t.equal(response.body, unknown)
      denied.clear()
    }
    t.match((await ada.get(`/async/batch/${batch_id}`)).json(), { counts: { PENDING: 2 } }, 'nothing was cancelled')
  })
}
