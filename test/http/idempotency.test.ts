import t from 'tap'
import { once } from 'node:events'
import { request as connect, type IncomingMessage } from 'node:http'
import { text } from 'node:stream/consumers'
import { startHost, storeKinds, type Caller } from '../helpers/app.ts'

const body = (changes: object = {}) => ({ message_id: crypto.randomUUID(), force_create: true, ...changes })
const keyed = (caller: Caller, request: object, key: string) => caller.post(request, { 'idempotency-key': key })

for (const kind of storeKinds) {
  t.test(`Idempotency-Key on ${kind}`, async t => {
    const host = await startHost(t, kind)
    const base = host.listen()
    const ada = host.as('ada@acme')

    t.test('the same request is the same task, as it is now', async t => {
      const request = body()
      const first = await keyed(ada, request, 'a key')
      t.equal(first.statusCode, 202)
      t.equal(first.headers['idempotent-replayed'], undefined)
      const { task_id } = first.json()

      await host.progress(task_id, { step: 'rendering', progress: 20 })
      const second = await keyed(ada, request, 'a key')
      t.equal(second.statusCode, 202)
      t.equal(second.headers['idempotent-replayed'], 'true')
      t.equal(second.headers.location, first.headers.location)
      t.ok(second.headers['retry-after'])
      t.match(second.json(), { task_id, status: 'PROCESSING', progress: 20 })

      await host.finish(task_id, { content: 1 })
      const third = await keyed(ada, request, 'a key')
      t.equal(third.statusCode, 200)
      t.equal(third.headers['idempotent-replayed'], 'true')
      t.match(third.json(), { task_id, status: 'COMPLETED' })
    })

    t.test('quoted or bare, it is the same key', async t => {
      const request = body()
      const bare = (await keyed(ada, request, 'k-1')).json()
      const quoted = await keyed(ada, request, '"k-1"')
      t.equal(quoted.headers['idempotent-replayed'], 'true')
      t.equal(quoted.json().task_id, bare.task_id)
    })

    t.test('two of them are none', async t => {
      const { port } = new URL(await base)
      const { queue_length } = await host.service.getQueueStats()
      for (const keys of [['a', 'b'], ['a', 'a']]) {
        const outgoing = connect({
          port, host: '127.0.0.1', path: `${host.path}/async`, method: 'POST', headers: { ...ada.headers, 'content-type': 'application/json', 'idempotency-key': keys }
        })
        outgoing.end(JSON.stringify(body()))
        const [response] = await once(outgoing, 'response') as [IncomingMessage]
        t.equal(response.statusCode, 400)
        t.match(JSON.parse(await text(response)), { code: 'CHARTS_ERR_IDEMPOTENCY_KEY_INVALID' })
      }
      t.equal((await host.service.getQueueStats()).queue_length, queue_length)
    })

    t.test('another body is refused, and changes nothing', async t => {
      const request = body()
      const { task_id } = (await keyed(ada, request, 'k-2')).json()
      const { queue_length } = await host.service.getQueueStats()
      const others = [{ message_id: crypto.randomUUID() }, { force_create: false }, { visibility: 'PUBLIC' }, { adjustment_query: 'other' }]
      for (const other of others) {
        const response = await keyed(ada, { ...request, ...other }, 'k-2')
        t.equal(response.statusCode, 422)
        t.match(response.json(), { statusCode: 422, code: 'CHARTS_ERR_IDEMPOTENCY_KEY_REUSED', error: 'Unprocessable Entity', message: String })
      }
      t.equal((await host.service.getQueueStats()).queue_length, queue_length)
      t.equal((await keyed(ada, request, 'k-2')).json().task_id, task_id)
    })

    t.test('the order of the fields and explicit defaults do not make another body', async t => {
      const message_id = crypto.randomUUID()
      const { task_id } = (await keyed(ada, { message_id, visibility: 'PRIVATE' }, 'k-3')).json()
      const response = await keyed(ada, { adjustment_query: null, force_create: false, message_id }, 'k-3')
      t.equal(response.headers['idempotent-replayed'], 'true')
      t.equal(response.json().task_id, task_id)
    })

    t.test('nor does the case of an id', async t => {
      const { task_id } = await ada.create()
      const request = body({ depends_on: [task_id] })
      const first = await keyed(ada, request, 'case')
      const again = await keyed(ada, { ...request, message_id: request.message_id.toUpperCase(), depends_on: [task_id.toUpperCase()] }, 'case')
      t.equal(again.headers['idempotent-replayed'], 'true')
      t.equal(again.json().task_id, first.json().task_id)
    })

    t.test("another user's key of the same name is another key", async t => {
      const request = body()
      const { task_id } = (await keyed(ada, request, 'k-4')).json()
      for (const user of ['bob@acme', 'ada', 'ada@other']) {
        const response = await keyed(host.as(user), body(), 'k-4')
        t.equal(response.statusCode, 202, user)
        t.equal(response.headers['idempotent-replayed'], undefined)
        t.not(response.json().task_id, task_id)
      }
    })

    t.test('a key that met an active task belongs to it', async t => {
      const request = body({ force_create: false })
      const active = (await ada.post(request)).json()
      const first = await keyed(ada, request, 'k-5')
      t.equal(first.json().task_id, active.task_id)
      await ada.delete(`/async/${active.task_id}`)
      const second = await keyed(ada, request, 'k-5')
      t.equal(second.headers['idempotent-replayed'], 'true')
      t.match(second.json(), { task_id: active.task_id, status: 'CANCELLED' })
    })

    t.test('fifty at once with one key make one task, forced as they are', async t => {
      const request = body()
      const responses = await Promise.all(Array.from({ length: 50 }, () => keyed(ada, request, 'k-6')))
      t.equal(new Set(responses.map(response => response.json().task_id)).size, 1)
      t.equal(responses.filter(response => response.headers['idempotent-replayed'] === undefined).length, 1)
    })

    t.test('a refused request does not use the key up', async t => {
      t.equal((await keyed(ada, { message_id: 'x' }, 'k-7')).statusCode, 400)
      const response = await keyed(ada, body(), 'k-7')
      t.equal(response.statusCode, 202)
      t.equal(response.headers['idempotent-replayed'], undefined)
    })

    t.test('255 characters are a key', async t => {
      t.equal((await keyed(ada, body(), 'x'.repeat(255))).statusCode, 202)
    })
  })

  t.test(`a key is kept as long as its task, on ${kind}`, async t => {
    let now = Date.UTC(2030, 0, 1)
    const host = await startHost(t, kind, { now: () => now, retention: { task: 60, status: 60, messageIndex: 60 } })
    const ada = host.as('ada')
    const request = body()
    const { task_id } = (await keyed(ada, request, 'k')).json()
    now += 30 * 86_400_000
    t.equal((await keyed(ada, request, 'k')).json().task_id, task_id, 'an unfinished task keeps its key')
    await host.finish(task_id, { content: 1 })
    now += 59_000
    t.equal((await keyed(ada, request, 'k')).json().task_id, task_id)
    now += 2_000
    const response = await keyed(ada, request, 'k')
    t.equal(response.headers['idempotent-replayed'], undefined)
    t.not(response.json().task_id, task_id)
  })
}
