import { once } from 'node:events'
import { gzipSync } from 'node:zlib'
import Fastify from 'fastify'
import t from 'tap'
import asyncCharts, { ChartGenerationError, memoryStore, runWorker } from '../../lib/index.ts'
import { asyncChartsDashboard } from '../../lib/dashboard/index.ts'
import { storeKinds } from '../helpers/app.ts'
import { gate, until } from '../helpers/gate.ts'
import { LOOKING, startDashboard } from './dashboard.ts'

const unknown_id = '0d3b1c0e-8c39-4f3e-9d0a-6f0a5e0c7a11'
const json = { accept: 'application/json' }
const pages = ['/', '/tasks', `/tasks/${unknown_id}`, '/workers', '/failures']
const calls = ['/pause', '/resume', `/tasks/${unknown_id}/retry`, `/tasks/${unknown_id}/cancel`, '/tasks/retry', '/tasks/cancel']

/** All addresses in a page: links and assets. */
const addresses = (html: string) => [...html.matchAll(/\s(?:href|src|action|data-plots|data-root)="([^"]*)"/g)].map(([, address]) => address!)

for (const kind of storeKinds) {
  t.test(`what the pages show, on ${kind}`, async t => {
    const { host, get } = await startDashboard(t, kind, { retry: { attempts: 2, backoff: { delay: 0 } } })
    const ada = host.as('ada@acme')
    const failed = await ada.finished({ error: new ChartGenerationError('No rows', { code: 'NO_DATA' }) })
    const done = await ada.finished({ content: { rows: [1, 2, 3] } })
    const running = await ada.create({ adjustment_query: 'log scale' })
    await host.progress(running.task_id, { step: 'llm_generation', step_progress: 40, progress: 20 })
    const dependent = await ada.create({ depends_on: [running.task_id] })

    const overview = (await get('/')).body
    t.match(overview, />Waiting<\/dt><dd><a[^>]*>1</)
    t.match(overview, />Running<\/dt><dd><a[^>]*>1</)
    t.match(overview, />Completed<\/dt><dd><a[^>]*>1</)

    const tasks = (await get('/tasks')).body
    for (const { task_id } of [failed, done, running, dependent]) t.match(tasks, `tasks/${task_id}`)
    const narrowed = (await get('/tasks?status=FAILED&user_id=ada&org_id=acme&error_code=NO_DATA&created_after=2020-01-01T00:00&created_before=')).body
    t.match(narrowed, `tasks/${failed.task_id}`)
    t.notMatch(narrowed, `tasks/${done.task_id}`)
    t.match(narrowed, 'value="2020-01-01T00:00"')
    t.match((await get('/tasks?user_id=nobody')).body, 'No task matches.')

    const one = (await get(`/tasks/${running.task_id}`)).body
    for (const text of ['log scale', 'llm generation', '40 %', 'attempt 1 of 2', running.message_id, 'ada', 'acme']) t.match(one, text)
    const waiting = (await get(`/tasks/${dependent.task_id}`)).body
    t.match(waiting, 'waiting for dependencies')
    t.match(waiting, `tasks/${running.task_id}`, 'it links what it waits for')
    t.match((await get(`/tasks/${failed.task_id.toUpperCase()}`)).body, /NO_DATA.*No rows/)
    const completed = (await get(`/tasks/${done.task_id}`)).body
    t.match(completed, '&quot;rows&quot;')
    const chart = await get(`/tasks/${done.task_id}/chart`)
    t.same(chart.json(), { rows: [1, 2, 3] })
    t.match(chart.headers['content-type'], /^application\/json/)
    t.equal((await get(`/tasks/${failed.task_id}/chart`)).statusCode, 410)

    const failures = (await get('/failures')).body
    t.match(failures, /NO_DATA.*No rows/s)
    t.match((await get('/workers')).body, 'No worker is there.')
  })

  t.test(`the workers and what they run, on ${kind}`, async t => {
    const store = memoryStore()
    const { host, get } = await startDashboard(t, kind, kind === 'memory' ? { store } : {})
    const { task_id } = await host.as('ada').create()
    const begun = gate()
    let started = 0
    const worker = await runWorker({
      ...(kind === 'memory' ? { store } : { redis: host.redis! }),
      keyPrefix: host.keyPrefix,
      concurrency: 3,
      shutdownTimeout: 0,
      handleSignals: false,
      generate: async (_request, { progress, signal }) => {
        progress({ step: 'llm_generation', progress: 30 })
        started++
        begun.open()
        await once(signal, 'abort')
        throw signal.reason
      }
    })
    t.teardown(() => worker.stop())
    await begun.opened
    await until(async () => (await host.service.getTaskStatus(task_id))!.progress === 30)
    const workers = (await get('/workers')).body
    for (const text of [`pid ${process.pid}`, '1 of 3 slots', '1 worker on 1 host, 1 of 3 slots in use', 'llm generation', `tasks/${task_id}`, '30 %']) t.match(workers, text)
    const overview = (await get('/')).body
    for (const text of ['of 3 slots', 'llm generation', `tasks/${task_id}`]) t.match(overview, text)
    const second = await host.as('ada').create()
    await until(() => started === 2)
    const { body } = await get('/')
    const places = [task_id, second.task_id].map(id => body.indexOf(id))
    t.ok(places[0]! >= 0 && places[0]! < places[1]!, 'the one that began first comes first')
    await worker.stop()
    t.match((await get('/workers')).body, 'No worker is there.')
  })

  t.test(`what is done on the pages, on ${kind}`, async t => {
    const { host, get, post } = await startDashboard(t, kind)
    const ada = host.as('ada@acme')
    t.same((await post('/pause')).json(), { paused: true })
    t.match((await get('/')).body, 'The queue is paused.')
    t.same((await post('/resume')).json(), { paused: false })
    t.notMatch((await get('/')).body, 'The queue is paused.')

    const failed = await ada.finished({ error: new ChartGenerationError('No rows', { code: 'NO_DATA' }) })
    const retried = (await post(`/tasks/${failed.task_id}/retry`)).json()
    t.match(retried, { outcome: 'queued' })
    t.match((await get(`/tasks/${failed.task_id}`)).body, new RegExp(`Retried as.*${retried.task_id}`))
    t.match((await get(`/tasks/${retried.task_id}`)).body, new RegExp(`Retry of.*${failed.task_id}`))
    t.same((await post(`/tasks/${retried.task_id}/cancel`)).json(), { task_id: retried.task_id })
    t.match((await post(`/tasks/${failed.task_id}/cancel`)).json(), { statusCode: 409, code: 'CHARTS_ERR_TASK_FINISHED' })
    t.match((await post(`/tasks/${retried.task_id}/retry`)).json(), { statusCode: 409, code: 'CHARTS_ERR_TASK_NOT_FAILED' })

    const waiting = [await ada.create(), await ada.create(), await ada.create()]
    const count = (query: string) => get(`/tasks/count?${query}`, json).then(response => response.json())
    t.same(await count('action=cancel&user_id=ada'), { count: 3, cursor: null })
    t.same(await count('action=retry&error_code=NO_DATA'), { count: 1, cursor: null })
    t.match(await count('action=delete'), { statusCode: 400, code: 'CHARTS_ERR_INVALID_REQUEST' })
    t.match((await post('/tasks/cancel', { filter: { task_ids: [waiting[0]!.task_id, failed.task_id] } })).json(), { matched: 1, done: 1, cursor: null })
    t.match((await post('/tasks/cancel', { filter: { user_id: 'ada' } })).json(), { matched: 2, done: 2, cursor: null, skipped: [] })
    t.match((await post('/tasks/retry', { filter: { error_code: 'NO_DATA' } })).json(), { matched: 1, done: 1 })
    for (const body of [undefined, [], { filter: [] }, { filter: {} }, { filter: { user: 'ada' } }, { filter: { user_id: 'ada' }, limit: 5_000 }, { filter: { user_id: 'ada' }, cursor: 7 }, { filter: { user_id: 'ada' }, cursor: 'x' }]) {
      t.match((await post('/tasks/cancel', body)).json(), { statusCode: 400, code: 'CHARTS_ERR_INVALID_REQUEST' }, JSON.stringify(body))
    }
  })
}

t.test('who may see and do what', async t => {
  const { host, app, get, post } = await startDashboard(t)
  const { task_id } = await host.as('ada').create()
  const looks = { 'x-user': 'looks' }
  for (const path of pages) {
    const nobody = await app.inject(`/charts-dashboard${path}`)
    t.equal(nobody.statusCode, 401, path)
    t.match(nobody.headers['content-type'], /^text\/html/)
    t.match(nobody.body, 'Sign in first')
    const user = await get(path, { 'x-user': 'ada' })
    t.equal(user.statusCode, 403, path)
    t.match(user.body, 'Your account may not see this.')
    t.notMatch(user.body, '<nav', 'and is offered nothing')
    t.match((await get(path, { 'x-user': 'ada', ...json })).json(), { statusCode: 403, code: 'CHARTS_ERR_FORBIDDEN' })
    t.match(await app.inject({ url: `/charts-dashboard${path}`, headers: json }).then(response => response.json()), { statusCode: 401, code: 'CHARTS_ERR_UNAUTHENTICATED' })
    if (!path.includes(unknown_id)) t.equal((await get(path, looks)).statusCode, 200, path)
  }
  for (const path of calls) {
    t.equal((await post(path, {}, { 'x-user': '' })).statusCode, 401, path)
    for (const user of ['ada', 'looks']) t.match((await post(path, {}, { 'x-user': user })).json(), { statusCode: 403, code: 'CHARTS_ERR_FORBIDDEN' }, path)
  }
  for (const path of ['/', '/tasks', '/failures', `/tasks/${task_id}`]) {
    t.notMatch((await get(path, looks)).body, /data-action|data-bulk|data-selected|type="checkbox"/, `who may only look is offered nothing else on ${path}`)
  }
  t.match((await get(`/tasks/${task_id}`)).body, 'data-action="cancel"')
  t.match(await host.service.getQueueStats(), { queue_length: 1, paused: false }, 'nothing was changed')
})

t.test('a page has what its user may see of it, and links to no other', async t => {
  const asked: string[] = []
  let allowed = ['stats']
  const { get } = await startDashboard(t, 'memory', {
    authorize: (_identity, access) => {
      if (access.action !== 'monitor') return true
      asked.push(access.operation)
      return allowed.includes(access.operation)
    }
  })
  const { body } = await get('/')
  t.same([...new Set(asked)].sort(), [...LOOKING, 'retry', 'cancel', 'pause', 'resume'].sort(), 'the host is told what it is about')
  t.match(body, '>Waiting<')
  t.notMatch(body, /data-plot=|Running now|href="[^"]*(?:tasks|workers|failures)/)
  t.equal((await get('/tasks')).statusCode, 403)
  allowed = ['list']
  t.equal((await get('/')).statusCode, 403)
  t.equal((await get('/tasks')).statusCode, 200)
})

t.test('read-only: no controls, and what they would send is refused to everybody', async t => {
  const { host, get, post } = await startDashboard(t, 'memory', { dashboard: { prefix: '/looking', readOnly: true } })
  await host.as('ada').finished({ error: new ChartGenerationError('No rows', { code: 'NO_DATA' }) })
  const { task_id } = await host.as('ada').create()
  for (const path of ['/', '/tasks', '/tasks?user_id=ada', `/tasks/${task_id}`, '/failures', '/workers']) {
    const { statusCode, body } = await get(path)
    t.equal(statusCode, 200)
    t.notMatch(body, /data-action|data-bulk|data-selected|type="checkbox"/, path)
  }
  for (const path of calls) t.match((await post(path, { filter: { user_id: 'ada' } })).json(), { statusCode: 403, code: 'CHARTS_ERR_READ_ONLY', error: 'Forbidden' }, path)
  t.match(await host.service.getQueueStats(), { queue_length: 1, paused: false })
})

t.test('every answer carries the policy, and no page needs more than it allows', async t => {
  const { app, get, post } = await startDashboard(t, 'memory', {
    // A strict host sets a policy of its own.
    before: app => app.addHook('onRequest', async (_request, reply) => { reply.header('content-security-policy', "default-src 'none'") })
  })
  const page = await get('/')
  const asset = addresses(page.body).find(address => address.includes('dashboard.js'))!
  const answers = [page, await get('/tasks', json), await get(`/tasks/${unknown_id}`), await get('/nothing'), await get(`/${asset.slice(2)}`), await post('/pause'), await post('/tasks/retry'), await app.inject('/charts-dashboard/')]
  t.same(answers.map(({ statusCode }) => statusCode), [200, 200, 404, 404, 200, 200, 400, 401])
  for (const { headers, statusCode } of answers.filter((_, i) => i !== 3)) {
    const policy = String(headers['content-security-policy'])
    for (const rule of ["default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"]) t.ok(policy.includes(rule), `${statusCode}: ${rule}`)
    t.notMatch(policy, /unsafe|data:|\*|https?:/)
    t.equal(headers['x-content-type-options'], 'nosniff')
  }
  for (const path of ['/', '/tasks', '/workers', '/failures']) {
    const { body } = await get(path)
    t.notMatch(body, /<script(?![^>]*\ssrc=)|\son\w+=|\sstyle=|<style|<base|javascript:/i, path)
    for (const address of addresses(body)) t.match(address, /^(?:\.{1,2}\/|\?|#)/, `${path}: ${address} is relative`)
  }
})

t.test('links lead to the same place from wherever a page is', async t => {
  const { host, app } = await startDashboard(t, 'memory', { fastify: { routerOptions: { ignoreTrailingSlash: true } }, dashboard: { prefix: '/a/:tenant/queue' } })
  const { task_id } = await host.as('ada').create()
  const root = 'http://h/a/acme/queue/'
  for (const url of ['/a/acme/queue', '/a/acme/queue/', '/a/acme/queue?minutes=60', '/a/acme/queue/tasks', '/a/acme/queue/tasks/', `/a/acme/queue/tasks/${task_id}`, `/a/acme/queue/tasks/${task_id}/`, '/a/acme/queue/workers?x=/']) {
    for (const user of ['root', 'ada']) {
      const { body } = await app.inject({ url, headers: { 'x-user': user } })
      t.equal(new URL(addresses(body).find(address => address.includes('style.css'))!, `http://h${url}`).href.replace(/assets.*/, ''), root, `${url} as ${user}`)
      if (user === 'root') t.ok(addresses(body).some(address => new URL(address, `http://h${url}`).href === `${root}workers`), url)
    }
  }
})

t.test('a task is found by its id', async t => {
  const { host, get } = await startDashboard(t)
  const { task_id } = await host.as('ada').create()
  const found = await get(`/find?id=%20${task_id}%20`)
  t.match(found, { statusCode: 303, headers: { location: `./tasks/${task_id}` } })
  t.equal((await get(`/tasks/${task_id}`)).statusCode, 200)
  t.match(await get('/find?id=//evil.example'), { statusCode: 303, headers: { location: './tasks/%2F%2Fevil.example' } })
  t.match((await get('/tasks/nonsense')).body, 'Not found')
  t.equal((await get('/find', { 'x-user': '' })).statusCode, 401)
  t.match((await get(`/tasks/${unknown_id}`)).body, 'Not found')
})

t.test('what cannot be asked for is said on a page that leads on', async t => {
  const { get } = await startDashboard(t)
  for (const query of ['status=DONE', 'error_code=no%20code', 'created_after=tomorrow', 'cursor=nonsense', `user_id=${'x'.repeat(600)}`]) {
    const { statusCode, body } = await get(`/tasks?${query}`)
    t.equal(statusCode, 400, query)
    t.match(body, /This cannot be asked for.*To the overview/s)
    t.match((await get(`/tasks?${query}`, json)).json(), { code: 'CHARTS_ERR_INVALID_REQUEST' })
  }
  for (const query of ['minutes=0', 'minutes=x', 'minutes=-5', 'minutes=99999999']) t.equal((await get(`/?${query}`)).statusCode, 200)
})

t.test('what is asked again and again is small, and sent only where it is new', async t => {
  const { host, get } = await startDashboard(t)
  await host.as('ada').create()
  const first = await get('/tasks', json)
  t.match(first.json(), { title: 'Tasks · Chart queue', every: 3_000, page: [['header'], ['main']] })
  t.match(first.headers, { vary: 'accept', 'cache-control': 'private, no-cache' })
  const etag = String(first.headers.etag)
  t.match(await get('/tasks', { ...json, 'if-none-match': etag }), { statusCode: 304, body: '' })
  t.match((await get('/tasks')).body, etag.replaceAll('"', '&quot;'), 'the document has it already')
  await host.as('ada').create()
  t.equal((await get('/tasks', { ...json, 'if-none-match': etag })).statusCode, 200)
})

t.test('a chart store of the host that fails, or sets headers of its own, does no harm', async t => {
  const { host, get } = await startDashboard(t, 'memory', {
    chartStore: { save: async () => {}, get: async () => { throw new Error('no database') }, findByMessage: async () => [] },
    before: app => app.addHook('onRequest', async (_request, reply) => { reply.header('vary', 'origin') })
  })
  const { task_id } = await host.as('ada').create()
  await host.finish(task_id, { content: 1 })
  const page = await get(`/tasks/${task_id}`)
  t.match(page, { statusCode: 200, headers: { vary: 'origin, accept' } })
  t.match(page.body, 'The chart cannot be read now.')
})

t.test('nothing that a user or a generator says becomes markup', async t => {
  const evil = '"><img src=x onerror=alert(1)>\'</script><script>alert(1)</script>&lt;'
  const { host, get } = await startDashboard(t, 'memory', { paramsSchema: {}, identify: ({ headers }) => headers['x-user'] === 'root' ? { user_id: 'root' } : { user_id: evil, org_id: evil } })
  const mallory = host.as('mallory')
  const failed = await mallory.finished({ error: new ChartGenerationError(evil, { code: 'EVIL' }) }, { adjustment_query: evil, params: { [evil]: evil } })
  const running = await mallory.create({ adjustment_query: evil })
  const { lease } = (await host.service.dequeueChartTask(evil))!
  await host.service.updateTaskProgress(running.task_id, lease, { step: evil, step_progress: 10, progress: 10 })
  const done = await mallory.create({ force_create: true })
  const taken = (await host.service.dequeueChartTask(evil))!
  await host.service.completeTask(done.task_id, taken.lease, { content: { [evil]: evil } })
  const query = new URLSearchParams({ user_id: evil, org_id: evil })
  for (const path of ['/', '/tasks', `/tasks?${query}`, `/tasks/${failed.task_id}`, `/tasks/${running.task_id}`, `/tasks/${done.task_id}`, '/workers', '/failures', `/tasks?cursor=${encodeURIComponent(evil)}`, `/tasks/${encodeURIComponent(evil.slice(0, 60))}`]) {
    const { body, statusCode } = await get(path)
    t.notMatch(body, /<img|<script>|onerror=alert\(1\)>'/, `${path} ${statusCode}`)
  }
  t.match((await get(`/tasks/${failed.task_id}`)).body, '&quot;&gt;&lt;img src=x onerror=alert(1)&gt;&#39;', 'it is there, as text')
})

t.test('a page of another site can send nothing', async t => {
  const { host, app } = await startDashboard(t, 'memory', { stream: { allowedOrigins: '*' } })
  for (const path of calls) {
    for (const type of [undefined, 'text/plain', 'application/x-www-form-urlencoded']) {
      const headers = { 'x-user': 'root', origin: 'https://evil.example', 'sec-fetch-site': 'cross-site', ...(type && { 'content-type': type }) }
      const response = await app.inject({ method: 'POST', url: `/charts-dashboard${path}`, headers, ...(type && { payload: '{}' }) })
      t.match(response.json(), { statusCode: 403, code: 'CHARTS_ERR_CROSS_SITE' }, `${path} ${type}`)
    }
  }
  t.equal((await host.service.getQueueStats()).paused, false)
})

t.test('where the first thousands do not match, the search is not given up, nor without end', async t => {
  const { host, get } = await startDashboard(t, 'memory', { limits: { waitingPerTenant: 0, queueLength: 0 } })
  const { task_id } = await host.as('ada').create()
  for (let i = 0; i < 30; i++) await host.service.enqueueChartTasks(Array.from({ length: 100 }, () => ({ message_id: crypto.randomUUID() })), { user_id: 'grace' })
  t.match((await get('/tasks?user_id=ada')).body, `tasks/${task_id}`)
  for (let i = 0; i < 70; i++) await host.service.enqueueChartTasks(Array.from({ length: 100 }, () => ({ message_id: crypto.randomUUID() })), { user_id: 'grace' })
  const { body } = await get('/tasks?user_id=ada')
  t.match(body, 'None so far.')
  const next = /href="\.\/(tasks\?[^"]*cursor=[^"]*)">Search on/.exec(body)![1]!.replaceAll('&amp;', '&')
  t.match((await get(`/${next}`)).body, `tasks/${task_id}`)
})

t.test('what the browser loads is small', async t => {
  const { get } = await startDashboard(t)
  const sizes = new Map<string, number>()
  for (const address of addresses((await get('/')).body).filter(address => address.includes('assets/'))) {
    sizes.set(address.replace(/.*-/, ''), gzipSync((await get(`/${address.slice(2)}`)).rawPayload, { level: 9 }).length)
  }
  console.log(`the dashboard, gzipped: ${JSON.stringify(Object.fromEntries(sizes))}`)
  t.ok(sizes.get('dashboard.js')! + sizes.get('style.css')! <= 11_000)
  t.ok(sizes.get('plots.js')! <= 26_000)
})

t.test('assets are kept by browsers, and those of another version are served as they are now', async t => {
  const { app, get } = await startDashboard(t)
  const assets = addresses((await get('/')).body).filter(address => address.includes('assets/'))
  t.equal(assets.length, 4)
  for (const address of assets) {
    const path = address.replace(/^\.\//, '/')
    const asset = await app.inject(`/charts-dashboard${path}`)
    t.match(asset, { statusCode: 200, headers: { 'cache-control': 'public, max-age=31536000, immutable' } }, 'without an account, too: a page that says so needs them')
    t.match(await get(path.replace(/[\w-]{8}-/, '00000000-')), { statusCode: 200, body: asset.body, headers: { 'cache-control': 'private, no-cache' } })
  }
  for (const file of ['00000000-nothing.js', 'dashboard.js', '..%2f..%2fpackage.json', '00000000-constructor']) t.equal((await get(`/assets/${file}`)).statusCode, 404, file)
  const plots = assets.find(address => address.includes('plots'))!
  t.match((await get(`/${plots.slice(2)}`)).body, /The MIT License[^]*Leon Sorokin/, 'the licence of the plot library goes with it')
})

t.test('what it is registered with is checked', async t => {
  const alone = Fastify()
  t.teardown(() => alone.close())
  await t.rejects(Promise.resolve(alone.register(asyncChartsDashboard)), { code: 'CHARTS_ERR_INVALID_OPTIONS', message: /after asyncCharts, on the same instance/ })
  for (const [options, message] of [[{ readonly: true }, /options\.readonly is not an option; known are prefix, readOnly/], [{ prefix: 'queue' }, /options\.prefix must match/], [{ readOnly: 'yes' }, /options\.readOnly must be boolean, got "yes"/]] as const) {
    const app = Fastify()
    t.teardown(() => app.close())
    await app.register(asyncCharts, { store: memoryStore(), identify: () => null })
    await t.rejects(Promise.resolve(app.register(asyncChartsDashboard, options as object)), { code: 'CHARTS_ERR_INVALID_OPTIONS', message })
  }
})

t.test('it can be there more than once, at the root too, and in no document of the API', async t => {
  const { default: swagger } = await import('@fastify/swagger')
  const { app, get } = await startDashboard(t, 'memory', { before: app => app.register(swagger, {}), dashboard: { prefix: '' } })
  await app.register(asyncChartsDashboard, { prefix: '/looking', readOnly: true })
  t.equal((await get('/')).statusCode, 200)
  t.equal((await get('/looking/')).statusCode, 200)
  t.match((await get('/pause')).statusCode, 404)
  await app.ready()
  t.notMatch(JSON.stringify((app as unknown as { swagger: () => object }).swagger()), /looking|"\/workers"/)
})

t.test("what the host's own hooks throw goes to the host's error handler", async t => {
  const { app } = await startDashboard(t, 'memory', {
    before: app => app.setErrorHandler(async (error, _request, reply) => reply.code(418).send({ host: (error as Error).message })),
    identify: () => { throw new Error('no session store') }
  })
  t.match(await app.inject('/charts-dashboard/').then(response => [response.statusCode, response.json()]), [418, { host: 'no session store' }])
})
