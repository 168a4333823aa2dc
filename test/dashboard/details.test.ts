import { once } from 'node:events'
import t from 'tap'
import { ChartGenerationError, memoryStore, runWorker } from '../../lib/index.ts'
import { gate, until } from '../helpers/gate.ts'
import { startDashboard } from './dashboard.ts'

const DAY_MS = 86_400_000
const unknown_id = '0d3b1c0e-8c39-4f3e-9d0a-6f0a5e0c7a11'

t.test('a task that waits for its time', async t => {
  const { host, get } = await startDashboard(t, 'memory', { tenantWeight: ({ user_id }) => user_id === 'ada' ? 3 : 1 })
  const run_at = new Date(Date.now() + 3_600_000).toISOString()
  const { task_id } = await host.as('ada').create({ run_at })
  t.match((await get('/')).body, '1 not yet due')
  const { body } = await get(`/tasks/${task_id}`)
  t.match(body, new RegExp(`Not before</dt><dd><time datetime="${run_at}"`))
  t.match(body, 'Weight of its tenant</dt><dd>3<')
})

t.test('how tasks ended', async t => {
  const { host, get } = await startDashboard(t, 'memory', { retry: { attempts: 1 } })
  const ada = host.as('ada')
  const failed = await ada.create()
  const dependent = await ada.create({ depends_on: [failed.task_id] })
  await host.finish(failed.task_id, { error: new ChartGenerationError('No rows', { code: 'NO_DATA' }) })
  t.match((await get(`/tasks/${failed.task_id}`)).body, 'after 1 of 1 attempt<')
  const ended = (await get(`/tasks/${dependent.task_id}`)).body
  t.match(ended, 'without an attempt<')
  t.match(ended, 'It ended without an attempt.')

  const cancelled = await ada.create()
  await host.take(cancelled.task_id)
  await ada.delete(`/async/${cancelled.task_id}`)
  t.match((await get(`/tasks/${cancelled.task_id}`)).body, 'while it ran')
})

t.test('what is no longer kept', async t => {
  let now = Date.now()
  const { host, get } = await startDashboard(t, 'memory', { now: () => now, retention: { task: 60, status: 60, messageIndex: 60 } })
  const ada = host.as('ada')
  const needed = await ada.finished({ content: 1 })
  const dependent = await ada.create({ depends_on: [needed.task_id], run_at: new Date(now + DAY_MS).toISOString() })
  for (let i = 0; i < 60; i++) await ada.finished({ content: i })
  const next = /href="\.\/(tasks\?[^"]*cursor=[^"]*)"/.exec((await get('/tasks?status=COMPLETED')).body)![1]!.replaceAll('&amp;', '&')
  now += 61_000
  t.match((await get(`/${next}`)).body, /No more tasks\..*Back to the first page/s)
  t.match((await get(`/tasks/${dependent.task_id}`)).body, new RegExp(`No longer kept.*${needed.task_id}`, 's'))
})

t.test('a chart that the host has deleted', async t => {
  const { host, get } = await startDashboard(t, 'memory', { chartStore: { save: async () => {}, get: async () => null, findByMessage: async () => [] } })
  const { task_id } = await host.as('ada').finished({ content: 1 })
  t.match((await get(`/tasks/${task_id}`)).body, 'The chart is no longer kept.')
})

t.test('a request of which only a part is kept cannot be retried', async t => {
  const { host, get } = await startDashboard(t, 'memory', { paramsSchema: {} })
  const { task_id } = await host.as('ada').create({ params: 'x'.repeat(2_000) })
  await host.as('ada').delete(`/async/${task_id}`)
  const { body } = await get(`/tasks/${task_id}`)
  t.match(body, 'Only part of this request is kept')
  t.notMatch(body, 'data-action="retry"')
})

t.test('a worker that waits, and one that drains', async t => {
  const store = memoryStore()
  const { host, get } = await startDashboard(t, 'memory', { store })
  const begun = gate()
  const worker = await runWorker({
    store,
    keyPrefix: host.keyPrefix,
    shutdownTimeout: 60_000,
    handleSignals: false,
    generate: async (_request, { signal }) => {
      begun.open()
      await once(signal, 'abort')
      throw signal.reason
    }
  })
  await until(async () => (await get('/workers')).body.includes('Waits for a task.'))
  const { task_id } = await host.as('ada').create()
  await begun.opened
  const stopped = worker.stop()
  await until(async () => (await get('/workers')).body.includes('Draining'))
  await host.as('ada').delete(`/async/${task_id}`)
  await stopped
})

t.test('more workers and attempts than a page shows', async t => {
  const store = memoryStore()
  const { host, get } = await startDashboard(t, 'memory', { store, limits: { waitingPerTenant: 0 } })
  const started_at = new Date().toISOString()
  const register = (worker_id: string) => store.registerWorker({ worker_id, host: 'node-1', pid: 7, version: '1.0.0', concurrency: 200, state: 'running', started_at })
  await register('w1')
  for (let i = 0; i < 150; i++) {
    await host.as('ada').create()
    await host.service.dequeueChartTask('w1')
  }
  t.match((await get('/workers')).body, /150 of 200 slots in use.*and \d+ more/s)
  for (let i = 2; i < 1_200; i++) await register(`w${i}`)
  t.match((await get('/workers')).body, 'There are more than this page shows.')
})

t.test('ranges of time, and a range that there is not', async t => {
  const { host, get } = await startDashboard(t)
  await host.as('ada').finished({ error: new ChartGenerationError('No rows', { code: 'NO_DATA' }) })
  t.match((await get('/?minutes=360')).body, 'per 4 minutes')
  t.match((await get('/failures?minutes=61')).body, 'in the last 24 hours')
})

t.test('codes beyond the first of a minute are counted together, and lead to no list', async t => {
  const { host, get } = await startDashboard(t)
  for (let i = 0; i < 25; i++) await host.as('ada').finished({ error: new ChartGenerationError('No', { code: `CODE_${i}` }) })
  const { body } = await get('/failures')
  t.match(body, '<bdi>other</bdi>')
  t.notMatch(body, 'error_code=other')
})

t.test('what an operator may not see is text, not a link', async t => {
  const { host, get } = await startDashboard(t, 'memory', {
    authorize: (_identity, access) => access.action !== 'monitor' || ['stats', 'history', 'inspect'].includes(access.operation)
  })
  const { task_id } = await host.as('ada').create()
  t.notMatch((await get(`/tasks/${task_id}`)).body, 'user_id=ada')
  t.notMatch((await get('/')).body, /href="[^"]*failures/)
})

t.test('a pause that an operator may not end', async t => {
  const { host, get } = await startDashboard(t)
  await host.service.pauseQueue()
  t.match((await get('/', { 'x-user': 'looks' })).body, 'new tasks wait.')
})

t.test('a task that is not there', async t => {
  const { get, post } = await startDashboard(t)
  t.equal((await get('/find')).headers.location, './tasks/')
  for (const answer of [await get(`/tasks/${unknown_id}/chart`), await post(`/tasks/${unknown_id}/retry`), await post(`/tasks/${unknown_id}/cancel`)]) t.equal(answer.statusCode, 404)
})

t.test('log level and serializers of its registration', async t => {
  const lines: string[] = []
  const { get } = await startDashboard(t, 'memory', {
    fastify: { logger: { level: 'info', stream: { write: (line: string) => { lines.push(line) } } } },
    dashboard: { logLevel: 'silent', logSerializers: {} } as object
  })
  lines.length = 0
  t.equal((await get('/')).statusCode, 200)
  t.same(lines, [])
})

t.test('a time in the filter keeps the zone that it names', async t => {
  const { host, get } = await startDashboard(t)
  const { task_id } = await host.as('ada').create()
  t.match((await get('/tasks?created_after=2020-01-01T00:00%2B02:00')).body, `tasks/${task_id}`)
})
