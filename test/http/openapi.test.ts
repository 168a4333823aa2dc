import t from 'tap'
import swagger from '@fastify/swagger'
import type { FastifyInstance } from 'fastify'
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
  ['/charts/admin/workers', 'get', 'listChartWorkers', [200, 401, 403, 503]],
  ['/charts/admin/history', 'get', 'getChartQueueHistory', [200, 400, 401, 403, 503]],
  ['/charts/admin/failures', 'get', 'getChartFailures', [200, 400, 401, 403, 503]],
  ['/charts/admin/tasks/retry', 'post', 'retryChartTasks', [200, 400, 401, 403, 413, 415, 503]],
  ['/charts/admin/tasks/cancel', 'post', 'cancelChartTasks', [200, 400, 401, 403, 413, 415, 503]],
  ['/charts/admin/pause', 'post', 'pauseChartQueue', [200, 400, 401, 403, 413, 415, 503]],
  ['/charts/admin/resume', 'post', 'resumeChartQueue', [200, 400, 401, 403, 413, 415, 503]],
  ['/charts/async/batch', 'post', 'createChartBatch', [202, 400, 401, 403, 409, 413, 415, 422, 429, 503], ['Idempotency-Key']],
  ['/charts/async/batch/{batch_id}', 'get', 'getChartBatch', [200, 400, 401, 404, 503]],
  ['/charts/async/batch/{batch_id}', 'delete', 'cancelChartBatch', [200, 400, 401, 404, 413, 415, 503]],
  ['/charts/stream/by-message/{message_id}', 'get', 'streamMessageCharts', [200, 204, 400, 401, 404]],
  ['/charts/stream/batch/{batch_id}', 'get', 'streamChartBatch', [200, 204, 400, 401, 404]],
  ['/charts/stream/{task_id}', 'get', 'streamChart', [200, 204, 400, 401, 404]],
  ['/charts/ws/{task_id}', 'get', 'openChartSocket', [400, 401, 403, 404, 426]]
]

interface Operation {
  operationId: string
  summary: string
  tags: string[]
  security?: object[]
  parameters?: Array<{ name: string, in: string, required?: boolean }>
  requestBody?: { content: Record<string, { schema: { properties: Record<string, any> } }> }
  responses: Record<string, { description: string, headers?: object, content?: Record<string, { schema: { $ref: string } }> }>
}

interface Document {
  openapi: string
  tags: Array<{ name: string }>
  paths: Record<string, Record<string, Operation>>
  components: { schemas: Record<string, any> }
}

/** What the host's document is in the end. */
const documentOf = (host: { app: FastifyInstance }): Document => JSON.parse(JSON.stringify(host.app.swagger()))

const names = [
  'AnsweredChartTask', 'AnsweredOperatorChartTask', 'Batch', 'Chart', 'ChartAttempt', 'ChartBulkResult', 'ChartDurations', 'ChartFailures', 'ChartHistoryMinute', 'ChartPriority',
  'ChartQueueHistory', 'ChartStatus', 'ChartTask', 'ChartTaskDetails', 'ChartUpdate', 'ChartVisibility', 'ChartWorker', 'ChartWorkers', 'CreatedBatch', 'Error', 'ListedChart', 'MessageCharts', 'OperatorChartTask', 'OperatorChartTaskPage', 'QueueStats'
]

/** Where the references of a document lead that lead nowhere. */
function dangling (document: object): string[] {
  const references = [...JSON.stringify(document).matchAll(/"\$ref":"([^"]+)"/g)].map(([, reference]) => reference!)
  const target = (reference: string) => reference.slice(2).split('/').reduce<any>((value, key) => value?.[key], document)
  return references.filter(reference => !reference.startsWith('#/') || target(reference) === undefined)
}

for (const version of ['3.0.3', '3.1.0']) {
  t.test(`OpenAPI ${version}`, async t => {
    const host = await startHost(t, 'memory', {
      paramsSchema: { type: 'object', properties: { rows: { type: 'integer' } } },
      before: app => app.register(swagger, { openapi: { openapi: version, info: { title: 'Charts', version: '1' } } })
    })
    await host.app.ready()
    const document = documentOf(host)

    const { valid, errors } = await new Validator().validate({ ...structuredClone(document) })
    t.ok(valid, 'is valid', { errors })

    const { paths, components: { schemas } } = document
    t.strictSame(Object.keys(schemas).sort(), names, 'every schema has a name')
    t.strictSame(dangling(document), [])
    t.ok(JSON.stringify(document).length < 60_000, 'what is said once is not said again')
    t.strictSame(document.tags.map(({ name }) => name), ['charts', 'charts-admin'])
    t.strictSame(Object.entries(paths).flatMap(([path, methods]) => Object.keys(methods).map(method => `${method} ${path}`)).sort(),
      operations.map(([path, method]) => `${method} /api/v1/analytics${path}`).sort())
    for (const [path, method, operationId, statuses, headers = []] of operations) {
      const operation = paths[`/api/v1/analytics${path}`]![method]!
      t.type(operation.summary, 'string')
      t.equal(operation.operationId, operationId)
      t.strictSame(operation.tags, [/admin|stats/.test(path) ? 'charts-admin' : 'charts'])
      t.strictSame(Object.keys(operation.responses).map(Number).sort(), statuses, `${method} ${path}`)
      for (const [status, response] of Object.entries(operation.responses)) {
        t.ok(response.description)
        if (Number(status) >= 400) {
          t.strictSame(response.content!['application/json']!.schema, { $ref: '#/components/schemas/Error' })
        }
        if (['429', '503'].includes(status)) t.strictSame(Object.keys(response.headers!), ['Retry-After'])
      }
      const parameters = (place: string) => (operation.parameters ?? []).filter(parameter => parameter.in === place)
      t.strictSame(parameters('path').map(({ name }) => name), [...path.matchAll(/\{(\w+)\}/g)].map(match => match[1]))
      t.strictSame(parameters('header').map(({ name }) => name), headers)
      t.notOk(parameters('header').some(({ required }) => required), 'none of them is required')
    }
    t.strictSame(Object.keys(schemas['Error'].properties), ['statusCode', 'code', 'error', 'message'])
    t.strictSame(schemas['Batch'].properties.counts.required, ['PENDING', 'PROCESSING', 'COMPLETED', 'FAILED', 'CANCELLED'])
    t.strictSame(schemas['MessageCharts'].properties.charts.items, { $ref: '#/components/schemas/ListedChart' })
    t.strictSame(schemas['ListedChart'].required,
      ['chart_id', 'task_id', 'message_id', 'user_id', 'org_id', 'visibility', 'adjustment_query', 'created_at'], 'only the content may be left out')
    const { outcome } = schemas['ChartAttempt'].properties
    const outcomes = ['completed', 'failed', 'released', 'expired', 'cancelled']
    t.match(outcome, version === '3.0.3'
      ? { type: 'string', nullable: true, enum: [...outcomes, null] }
      : { anyOf: [{ type: 'string', enum: outcomes }, { type: 'null' }] }, 'an attempt that runs has none')
    const limits = paths['/api/v1/analytics/charts/by-message/{message_id}']!['get']!.parameters!.filter(({ in: place }) => place === 'query')
    t.match(limits, [{ name: 'limit', required: false, schema: { default: 50 } }, { name: 'content', required: false, schema: { default: true } }])
    const create = paths['/api/v1/analytics/charts/async']!['post']!
    t.strictSame(Object.keys(create.requestBody!.content['application/json']!.schema.properties),
      ['message_id', 'visibility', 'force_create', 'adjustment_query', 'priority', 'run_at', 'depends_on', 'supersede', 'params'])
    t.match(create.requestBody!.content['application/json']!.schema.properties, {
      visibility: { default: 'PRIVATE' }, force_create: { default: false }, priority: { default: 'normal' }, depends_on: { default: [] }, supersede: { default: false }
    })
    for (const stream of ['{task_id}', 'batch/{batch_id}', 'by-message/{message_id}']) {
      const { responses, parameters } = paths[`/api/v1/analytics/charts/stream/${stream}`]!['get']!
      t.strictSame(responses['200']!.content, { 'text/event-stream': { schema: { $ref: '#/components/schemas/ChartUpdate' } } })
      t.strictSame(parameters!.map(({ name }) => name.toLowerCase().replaceAll('-', '_')).sort(), ['last_event_id', stream.match(/\w+_id/)![0]].sort(), 'no two have one name in generated code')
    }
    t.strictSame(schemas['ChartUpdate'].properties.data, { $ref: '#/components/schemas/ChartTask' })
  })
}

t.test('a host that uses one of the names keeps its own schema', async t => {
  const host = await startHost(t, 'memory', {
    before: async app => {
      await app.register(swagger, {
        openapi: { openapi: '3.1.0', components: { schemas: { Chart: { type: 'string' } } }, tags: [{ name: 'charts', description: 'Ours' }] },
        refResolver: { buildLocalReference: (json, _base, _fragment, i) => String(json['$id'] ?? `def-${i}`) }
      })
      app.addSchema({ $id: 'Error', type: 'object', properties: { reason: { type: 'string' } } })
      app.get('/own', { schema: { response: { 200: { $ref: 'Error#' } } } }, async () => ({}))
    }
  })
  await host.app.ready()
  const document = documentOf(host)
  const { paths, components: { schemas }, tags } = document
  t.strictSame(schemas['Chart'], { type: 'string' })
  t.strictSame(Object.keys(schemas['Error'].properties), ['reason'])
  t.strictSame(Object.keys(schemas['AsyncChartsError'].properties), ['statusCode', 'code', 'error', 'message'])
  const { responses } = paths['/api/v1/analytics/charts/async/{task_id}/result']!['get']!
  t.strictSame(responses['200']!.content!['application/json']!.schema, { $ref: '#/components/schemas/AsyncChartsChart' })
  t.strictSame(responses['404']!.content!['application/json']!.schema, { $ref: '#/components/schemas/AsyncChartsError' })
  t.strictSame(paths['/own']!['get']!.responses['200']!.content!['application/json']!.schema, { $ref: '#/components/schemas/Error' })
  t.strictSame(dangling(document), [])
  t.strictSame(tags, [{ name: 'charts', description: 'Ours' }, tags[1]])

  const other = await startHost(t, 'memory', { before: app => app.register(swagger, { openapi: {} }) })
  await other.app.ready()
  t.strictSame(Object.keys(documentOf(other).components.schemas).sort(), names, 'another host in the process has nothing of it')
})

t.test("the host's own transform sees every route of the document", async t => {
  const seen: string[] = []
  const host = await startHost(t, 'memory', {
    before: app => app.register(swagger, {
      openapi: { components: { securitySchemes: { session: { type: 'apiKey', in: 'cookie', name: 'session' } } } },
      transform: ({ schema, url, route }) => {
        seen.push(`${String(route.method).toLowerCase()} ${url}`)
        return { schema: { ...schema, security: [{ session: [] }] }, url }
      }
    })
  })
  await host.app.ready()
  const { paths } = documentOf(host)
  t.equal(seen.length, operations.length)
  t.ok(Object.values(paths).flatMap(methods => Object.values(methods)).every(({ security }) => security!.length === 1))
})

t.test("the host's `routes` option changes the document", async t => {
  const host = await startHost(t, 'memory', {
    before: app => app.register(swagger, { openapi: { components: { securitySchemes: { session: { type: 'apiKey', in: 'cookie', name: 'session' } } } } }),
    routes: ({ name, kind }) => {
      if (name === 'getChartQueueStats') return false
      if (kind !== 'json') return { schema: { hide: true } }
      return { schema: { tags: ['Reports'], security: [{ session: [] }] } }
    }
  })
  await host.app.ready()
  const document = documentOf(host)
  const shown = operations.filter(([path]) => !/stats|stream|ws/.test(path))
  t.strictSame(Object.entries(document.paths).flatMap(([path, methods]) => Object.keys(methods).map(method => `${method} ${path}`)).sort(),
    shown.map(([path, method]) => `${method} /api/v1/analytics${path}`).sort())
  for (const { tags, security } of Object.values(document.paths).flatMap(methods => Object.values(methods))) {
    t.strictSame({ tags, security }, { tags: ['Reports'], security: [{ session: [] }] })
  }
  t.ok((await new Validator().validate({ ...structuredClone(document) })).valid)
  t.strictSame(dangling(document), [])
})

t.test('a host that keeps one route only has all that its document refers to', async t => {
  for (const kept of ['createChart', 'streamChart', 'getChartStatus']) {
    const host = await startHost(t, 'memory', {
      before: app => app.register(swagger, { openapi: {} }),
      routes: ({ name }) => name === kept ? undefined : false
    })
    await host.app.ready()
    const document = documentOf(host)
    t.strictSame(Object.values(document.paths).flatMap(methods => Object.values(methods)).map(({ operationId }) => operationId), [kept])
    t.strictSame(dangling(document), [], kept)
  }
})

t.test('Swagger 2.0 has the schemas in its own place', async t => {
  const host = await startHost(t, 'memory', { before: app => app.register(swagger, { swagger: {} }) })
  await host.app.ready()
  const document = JSON.parse(JSON.stringify(host.app.swagger()))
  t.strictSame(Object.keys(document.definitions).sort(), names)
  t.strictSame(dangling(document), [])
})

t.test('a schema of params that refers to parts of itself is described as a whole, for each registration', async t => {
  const tree = (leaf: object) => ({ type: 'object', properties: { root: { $ref: '#/definitions/node' } }, definitions: { node: { type: 'object', properties: { leaf, next: { $ref: '#/definitions/node' } } } } })
  const host = await startHost(t, 'memory', {
    paramsSchema: tree({ type: 'string' }),
    before: app => app.register(swagger, { openapi: {}, refResolver: { buildLocalReference: (json, _base, _fragment, i) => String(json['$id'] ?? `def-${i}`) } })
  })
  await host.app.register(async scope => { await scope.register(asyncCharts, { store: memoryStore(), identify: () => null, prefix: '/other', paramsSchema: tree({ type: 'integer' }) }) })
  await host.app.ready()
  const document = documentOf(host)
  t.strictSame(dangling(document), [])
  const { schemas } = document.components
  t.strictSame(['ChartParams-node', 'ChartParams2-node'].map(name => schemas[name].properties.leaf.type), ['string', 'integer'])
  const answer = await host.as('ada').post({ message_id: crypto.randomUUID(), params: { root: { next: { leaf: 1 } } } })
  t.match(answer.json(), { statusCode: 400, message: 'body/params/root/next/leaf must be string' }, 'it is still the schema that is asked for')
})

t.test('the headers that are sent are described', async t => {
  const host = await startHost(t, 'memory', { before: app => app.register(swagger, { openapi: {} }) })
  await host.app.ready()
  const { paths } = documentOf(host)
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
  const document = documentOf(host)
  t.strictSame(Object.keys(document.components.schemas).sort(), names, 'they have their schemas in common')
  const ids = Object.values(document.paths).flatMap(methods => Object.values(methods)).map(({ operationId }) => operationId)
  t.equal(ids.length, 2 * operations.length)
  t.equal(new Set(ids).size, ids.length, 'no operationId twice')
})

t.test('without a schema of params, params are not documented as something to send', async t => {
  const host = await startHost(t, 'memory', { before: app => app.register(swagger, { openapi: {} }) })
  await host.app.ready()
  const document = documentOf(host)
  const { valid, errors } = await new Validator().validate({ ...structuredClone(document) })
  t.ok(valid, 'is valid', { errors })
  const { schema } = document.paths['/api/v1/analytics/charts/async']!['post']!.requestBody!.content['application/json']!
  t.notOk('params' in schema.properties)
})
