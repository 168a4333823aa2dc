import t from 'tap'
import swagger from '@fastify/swagger'
import { Validator } from '@seriousme/openapi-schema-validator'
import asyncCharts, { memoryStore } from '../../lib/index.ts'
import { startHost } from '../helpers/app.ts'

/** Every operation with what it is called, the statuses that section 8 of the contract names for it, and the headers that it understands. */
const operations: Array<[path: string, method: string, operationId: string, statuses: number[], headers?: string[]]> = [
  ['/charts/async', 'post', 'createChart', [200, 202, 400, 401, 403, 409, 413, 415, 422, 429, 503], ['Prefer', 'Idempotency-Key']],
  ['/charts/async/{task_id}/status', 'get', 'getChartStatus', [200, 304, 400, 401, 404, 503], ['Prefer', 'If-None-Match']],
  ['/charts/async/{task_id}/result', 'get', 'getChartResult', [200, 400, 401, 404, 409, 410, 503], ['Prefer']],
  ['/charts/async/{task_id}', 'delete', 'cancelChart', [200, 400, 401, 404, 409, 413, 415, 503]],
  ['/charts/by-message/{message_id}', 'get', 'getMessageCharts', [200, 400, 401, 404, 503]],
  ['/charts/async/stats', 'get', 'getChartQueueStats', [200, 401, 403, 503]],
  ['/charts/admin/tasks', 'get', 'listChartTasks', [200, 400, 401, 403, 503]],
  ['/charts/admin/tasks/{task_id}', 'get', 'inspectChartTask', [200, 400, 401, 403, 404, 503]],
  ['/charts/admin/tasks/{task_id}', 'delete', 'cancelChartTask', [200, 400, 401, 403, 404, 409, 413, 415, 503]],
  ['/charts/admin/tasks/{task_id}/retry', 'post', 'retryChartTask', [200, 202, 400, 401, 403, 404, 409, 413, 415, 429, 503]],
  ['/charts/admin/pause', 'post', 'pauseChartQueue', [200, 400, 401, 403, 413, 415, 503]],
  ['/charts/admin/resume', 'post', 'resumeChartQueue', [200, 400, 401, 403, 413, 415, 503]],
  ['/charts/async/batch', 'post', 'createChartBatch', [202, 400, 401, 403, 409, 413, 415, 422, 429, 503], ['Idempotency-Key']],
  ['/charts/async/batch/{batch_id}', 'get', 'getChartBatch', [200, 400, 401, 404, 503]],
  ['/charts/async/batch/{batch_id}', 'delete', 'cancelChartBatch', [200, 400, 401, 404, 413, 415, 503]],
  ['/charts/stream/by-message/{message_id}', 'get', 'streamMessageCharts', [200, 204, 400, 401, 404], ['Last-Event-ID']],
  ['/charts/stream/batch/{batch_id}', 'get', 'streamChartBatch', [200, 204, 400, 401, 404], ['Last-Event-ID']],
  ['/charts/stream/{task_id}', 'get', 'streamChart', [200, 204, 400, 401, 404], ['Last-Event-ID']],
  ['/charts/ws/{task_id}', 'get', 'openChartSocket', [400, 401, 403, 404, 426]]
]

interface Operation {
  operationId: string
  summary: string
  parameters?: Array<{ name: string, in: string, required?: boolean }>
  requestBody?: { content: Record<string, { schema: { properties: object } }> }
  responses: Record<string, { description: string, headers?: object, content?: Record<string, { schema: { properties?: Record<string, any>, required?: string[], type?: string } }> }>
}

for (const version of ['3.0.3', '3.1.0']) {
  t.test(`OpenAPI ${version}`, async t => {
    const host = await startHost(t, 'memory', {
      paramsSchema: { type: 'object', properties: { rows: { type: 'integer' } } },
      before: app => app.register(swagger, { openapi: { openapi: version, info: { title: 'Charts', version: '1' } } })
    })
    await host.app.ready()
    const document = JSON.parse(JSON.stringify(host.app.swagger())) as { paths: Record<string, Record<string, Operation>> }

    const { valid, errors } = await new Validator().validate(structuredClone(document))
    t.ok(valid, 'is valid', { errors })

    const { paths } = document
    t.strictSame(Object.entries(paths).flatMap(([path, methods]) => Object.keys(methods).map(method => `${method} ${path}`)).sort(),
      operations.map(([path, method]) => `${method} /api/v1/analytics${path}`).sort())
    for (const [path, method, operationId, statuses, headers = []] of operations) {
      const operation = paths[`/api/v1/analytics${path}`]![method]!
      t.type(operation.summary, 'string')
      t.equal(operation.operationId, operationId)
      t.strictSame(Object.keys(operation.responses).map(Number).sort(), statuses, `${method} ${path}`)
      for (const [status, response] of Object.entries(operation.responses)) {
        t.ok(response.description)
        if (Number(status) >= 400) {
          t.strictSame(Object.keys(response.content!['application/json']!.schema.properties!), ['statusCode', 'code', 'error', 'message'])
        }
        if (['429', '503'].includes(status)) t.strictSame(Object.keys(response.headers!), ['Retry-After'])
      }
      const parameters = (place: string) => (operation.parameters ?? []).filter(parameter => parameter.in === place)
      t.strictSame(parameters('path').map(({ name }) => name), [...path.matchAll(/\{(\w+)\}/g)].map(match => match[1]))
      t.strictSame(parameters('header').map(({ name }) => name), headers)
      t.notOk(parameters('header').some(({ required }) => required), 'none of them is required')
    }
    const schemaOf = (path: string, method: string) => paths[`/api/v1/analytics${path}`]![method]!.responses['200']!.content!['application/json']!.schema
    t.strictSame(schemaOf('/charts/async/batch/{batch_id}', 'get').properties!['counts'].required, ['PENDING', 'PROCESSING', 'COMPLETED', 'FAILED', 'CANCELLED'])
    t.strictSame(schemaOf('/charts/by-message/{message_id}', 'get').properties!['charts'].items.required,
      ['chart_id', 'task_id', 'message_id', 'user_id', 'org_id', 'visibility', 'adjustment_query', 'created_at'], 'only the content may be left out')
    const { outcome } = schemaOf('/charts/admin/tasks/{task_id}', 'get').properties!['attempts'].items.properties
    t.ok((outcome.enum ?? outcome.anyOf[0].enum).includes(null), 'an attempt that runs has none')
    const create = paths['/api/v1/analytics/charts/async']!['post']!
    t.strictSame(Object.keys(create.requestBody!.content['application/json']!.schema.properties),
      ['message_id', 'visibility', 'force_create', 'adjustment_query', 'priority', 'run_at', 'depends_on', 'supersede', 'params'])
    const stream = paths['/api/v1/analytics/charts/stream/{task_id}']!['get']!
    t.strictSame(Object.keys(stream.responses['200']!.content!), ['text/event-stream'])
  })
}

t.test('the headers that are sent are described', async t => {
  const host = await startHost(t, 'memory', { before: app => app.register(swagger, { openapi: {} }) })
  await host.app.ready()
  const { paths } = JSON.parse(JSON.stringify(host.app.swagger())) as { paths: Record<string, Record<string, Operation>> }
  const ada = host.as('ada')
  const body = { message_id: crypto.randomUUID() }
  const keyed = { 'idempotency-key': 'k', prefer: 'wait=0' }
  const created = await ada.post(body, keyed)
  const { task_id } = created.json()
  const status = await ada.get(`/async/${task_id}/status`, { prefer: 'wait=0' })
  const answers: Array<[Awaited<ReturnType<typeof ada.get>>, path: string, method: string]> = [
    [created, '/charts/async', 'post'],
    [await ada.post(body, keyed), '/charts/async', 'post'],
    [status, '/charts/async/{task_id}/status', 'get'],
    [await ada.get(`/async/${task_id}/status`, { 'if-none-match': String(status.headers['etag']) }), '/charts/async/{task_id}/status', 'get'],
    [await ada.get(`/async/${task_id}/result`, { prefer: 'respond-async' }), '/charts/async/{task_id}/result', 'get'],
    [await ada.get(`/ws/${task_id}`), '/charts/ws/{task_id}', 'get'],
    [await ada.get(`/by-message/${body.message_id}`), '/charts/by-message/{message_id}', 'get'],
    [await ada.request('POST', '/async/batch', { headers: { 'content-type': 'application/json', 'idempotency-key': 'b' }, payload: JSON.stringify({ tasks: [body] }) }), '/charts/async/batch', 'post']
  ]
  const common = ['content-type', 'content-length', 'date', 'connection', 'cache-control', 'vary']
  for (const [response, path, method] of answers) {
    const described = Object.keys(paths[`/api/v1/analytics${path}`]![method]!.responses[response.statusCode]!.headers ?? {}).map(name => name.toLowerCase())
    const sent = Object.keys(response.headers).filter(name => !common.includes(name))
    t.ok(sent.length > 0)
    t.strictSame(sent.filter(name => !described.includes(name)), [], `${response.statusCode} of ${method} ${path}`)
  }
})

t.test('two registrations make one valid document', async t => {
  const host = await startHost(t, 'memory', { before: app => app.register(swagger, { openapi: {} }) })
  await host.app.register(async scope => { await scope.register(asyncCharts, { store: memoryStore(), identify: () => null, prefix: '/other' }) })
  await host.app.ready()
  const document = JSON.parse(JSON.stringify(host.app.swagger())) as { paths: Record<string, Record<string, Operation>> }
  const ids = Object.values(document.paths).flatMap(methods => Object.values(methods)).map(({ operationId }) => operationId)
  t.equal(ids.length, 2 * operations.length)
  t.equal(new Set(ids).size, ids.length, 'no operationId twice')
})

t.test('without a schema of params, params are not documented as something to send', async t => {
  const host = await startHost(t, 'memory', { before: app => app.register(swagger, { openapi: {} }) })
  await host.app.ready()
  const document = JSON.parse(JSON.stringify(host.app.swagger()))
  const { valid, errors } = await new Validator().validate(structuredClone(document))
  t.ok(valid, 'is valid', { errors })
  const { schema } = document.paths['/api/v1/analytics/charts/async'].post.requestBody.content['application/json']
  t.notOk('params' in schema.properties)
})
