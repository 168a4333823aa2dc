import t from 'tap'
import { startHost, storeKinds, type Host } from '../helpers/app.ts'

async function isEmpty (host: Host): Promise<boolean> {
  const { queue_length, processing_count } = await host.service.getQueueStats()
  return queue_length === 0 && processing_count === 0
}

const message_id = 'b4fb1bd1-0f68-4e51-9d3c-3cba7b1e0b8e'

/** What is sent, and what the answer must name. */
const badBodies: Array<[name: string, body: unknown, named: RegExp]> = [
  ['nothing in it', {}, /message_id/],
  ['null', null, /body/],
  ['a list', [], /body/],
  ['a string', '"text"', /body/],
  ['no UUID', { message_id: 'message-uuid' }, /message_id/],
  ['a UUID with a prefix', { message_id: `urn:uuid:${message_id}` }, /message_id/],
  ['a UUID in braces', { message_id: `{${message_id}}` }, /message_id/],
  ['a UUID without dashes', { message_id: message_id.replaceAll('-', '') }, /message_id/],
  ['a UUID and a line break', { message_id: `${message_id}\n` }, /message_id/],
  ['a number as a message', { message_id: 5 }, /message_id/],
  ['null as a message', { message_id: null }, /message_id/],
  ['an unknown visibility', { message_id, visibility: 'SECRET' }, /visibility/],
  ['a visibility in lower case', { message_id, visibility: 'private' }, /visibility/],
  ['visibility null', { message_id, visibility: null }, /visibility/],
  ['a string where a boolean belongs', { message_id, force_create: 'true' }, /force_create/],
  ['a number where a boolean belongs', { message_id, force_create: 1 }, /force_create/],
  ['force_create null', { message_id, force_create: null }, /force_create/],
  ['a number where a string belongs', { message_id, adjustment_query: 5 }, /adjustment_query/],
  ['an unknown field', { message_id, colour: 'red' }, /colour/],
  ['a field of the task', { message_id, user_id: 'eve' }, /user_id/],
  ['params without a schema of the host', { message_id, params: { rows: 1 } }, /params/],
  ['params null without a schema of the host', { message_id, params: null }, /params/]
]

for (const kind of storeKinds) {
  t.test(`requests that POST refuses, on ${kind}`, async t => {
    const host = await startHost(t, kind)
    const ada = host.as('ada')
    t.afterEach(async () => { t.ok(await isEmpty(host), 'nothing changed') })

    for (const [name, body, named] of badBodies) {
      t.test(name, async t => {
        const response = await ada.post(body)
        t.equal(response.statusCode, 400)
        t.strictSame(Object.keys(response.json()).sort(), ['code', 'error', 'message', 'statusCode'])
        t.match(response.json(), { statusCode: 400, code: 'FST_ERR_VALIDATION', error: 'Bad Request', message: named })
      })
    }

    t.test('every fault at once, each by its name', async t => {
      const { message } = (await ada.post({ message_id: 'x', visibility: 1, force_create: 'yes', adjustment_query: {}, colour: 1, size: 2 })).json()
      for (const field of ['message_id', 'visibility', 'force_create', 'adjustment_query', 'colour', 'size']) t.match(message, field)
    })

    t.test('malformed JSON, and none at all', async t => {
      for (const [body, code] of [['{"message_id":', 'FST_ERR_CTP_INVALID_JSON_BODY'], ['', 'FST_ERR_VALIDATION']]) {
        const response = await ada.post(body)
        t.equal(response.statusCode, 400)
        t.match(response.json(), { statusCode: 400, code, error: 'Bad Request', message: String })
      }
      const without = await ada.request('POST', '/async')
      t.equal(without.statusCode, 400)
      t.equal(without.json().code, 'FST_ERR_VALIDATION')
    })

    t.test('a key that would change a prototype', async t => {
      for (const key of ['__proto__', 'constructor']) {
        t.equal((await ada.post(`{"message_id":"${message_id}","${key}":{"prototype":{"x":1}}}`)).statusCode, 400)
      }
    })

    t.test('another content type', async t => {
      const body = JSON.stringify({ message_id })
      for (const type of ['application/xml', '']) {
        const response = await ada.post(body, { 'content-type': type })
        t.equal(response.statusCode, 415, type)
        t.equal(response.json().code, 'FST_ERR_CTP_INVALID_MEDIA_TYPE')
      }
      t.match((await ada.post(body, { 'content-type': 'text/plain' })).json(), { statusCode: 400, code: 'FST_ERR_VALIDATION', message: 'body must be object' })
    })

    t.test('too much', async t => {
      const response = await ada.post({ message_id, adjustment_query: 'x'.repeat(65_536) })
      t.equal(response.statusCode, 413)
      t.match(response.json(), { statusCode: 413, code: 'FST_ERR_CTP_BODY_TOO_LARGE', error: 'Payload Too Large', message: String })
      t.equal(response.headers['cache-control'], 'private, no-cache')
    })

    t.test('an Idempotency-Key that is none', async t => {
      for (const key of ['', '""', 'x'.repeat(256), 'a\tb', 'schlüssel']) {
        const response = await ada.post({ message_id }, { 'idempotency-key': key })
        t.equal(response.statusCode, 400, JSON.stringify(key))
        t.equal(response.json().code, 'CHARTS_ERR_IDEMPOTENCY_KEY_INVALID')
      }
    })
  })

  t.test(`limits on ${kind}`, async t => {
    t.test('as much as a request may have, and one byte more than the record may', async t => {
      const host = await startHost(t, kind, { limits: { requestBytes: 400 } })
      const ada = host.as('ada')
      t.equal((await ada.post({ message_id, adjustment_query: 'x'.repeat(50) })).statusCode, 202)
      // The body fits, but not with what is stored with it.
      const response = await ada.post({ message_id, adjustment_query: 'x'.repeat(300) })
      t.equal(response.statusCode, 413)
      t.match(response.json(), { statusCode: 413, code: 'CHARTS_ERR_REQUEST_TOO_LARGE', error: 'Payload Too Large' })
    })

    t.test('a tenant that has too much waiting', async t => {
      const host = await startHost(t, kind, { limits: { waitingPerTenant: 2 } })
      const first = await host.as('ada@acme').create()
      await host.as('bob@acme').create()
      const response = await host.as('ada@acme').post({ message_id })
      t.equal(response.statusCode, 429)
      t.match(response.headers['retry-after'], /^[1-9]\d*$/)
      t.match(response.json(), { statusCode: 429, code: 'CHARTS_ERR_TOO_MANY_TASKS', error: 'Too Many Requests', message: String })
      t.equal((await host.as('ada').post({ message_id })).statusCode, 202, 'ada without an org is another tenant')
      t.equal((await host.as('eve@other').post({ message_id })).statusCode, 202)
      t.equal((await host.as('ada@acme').post({ message_id: first.message_id })).statusCode, 202, 'what is there already is not new')
      await host.take(first.task_id)
      t.equal((await host.as('ada@acme').post({ message_id })).statusCode, 202, 'what runs does not wait')
    })

    t.test('a tenant with too many scheduled tasks: other tenants, and tasks that could run now, are accepted', async t => {
      const host = await startHost(t, kind, { limits: { waitingPerTenant: 3, scheduledPerTenant: 3, queueLength: 3 } })
      const run_at = new Date(Date.now() + 29 * 86_400_000).toISOString()
      for (const user of ['bob', 'eve']) {
        const first = await host.as(user).create({ run_at })
        await host.as(user).create({ run_at })
        await host.as(user).create({ depends_on: [first.task_id] })
        for (const body of [{ run_at }, { depends_on: [first.task_id] }]) {
          const response = await host.as(user).post({ message_id, ...body })
          t.equal(response.statusCode, 429)
          t.equal(response.headers['retry-after'], '60', 'a place is free when a time comes, which nobody waits for')
          t.match(response.json(), { statusCode: 429, code: 'CHARTS_ERR_TOO_MANY_TASKS', message: /wait for a time or for others/ })
          t.strictSame(Object.keys(response.json()).sort(), ['code', 'error', 'message', 'statusCode'])
        }
      }
      for (const user of ['ada', 'ada', 'bob']) t.equal((await host.as(user).post({ message_id: crypto.randomUUID() })).statusCode, 202)
      t.equal((await host.as('eve').post({ message_id })).statusCode, 503, 'what could run now fills the queue')
      t.equal((await host.as('ada').post({ message_id, run_at })).statusCode, 202)
    })

    t.test('a full queue', async t => {
      const host = await startHost(t, kind, { limits: { queueLength: 1 } })
      await host.as('ada').create()
      const response = await host.as('bob').post({ message_id })
      t.equal(response.statusCode, 503)
      t.match(response.headers['retry-after'], /^[1-9]\d*$/)
      t.match(response.json(), { statusCode: 503, code: 'CHARTS_ERR_QUEUE_FULL', error: 'Service Unavailable', message: String })
    })

    t.test('0 is off', async t => {
      const host = await startHost(t, kind, { limits: { waitingPerTenant: 0, queueLength: 0, requestBytes: 0 } })
      t.equal((await host.as('ada').post({ message_id, adjustment_query: 'x'.repeat(70_000) })).statusCode, 202)
    })
  })
}
