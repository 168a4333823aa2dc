import t from 'tap'
import { ChartGenerationError } from '../../lib/index.ts'
import { ChartsClientError, createChartsClient, type ChartsClient } from '../../lib/client/index.ts'
import { isStatus, serveClient } from '../helpers/client.ts'

const message_id = 'b4fb1bd1-0f68-4e51-9d3c-3cba7b1e0b8e'
const unknown = '279d231d-993b-405c-9862-d8e7477cb800'

t.test('generate: the states, and the chart', async t => {
  const { charts, proxy } = await serveClient(t, {
    generate: async ({ adjustment_query }, { progress }) => {
      progress({ step: 'rendering', progress: 50 })
      return { asked: adjustment_query }
    }
  })
  const shown: string[] = []
  const versions: number[] = []
  const chart = await charts.generate({ message_id, adjustment_query: 'as a line chart' }, {
    onUpdate: ({ status, version }) => {
      shown.push(status)
      versions.push(version)
    }
  })
  t.same(chart.content, { asked: 'as a line chart' })
  t.equal(shown[0], 'PENDING')
  t.equal(shown.at(-1), 'COMPLETED')
  t.same(versions, [...new Set(versions)].sort((a, b) => a - b), 'each newer than the one before')

  proxy.passed.length = 0
  t.same(await charts.generate({ message_id, adjustment_query: 'as a line chart' }), chart)
  t.equal(proxy.passed.length, 2, 'a chart that exists is not watched')
})

t.test('generate rejects for a chart that failed or was cancelled', async t => {
  const { charts } = await serveClient(t, {
    generate: async (_, { signal }) => {
      if (!signal.aborted) throw new ChartGenerationError('No rows', { code: 'NO_DATA' })
      return null
    }
  })
  const error = await charts.generate({ message_id }).catch(error => error)
  t.ok(error instanceof ChartsClientError)
  t.match(error, { name: 'ChartsClientError', code: 'NO_DATA', message: 'No rows', status: 409, task: { status: 'FAILED', message_id } })

  const idle = await serveClient(t)
  const cancelled = idle.charts.generate({ message_id }, { onUpdate: ({ task_id, status }) => { if (status === 'PENDING') idle.charts.cancel(task_id) } })
  await t.rejects(cancelled, { code: 'CANCELLED', task: { status: 'CANCELLED' } })
})

t.test('every call', async t => {
  const { charts, host } = await serveClient(t)
  const created = await charts.create({ message_id })
  t.match(created, { status: 'PENDING', message: 'Chart generation queued successfully' })
  const { task_id } = created
  t.match(await charts.status(task_id.toUpperCase()), { task_id, status: 'PENDING', version: 1 })
  t.match(await charts.byMessage(message_id), { charts: [], active_tasks: [{ task_id }], has_active_tasks: true })
  await t.rejects(charts.result(task_id), { status: 409, code: 'CHARTS_ERR_TASK_NOT_FINISHED', retryAfter: 1 })
  await host.finish(task_id, { content: { mark: 'bar' } })
  t.match(await charts.result(task_id), { task_id, content: { mark: 'bar' } })
  await t.rejects(charts.cancel(task_id), { status: 409, code: 'CHARTS_ERR_TASK_FINISHED' })
  t.notOk('content' in (await charts.byMessage(message_id, { content: false, limit: 1 })).charts[0]!)

  const batch = await charts.createBatch([{ ref: 'a', message_id, adjustment_query: 'a' }, { message_id, adjustment_query: 'b', depends_on: ['a'] }])
  t.equal(batch.tasks.length, 2)
  t.match(await charts.batch(batch.batch_id), { total: 2, counts: { PENDING: 2 }, progress: 0 })
  t.match(await charts.cancelBatch(batch.batch_id), { counts: { CANCELLED: 2 } })
  await t.rejects(charts.cancel(unknown), { status: 404, code: 'CHARTS_ERR_TASK_NOT_FOUND', message: 'Chart task not found' })
})

t.test('what does not fit is refused before anything is sent', async t => {
  const { proxy, charts: typed, client } = await serveClient(t)
  const charts = typed as unknown as Record<keyof ChartsClient, (...args: unknown[]) => Promise<unknown>>
  const calls = [
    () => charts.create({ message_id: 5 }), () => charts.create(undefined), () => charts.generate({}), () => charts.status(null),
    () => charts.result('../admin'), () => charts.cancel(''), () => charts.byMessage({}), () => charts.createBatch(message_id),
    () => charts.createBatch([null]), () => charts.batch(7), () => charts.cancelBatch(undefined), async () => charts.watch('x'),
    async () => charts.watchMessage(5), async () => charts.watchBatch(), () => charts.create({ message_id, params: 1n })
  ]
  for (const call of calls) await t.rejects(call(), { name: 'ChartsClientError', code: 'INVALID_ARGUMENT', status: 0 }, String(call))
  await t.rejects(createChartsClient().status(unknown), { code: 'INVALID_ARGUMENT', message: /baseUrl/ }, 'there is no page here')
  await t.rejects(client({ headers: () => { throw new Error('signed out') } }).status(unknown), { message: 'signed out' })
  t.same(proxy.passed, [])
})

t.test('answers that are not the API\'s', async t => {
  const { proxy, charts } = await serveClient(t)
  proxy.fault = () => ({ status: 404, headers: { 'content-type': 'text/html' }, body: '<h1>Not here</h1>' })
  await t.rejects(charts.status(unknown), { name: 'ChartsClientError', status: 404, code: 'UNEXPECTED_ANSWER' })
  proxy.fault = () => ({ status: 200, headers: { 'content-type': 'text/html' }, body: '<h1>Sign in</h1>' })
  await t.rejects(charts.status(unknown), { status: 200, code: 'UNEXPECTED_ANSWER' })
  proxy.fault = () => ({ status: 502, body: 'Bad gateway' })
  proxy.passed.length = 0
  await t.rejects(charts.status(unknown), { status: 502, code: 'UNEXPECTED_ANSWER' })
  t.equal(proxy.passed.length, 6, 'repeated, and not for ever')
  proxy.fault = () => 'lose'
  await t.rejects(charts.status(unknown), { status: 0, code: 'NETWORK_ERROR', cause: Error })
})

t.test('an answer that is lost: the same task', async t => {
  const { proxy, charts, host } = await serveClient(t)
  let lost = 0
  proxy.fault = ({ method }) => method === 'POST' && lost++ < 2 ? 'lose' : undefined
  const { task_id } = await charts.create({ message_id, force_create: true })
  t.equal((await host.service.getQueueStats()).queue_length, 1)
  const keys = proxy.passed.map(({ headers }) => headers['idempotency-key'])
  t.equal(new Set(keys).size, 1)
  t.equal(keys.length, 3)
  t.not((await charts.create({ message_id, force_create: true })).task_id, task_id, 'the next has a key of its own')
  const given = await charts.create({ message_id, force_create: true }, { idempotencyKey: 'mine' })
  t.equal((await charts.create({ message_id, force_create: true }, { idempotencyKey: 'mine' })).task_id, given.task_id)
  lost = 0
  const batch = await charts.createBatch([{ message_id, force_create: true }])
  t.equal((await charts.batch(batch.batch_id)).total, 1)
  t.equal((await host.service.getQueueStats()).queue_length, 4)
})

t.test('a refusal for now is waited out', async t => {
  const { proxy, charts } = await serveClient(t)
  for (const status of [429, 503]) {
    let refusals = 1
    proxy.fault = () => refusals-- > 0 ? { status, headers: { 'retry-after': '1' }, body: JSON.stringify({ statusCode: status, code: 'CHARTS_ERR_QUEUE_FULL', message: 'Full' }) } : undefined
    const startedAt = performance.now()
    await charts.create({ message_id })
    t.ok(performance.now() - startedAt >= 995, 'not before the time')
  }
  const abort = new AbortController()
  proxy.fault = () => ({ status: 503, headers: { 'retry-after': '60' } })
  const refused = proxy.next(() => true)
  const waiting = charts.create({ message_id }, { signal: abort.signal })
  await refused
  setImmediate(() => abort.abort(new Error('left')))
  await t.rejects(waiting, { message: 'left' })
})

t.test('after a 401 the headers are asked once more', async t => {
  let token = 'old'
  const asked: boolean[] = []
  const { client, proxy } = await serveClient(t)
  proxy.fault = ({ headers }) => headers.authorization === 'Bearer new' ? undefined : { status: 401, body: JSON.stringify({ code: 'CHARTS_ERR_UNAUTHENTICATED', message: 'No' }) }
  const charts = client({
    headers: async ({ refused }) => {
      asked.push(refused)
      if (refused) token = 'new'
      return new Headers({ 'x-user': 'ada', authorization: `Bearer ${token}` })
    }
  })
  t.match(await charts.create({ message_id }), { status: 'PENDING' })
  t.same(asked, [false, true])
  proxy.fault = () => ({ status: 401, body: JSON.stringify({ code: 'CHARTS_ERR_UNAUTHENTICATED', message: 'No' }) })
  await t.rejects(charts.create({ message_id }), { status: 401, code: 'CHARTS_ERR_UNAUTHENTICATED' })
  t.same(asked.length, 4)
})

t.test('a token that cannot be fetched while offline is asked for again', async t => {
  const { client } = await serveClient(t)
  let failures = 2
  const charts = client({
    headers: async () => {
      if (failures-- > 0) throw new TypeError('fetch failed')
      return { 'x-user': 'ada' }
    }
  })
  t.match(await charts.create({ message_id }), { status: 'PENDING' })
})

t.test('a fetch of one\'s own', async t => {
  const { client } = await serveClient(t)
  const urls: string[] = []
  const charts = client({
    fetch (this: unknown, input, init) {
      t.equal(this, undefined, 'without an object: browsers refuse that')
      urls.push(String(input))
      return fetch(input, init)
    }
  })
  const { task_id } = await charts.create({ message_id })
  await charts.status(task_id)
  t.equal(urls.filter(url => isStatus({ url })).length, 1)
})
