import t from 'tap'
import swagger from '@fastify/swagger'
import { Validator } from '@seriousme/openapi-schema-validator'
import { startHost } from '../helpers/app.ts'

/** Every route with the statuses that section 8 of the contract names for it. */
const routes: Record<string, Record<string, number[]>> = {
  '/charts/async': { post: [200, 202, 400, 401, 403, 409, 413, 422, 429, 503] },
  '/charts/async/{task_id}/status': { get: [200, 304, 400, 401, 404, 503] },
  '/charts/async/{task_id}/result': { get: [200, 400, 401, 404, 409, 410, 503] },
  '/charts/async/{task_id}': { delete: [200, 400, 401, 404, 409, 503] },
  '/charts/by-message/{message_id}': { get: [200, 400, 401, 404, 503] },
  '/charts/async/stats': { get: [200, 401, 403, 503] },
  '/charts/admin/tasks': { get: [200, 400, 401, 403, 503] },
  '/charts/admin/tasks/{task_id}': { get: [200, 400, 401, 403, 404, 503], delete: [200, 400, 401, 403, 404, 409, 503] },
  '/charts/admin/tasks/{task_id}/retry': { post: [200, 202, 400, 401, 403, 404, 409, 413, 429, 503] },
  '/charts/admin/pause': { post: [200, 401, 403, 503] },
  '/charts/admin/resume': { post: [200, 401, 403, 503] },
  '/charts/async/batch': { post: [202, 400, 401, 403, 409, 413, 422, 429, 503] },
  '/charts/async/batch/{batch_id}': { get: [200, 400, 401, 404, 503], delete: [200, 400, 401, 404, 503] },
  '/charts/stream/by-message/{message_id}': { get: [200, 204, 400, 401, 404] },
  '/charts/stream/batch/{batch_id}': { get: [200, 204, 400, 401, 404] },
  '/charts/stream/{task_id}': { get: [200, 204, 400, 401, 404] },
  '/charts/ws/{task_id}': { get: [400, 401, 403, 404, 426] }
}

interface Operation {
  summary: string
  parameters?: Array<{ name: string, in: string }>
  requestBody?: { content: Record<string, { schema: { properties: object } }> }
  responses: Record<string, { description: string, content?: Record<string, { schema: { properties?: object, type?: string } }> }>
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
    t.strictSame(Object.keys(paths).sort(), Object.keys(routes).map(path => `/api/v1/analytics${path}`).sort())
    for (const [path, methods] of Object.entries(routes)) {
      for (const [method, statuses] of Object.entries(methods)) {
        const operation = paths[`/api/v1/analytics${path}`]![method]!
        t.type(operation.summary, 'string')
        t.strictSame(Object.keys(operation.responses).map(Number).sort(), statuses, `${method} ${path}`)
        for (const [status, response] of Object.entries(operation.responses)) {
          t.ok(response.description)
          if (Number(status) >= 400) {
            t.strictSame(Object.keys(response.content!['application/json']!.schema.properties!), ['statusCode', 'code', 'error', 'message'])
          }
        }
        t.strictSame((operation.parameters ?? []).filter(parameter => parameter.in === 'path').map(({ name }) => name),
          [...path.matchAll(/\{(\w+)\}/g)].map(match => match[1]))
      }
    }
    const create = paths['/api/v1/analytics/charts/async']!['post']!
    t.strictSame(Object.keys(create.requestBody!.content['application/json']!.schema.properties),
      ['message_id', 'visibility', 'force_create', 'adjustment_query', 'priority', 'run_at', 'depends_on', 'supersede', 'params'])
    const stream = paths['/api/v1/analytics/charts/stream/{task_id}']!['get']!
    t.strictSame(Object.keys(stream.responses['200']!.content!), ['text/event-stream'])
  })
}

t.test('without a schema of params, params are not documented as something to send', async t => {
  const host = await startHost(t, 'memory', { before: app => app.register(swagger, { openapi: {} }) })
  await host.app.ready()
  const document = JSON.parse(JSON.stringify(host.app.swagger()))
  const { valid, errors } = await new Validator().validate(structuredClone(document))
  t.ok(valid, 'is valid', { errors })
  const { schema } = document.paths['/api/v1/analytics/charts/async'].post.requestBody.content['application/json']
  t.notOk('params' in schema.properties)
})
