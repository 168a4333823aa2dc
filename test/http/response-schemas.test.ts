import responseValidation from '@fastify/response-validation'
import swagger from '@fastify/swagger'
import { Ajv2020 } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import t from 'tap'
import { queueOf } from '../../lib/chart-queue-service.ts'
import { ChartGenerationError } from '../../lib/index.ts'
import { startHost, storeKinds } from '../helpers/app.ts'

interface Operation {
  operationId: string
  responses: Record<string, { content?: Record<string, unknown> }>
}
interface Document {
  paths: Record<string, Record<string, Operation>>
}

/** Validates bodies by the host's document alone, as a generated client does. */
function validatorOf (document: Document) {
  const ajv = new Ajv2020({ strict: false, allErrors: true })
  addFormats.default(ajv)
  ajv.addSchema(document, 'document')
  const operations = Object.entries(document.paths).flatMap(([path, methods]) => Object.entries(methods).map(([method, operation]) => ({ path, method, operation })))
  const pointer = (...keys: string[]) => `document#/${keys.map(key => encodeURIComponent(key.replaceAll('~', '~0').replaceAll('/', '~1'))).join('/')}`
  return (operationId: string, status: number, body: unknown, type = 'application/json') => {
    const { path, method } = operations.find(({ operation }) => operation.operationId === operationId)!
    const validate = ajv.compile({ $ref: pointer('paths', path, method, 'responses', String(status), 'content', type, 'schema') })
    return validate(body) ? [] : validate.errors
  }
}

for (const kind of storeKinds) {
  t.test(`${kind}: every response matches its schema`, async t => {
    const host = await startHost(t, kind, {
      authorize: () => true,
      before: app => app.register(swagger, { openapi: { openapi: '3.1.0', info: { title: 'Charts', version: '1' } } })
    })
    await host.app.ready()
    const document: Document = JSON.parse(JSON.stringify(host.app.swagger()))
    const validate = validatorOf(document)
    const told = new Set<string>()
    const expect = (operationId: string, status: number, response: { statusCode: number, body: string }) => {
      t.equal(response.statusCode, status, operationId)
      t.same(validate(operationId, status, JSON.parse(response.body)), [], `${status} of ${operationId}`)
      told.add(operationId)
    }
    const ada = host.as('ada@acme')
    const message_id = crypto.randomUUID()
    const json = (payload: object) => ({ headers: { 'content-type': 'application/json' }, payload: JSON.stringify(payload) })

    const created = await ada.post({ message_id, priority: 'high', run_at: null })
    expect('createChart', 202, created)
    const { task_id } = created.json()
    expect('getChartResult', 409, await ada.get(`/async/${task_id}/result`))
    const lease = await host.take(task_id)
    await host.service.updateTaskProgress(task_id, lease, { step: 'rendering', step_progress: 40, progress: 20 })
    expect('inspectChartTask', 200, await ada.get(`/admin/tasks/${task_id}`))
    await host.finish(task_id, { content: { svg: '<svg/>' } })
    expect('createChart', 200, await ada.post({ message_id }))
    expect('createChart', 400, await ada.post({ message_id: 'none' }))
    expect('getChartStatus', 200, await ada.get(`/async/${task_id}/status`))
    expect('getChartResult', 200, await ada.get(`/async/${task_id}/result`))
    const { task_id: failed } = await ada.create({ message_id, adjustment_query: 'fails' })
    await host.finish(failed, { error: new ChartGenerationError('No rows', { code: 'NO_ROWS' }) })
    const { task_id: waiting } = await ada.create({ message_id, adjustment_query: 'waits' })
    expect('getMessageCharts', 200, await ada.get(`/by-message/${message_id}`))
    expect('getMessageCharts', 200, await ada.get(`/by-message/${message_id}?content=false`))
    expect('getChartQueueStats', 200, await ada.get('/async/stats'))
    expect('listChartTasks', 200, await ada.get('/admin/tasks?limit=1'))
    for (const id of [task_id, failed, waiting]) expect('inspectChartTask', 200, await ada.get(`/admin/tasks/${id}`))
    await queueOf(host.service).workers.register({ worker_id: 'w', host: 'h', pid: 1, version: '1.2.3', concurrency: 1, state: 'running', started_at: created.json().created_at })
    expect('listChartWorkers', 200, await ada.get('/admin/workers'))
    expect('getChartQueueHistory', 200, await ada.get('/admin/history?minutes=2'))
    expect('getChartFailures', 200, await ada.get('/admin/failures'))
    const named = (...task_ids: string[]) => json({ filter: { task_ids } })
    expect('retryChartTasks', 200, await ada.request('POST', '/admin/tasks/retry', named(task_id)))
    expect('retryChartTasks', 400, await ada.request('POST', '/admin/tasks/retry', named()))
    expect('cancelChartTasks', 200, await ada.request('POST', '/admin/tasks/cancel', named(task_id)))
    expect('retryChartTask', 202, await ada.request('POST', `/admin/tasks/${failed}/retry`))
    expect('retryChartTask', 409, await ada.request('POST', `/admin/tasks/${task_id}/retry`))
    expect('cancelChart', 200, await ada.delete(`/async/${waiting}`))
    const other = await ada.create({ adjustment_query: 'is cancelled by an operator' })
    expect('cancelChartTask', 200, await ada.request('DELETE', `/admin/tasks/${other.task_id}`))
    expect('pauseChartQueue', 200, await ada.request('POST', '/admin/pause'))
    expect('resumeChartQueue', 200, await ada.request('POST', '/admin/resume'))
    const batch = await ada.request('POST', '/async/batch', json({ tasks: [{ message_id, ref: 'a', adjustment_query: 'b' }, { message_id, depends_on: ['a'], adjustment_query: 'c' }] }))
    expect('createChartBatch', 202, batch)
    const { batch_id } = batch.json()
    expect('getChartBatch', 200, await ada.get(`/async/batch/${batch_id}`))
    expect('cancelChartBatch', 200, await ada.request('DELETE', `/async/batch/${batch_id}`))
    expect('openChartSocket', 426, await ada.get(`/ws/${task_id}`))
    for (const [operationId, path] of [['streamChart', task_id], ['streamChartBatch', `batch/${batch_id}`], ['streamMessageCharts', `by-message/${message_id}`]] as const) {
      const stream = new AbortController()
      const base = await (host.app.server.listening ? `http://127.0.0.1:${(host.app.server.address() as { port: number }).port}${host.path}` : host.listen())
      const response = await fetch(`${base}/stream/${path}`, { headers: ada.headers, signal: stream.signal })
      let text = ''
      for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
        text += chunk
        const data = /^data: (.+)\n/m.exec(text)?.[1]
        if (data === undefined) continue
        t.same(validate(operationId, 200, JSON.parse(data), 'text/event-stream'), [], operationId)
        told.add(operationId)
        break
      }
      stream.abort()
    }
    expect('getChartStatus', 401, await host.nobody.get(`/async/${task_id}/status`))
    t.strictSame([...told].sort(), Object.values(document.paths).flatMap(methods => Object.values(methods)).map(({ operationId }) => operationId).sort())
  })
}

t.test('a host that validates all of its responses may do so, with the strictest settings', async t => {
  const logged: unknown[] = []
  const log = (...words: unknown[]) => logged.push(words)
  for (const ajv of [{}, { strict: true, strictTypes: true, strictTuples: true }] as const) {
    const host = await startHost(t, 'memory', {
      authorize: () => true,
      before: app => app.register(responseValidation, { ajv: { ...ajv, logger: { log, warn: log, error: log } } })
    })
    // Answers as objects, which it looks at; strings pass it by.
    host.app.setErrorHandler(async (error, _request, reply) => {
      const { statusCode = 500, code, message } = error as Error & { statusCode?: number, code: string }
      return reply.code(statusCode).send({ statusCode, code, error: 'Refused', message })
    })
    await host.app.ready()
    const ada = host.as('ada')
    const { task_id } = await ada.create()
    t.equal((await ada.get(`/async/${task_id}/status`)).statusCode, 200)
    t.match((await ada.get(`/async/${task_id}/result`)).json(), { statusCode: 409, code: 'CHARTS_ERR_TASK_NOT_FINISHED' })
    t.match((await ada.get(`/ws/${task_id}`)).json(), { statusCode: 426 })
  }
  t.same(logged, [])
})
