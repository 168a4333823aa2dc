import t from 'tap'
import { startHost, type Caller } from '../helpers/app.ts'

const message_id = 'b4fb1bd1-0f68-4e51-9d3c-3cba7b1e0b8e'
const list = (value: string, length: number) => `[${Array(length).fill(value).join()}]`
const nested = (levels: number) => `${'['.repeat(levels)}1${']'.repeat(levels)}`
const post = (caller: Caller, path: string, payload: string) => caller.request('POST', path, { headers: { 'content-type': 'application/json' }, payload })

/** Characters of an answer that a reader would still read. */
const SHORT = 15_000

t.test('a body with many faults is refused without naming all of them', async t => {
  const host = await startHost(t, 'memory', { paramsSchema: { type: 'object', additionalProperties: { type: 'string' } } })
  const ada = host.as('ada')
  const members = (count: number) => Array.from({ length: count }, (_, i) => `"member-${i}":0`).join()
  const cases: Array<[name: string, path: string, payload: string, message: RegExp]> = [
    ['more tasks than a batch has', '/async/batch', `{"tasks":${list('0', 3_000_000)}}`, /^body\/tasks must NOT have more than 100 items$/],
    ['a few too many', '/async/batch', `{"tasks":${list('0', 101)}}`, /^body\/tasks must NOT have more than 100 items, body\/tasks\/0 must be object, .*, … and 82 more$/],
    ['more dependencies than a task has', '/async', `{"message_id":"${message_id}","depends_on":${list('""', 20_000)}}`, /^body\/depends_on must NOT have more than 20 items$/],
    ['so in a batch', '/async/batch', `{"tasks":[{"message_id":"${message_id}","depends_on":${list('""', 60_000)}}]}`, /^body\/tasks\/0\/depends_on must NOT have more than 20 items$/],
    ['fields that there are not', '/async', `{"message_id":"${message_id}",${members(100)}}`, /^body must not have member-0, .*, … and 80 more$/],
    ['params of the host', '/async', `{"message_id":"${message_id}","params":{${members(3_000)}}}`, /^body\/params\/member-0 must be string$/],
    ['a long name', '/async', `{"message_id":"${message_id}","params":{"${'x'.repeat(60_000)}":0}}`, /^body\/params\/x+…$/]
  ]
  for (const [name, path, payload, message] of cases) {
    const response = await post(ada, path, payload)
    t.equal(response.statusCode, 400, name)
    t.match(response.json(), { code: 'FST_ERR_VALIDATION', error: 'Bad Request', message }, name)
    t.ok(response.body.length < SHORT, name, { bytes: response.body.length })
  }
  t.equal((await host.service.getQueueStats()).queue_length, 0, 'nothing was accepted')
})

t.test('a body that is nested too deep', async t => {
  const recursive = { $id: 'filter', anyOf: [{ type: 'array', items: { $ref: '#' } }, { type: 'integer' }] }
  for (const [name, paramsSchema] of [['any params', {}], ['params of a recursive schema', recursive], ['no params', undefined]] as const) {
    const host = await startHost(t, 'memory', { paramsSchema })
    const body = (params: string) => `{"message_id":"${message_id}","params":${params}}`
    for (const [path, payload] of [['/async', body(nested(30_000))], ['/async/batch', `{"tasks":[${body(nested(30_000))}]}`], ['/async', nested(30_000)]]) {
      const response = await post(host.as('ada'), path!, payload!)
      t.equal(response.statusCode, 400, `${name}: ${path}`)
      t.match(response.json(), { code: 'CHARTS_ERR_INVALID_REQUEST', message: 'body must not be nested deeper than 500 levels' })
    }
    if (paramsSchema) t.equal((await post(host.as('ada'), '/async', body(nested(400)))).statusCode, 202, `${name}: deep enough for anybody`)
  }
})

t.test('a body of which a store would lose something is refused, and it is said what', async t => {
  const host = await startHost(t, 'memory', { paramsSchema: {} })
  const cases: Array<[fields: string, said: string]> = [
    ['"params":{"from":1e400}', '/params/from must be a finite number, not Infinity'],
    ['"params":[0,-1e999]', '/params/1 must be a finite number, not -Infinity'],
    ['"params":{"name":"a\\ud800"}', '/params/name must be well-formed Unicode: it has half of a surrogate pair'],
    ['"params":{"\\udfffa":1}', '/params/\ufffda must have keys of well-formed Unicode'],
    ['"adjustment_query":"half of \\ud83d"', '/adjustment_query must be well-formed Unicode: it has half of a surrogate pair']
  ]
  for (const [fields, said] of cases) {
    const task = `{"message_id":"${message_id}",${fields}}`
    for (const [path, payload, at] of [['/async', task, ''], ['/async/batch', `{"tasks":[${task}]}`, '/tasks/0']] as const) {
      const response = await post(host.as('ada'), path, payload)
      t.equal(response.statusCode, 400, said)
      t.match(response.json(), { code: 'CHARTS_ERR_INVALID_REQUEST', message: `body${at}${said}` })
    }
  }
  t.equal((await post(host.as('ada'), '/async', `{"message_id":"${message_id}","params":[-0,1e308,9007199254740993,"\\u0000 \\ud83d\\ude00"]}`)).statusCode, 202)
  t.equal((await host.service.getQueueStats()).queue_length, 1, 'nothing else was accepted')
})

t.test('a fault is named once, in words that help', async t => {
  const ada = (await startHost(t, 'memory')).as('ada')
  const said = async (body: object) => (await ada.post({ message_id, ...body })).json().message
  t.equal(await said({ adjustment_query: 5 }), 'body/adjustment_query must be string')
  for (const run_at of ['tomorrow', '2030-01-01', '2030-01-01T00:00:00']) {
    t.equal(await said({ run_at }), 'body/run_at must be a date with a time and a zone, such as 2030-01-31T09:00:00Z')
  }
  t.equal(await said({ run_at: 0 }), 'body/run_at must be string')
})

t.test('a body of many parts is refused before it is parsed', async t => {
  const host = await startHost(t, 'memory', { authorize: () => true, limits: { requestBytes: 0 }, paramsSchema: {} })
  const ada = host.as('ada')
  const params = (value: string) => `{"message_id":"${message_id}","params":${value}}`
  const members = (count: number) => `{${Array.from({ length: count }, (_, i) => `"k${i}":0`).join()}}`
  const costly: Array<[name: string, path: string, payload: string]> = [
    ['objects in place of tasks', '/async/batch', `{"tasks":${list('{}', 2_000_000)}}`],
    ['lists', '/async/batch', `{"tasks":${list('[]', 2_000_000)}}`],
    ['objects in params', '/async', params(list('{}', 100_000))],
    ['members in params', '/async', params(members(50_000))],
    ['levels', '/async', params(nested(3_000_000))],
    ['strings that hide them', '/async', params(list('{"\\\\":"\\""}', 50_000))],
    ['where no body is wanted', '/admin/pause', list('[]', 60_000)]
  ]
  for (const [name, path, payload] of costly) {
    // What comes behind the limit is not read: it is no JSON at all.
    const response = await post(ada, path, `${payload.slice(0, -1)}!`)
    t.strictSame(response.json(), {
      statusCode: 400, code: 'CHARTS_ERR_INVALID_REQUEST', error: 'Bad Request', message: 'body must not have more than 50000 objects, lists and members'
    }, name)
  }
  const cheap: Array<[name: string, value: string]> = [
    ['plain values', list('1.5', 200_000)],
    ['as many parts as may be', list('{}', 49_996)],
    ['text that looks like parts', JSON.stringify('{[:"'.repeat(50_000))]
  ]
  for (const [name, value] of cheap) t.equal((await post(ada, '/async', params(value))).statusCode, 202, name)
})
