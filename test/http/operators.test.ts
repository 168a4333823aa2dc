import t from 'tap'
import { ChartGenerationError, type Access } from '../../lib/index.ts'
import { startHost, storeKinds, type Caller, type HostOptions } from '../helpers/app.ts'

const unknown_id = '0d3b1c0e-8c39-4f3e-9d0a-6f0a5e0c7a11'
const monitored: HostOptions = { authorize: ({ user_id }, { action }) => action !== 'monitor' || user_id === 'root' }

const named = (task_id: string) => ({ headers: { 'content-type': 'application/json' }, payload: JSON.stringify({ filter: { task_ids: [task_id] } }) })

const routes: Array<[operation: string, ask: (caller: Caller, task_id?: string) => ReturnType<Caller['get']>]> = [
  ['stats', caller => caller.get('/async/stats')],
  ['list', caller => caller.get('/admin/tasks')],
  ['inspect', (caller, task_id = unknown_id) => caller.get(`/admin/tasks/${task_id}`)],
  ['retry', (caller, task_id = unknown_id) => caller.request('POST', `/admin/tasks/${task_id}/retry`)],
  ['cancel', (caller, task_id = unknown_id) => caller.delete(`/admin/tasks/${task_id}`)],
  ['workers', caller => caller.get('/admin/workers')],
  ['history', caller => caller.get('/admin/history')],
  ['failures', caller => caller.get('/admin/failures')],
  ['retry', (caller, task_id = unknown_id) => caller.request('POST', '/admin/tasks/retry', named(task_id))],
  ['cancel', (caller, task_id = unknown_id) => caller.request('POST', '/admin/tasks/cancel', named(task_id))],
  ['pause', caller => caller.request('POST', '/admin/pause')],
  ['resume', caller => caller.request('POST', '/admin/resume')]
]

for (const kind of storeKinds) {
  t.test(`callers that may operate the queue, on ${kind}`, async t => {
    const asked: Access[] = []
    const host = await startHost(t, kind, {
      authorize: (identity, access) => {
        asked.push(access)
        return monitored.authorize!(identity, access, null!)
      }
    })
    const { task_id } = await host.as('ada').create()
    for (const [operation, ask] of routes) {
      t.equal((await ask(host.nobody)).statusCode, 401, operation)
      asked.length = 0
      t.match(await ask(host.as('ada'), task_id), { statusCode: 403, headers: { 'cache-control': 'private, no-cache' } }, operation)
      t.strictSame(asked, [{ action: 'monitor', operation }], 'the host is told what is wanted')
      t.match((await ask(host.as('ada'), task_id)).json(), { code: 'CHARTS_ERR_FORBIDDEN' })
    }
    t.match((await host.as('ada').get(`/async/${task_id}/status`)).json(), { status: 'PENDING', version: 1 }, 'nothing was changed')
    t.equal((await host.service.getQueueStats()).paused, false)
  })

  t.test(`limits apply to retries, on ${kind}`, async t => {
    const host = await startHost(t, kind, { ...monitored, limits: { waitingPerTenant: 1, scheduledPerTenant: 1 } })
    const ada = host.as('ada')
    const retry = (task_id: string) => host.as('root').request('POST', `/admin/tasks/${task_id}/retry`)
    const needed = await ada.create()
    await host.take(needed.task_id)
    const dependent = await ada.create({ depends_on: [needed.task_id] })
    await host.finish(needed.task_id, { error: new ChartGenerationError('No rows') })
    t.match((await ada.get(`/async/${dependent.task_id}/status`)).json(), { status: 'FAILED' })

    const waiting = await ada.create()
    const scheduled = await ada.create({ run_at: new Date(Date.now() + 60_000).toISOString() })
    t.match((await retry(needed.task_id)).json(), { statusCode: 429, code: 'CHARTS_ERR_TOO_MANY_TASKS', message: /are waiting/ })
    await ada.delete(`/async/${waiting.task_id}`)
    t.equal((await retry(needed.task_id)).statusCode, 202, 'what is scheduled takes no place of what could run')
    t.match((await retry(dependent.task_id)).json(), { statusCode: 429, code: 'CHARTS_ERR_TOO_MANY_TASKS', message: /wait for a time or for others/ })
    await ada.delete(`/async/${scheduled.task_id}`)
    t.match((await retry(dependent.task_id)).json(), { status: 'PENDING', current_step: 'waiting_for_dependencies' })
  })

  t.test(`without authorize nobody may, on ${kind}`, async t => {
    const host = await startHost(t, kind)
    for (const [operation, ask] of routes) t.equal((await ask(host.as('root'))).statusCode, 403, operation)
  })

  t.test(`operators on ${kind}`, async t => {
    const host = await startHost(t, kind, { ...monitored, retry: { attempts: 2, backoff: { delay: 0 } } })
    const root = host.as('root')
    const ada = host.as('ada@acme')

    t.test('invalid requests', async t => {
      for (const path of ['no-uuid', '1']) {
        t.equal((await root.get(`/admin/tasks/${path}`)).statusCode, 400)
        t.equal((await root.delete(`/admin/tasks/${path}`)).statusCode, 400)
        t.equal((await root.request('POST', `/admin/tasks/${path}/retry`)).statusCode, 400)
      }
      for (const query of ['status=DONE', 'status=', 'limit=0', 'limit=101', 'limit=many', 'cursor=', `cursor=${'x'.repeat(513)}`, 'user_id=', 'org_id=', 'tenant=acme']) {
        t.match((await root.get(`/admin/tasks?${query}`)).json(), { statusCode: 400, code: 'FST_ERR_VALIDATION' }, query)
      }
      for (const cursor of ['abc', `active.1.${'x'.repeat(36)}`, '%00']) {
        t.match((await root.get(`/admin/tasks?cursor=${cursor}`)).json(), { statusCode: 400, code: 'CHARTS_ERR_INVALID_REQUEST' }, cursor)
      }
      for (const [operation, ask] of routes.slice(2, 5)) {
        t.match((await ask(root)).json(), { statusCode: 404, code: 'CHARTS_ERR_TASK_NOT_FOUND' }, operation)
      }
    })

    t.test('a list of the tasks of everybody', async t => {
      const failed = await ada.finished({ error: new ChartGenerationError('No rows', { code: 'NO_DATA' }) })
      const mine = await host.as('bob').create()
      const all = await root.get('/admin/tasks')
      t.equal(all.statusCode, 200)
      t.match(all.json(), {
        tasks: [
          { task_id: mine.task_id, status: 'PENDING', user_id: 'bob', org_id: null, queue_position: 1 },
          { task_id: failed.task_id, status: 'FAILED', user_id: 'ada', org_id: 'acme', error_code: 'NO_DATA' }
        ],
        cursor: null
      })
      t.strictSame(Object.keys(all.json().tasks[1]).sort(), [...Object.keys(failed), 'user_id', 'org_id'].sort())
      const ids = async (query: string) => (await root.get(`/admin/tasks?${query}`)).json().tasks.map((task: { task_id: string }) => task.task_id)
      t.strictSame(await ids('status=FAILED'), [failed.task_id])
      t.strictSame(await ids('org_id=acme'), [failed.task_id])
      t.strictSame(await ids('user_id=bob&status=PENDING'), [mine.task_id])
      t.strictSame(await ids('user_id=acme'), [])
      const { tasks: [first], cursor } = (await root.get('/admin/tasks?limit=1')).json()
      t.equal(first.task_id, mine.task_id)
      t.strictSame(await ids(`limit=1&cursor=${cursor}`), [failed.task_id])
      await host.as('bob').delete(`/async/${mine.task_id}`)
    })

    t.test('one task with the history of its tries', async t => {
      const { task_id, message_id } = await ada.create({ adjustment_query: 'log scale', priority: 'low' })
      await host.progress(task_id, { step: 'llm_generation', progress: 40 })
      await host.finish(task_id, { error: new ChartGenerationError('The model is busy', { code: 'MODEL_BUSY', retryable: true }) })
      const { lease } = (await host.service.dequeueChartTask('second'))!
      const response = await root.get(`/admin/tasks/${task_id.toUpperCase()}`)
      t.equal(response.statusCode, 200)
      const details = response.json()
      t.strictSame(Object.keys(details), ['task', 'depends_on', 'request', 'priority', 'run_at', 'batch_ids', 'retried_as', 'attempts', 'weight'])
      t.match(details, {
        task: { task_id, status: 'PROCESSING', attempt: 2, user_id: 'ada', org_id: 'acme' },
        request: { task_id, message_id, adjustment_query: 'log scale', visibility: 'PRIVATE' },
        priority: 'low',
        run_at: null,
        attempts: [
          { attempt: 1, outcome: 'failed', last_step: 'llm_generation', progress: 40, error_code: 'MODEL_BUSY', error_message: 'The model is busy' },
          { attempt: 2, outcome: null, ended_at: null, worker_id: 'second', last_step: 'started', error_code: null }
        ]
      })
      await host.service.completeTask(task_id, lease, { content: 1 })
    })

    t.test('a failed one is run again as a new task, for its owner', async t => {
      const failed = await ada.finished({ error: new ChartGenerationError('No rows') }, { adjustment_query: 'by year', visibility: 'ORGANIZATION', priority: 'high' })
      const response = await root.request('POST', `/admin/tasks/${failed.task_id}/retry`)
      t.equal(response.statusCode, 202)
      const task = response.json()
      t.match(task, {
        status: 'PENDING',
        retry_of: failed.task_id,
        message_id: failed.message_id,
        adjustment_query: 'by year',
        visibility: 'ORGANIZATION',
        user_id: 'ada',
        org_id: 'acme',
        message: 'Chart generation queued successfully'
      })
      t.not(task.task_id, failed.task_id)
      t.equal((await host.service.getTaskDetails(task.task_id))?.priority, 'high')
      const again = await root.request('POST', `/admin/tasks/${failed.task_id}/retry`)
      t.match(again.json(), { task_id: task.task_id, message: 'Chart generation already in progress' }, 'asked twice, it runs once')
      t.strictSame((await ada.get(`/async/${failed.task_id}/status`)).json(), failed, 'what has ended stays as it is')
      t.match((await ada.get(`/async/${task.task_id}/status`)).json(), { retry_of: failed.task_id }, 'the owner sees it')
      t.match((await ada.get(`/by-message/${failed.message_id}`)).json().active_tasks, [{ task_id: task.task_id }])
      await host.finish(task.task_id, { content: { rows: 3 } })
      const exists = await root.request('POST', `/admin/tasks/${failed.task_id}/retry`)
      t.match(exists, { statusCode: 200 })
      t.match(exists.json(), { task_id: task.task_id, status: 'COMPLETED', message: 'Chart already exists' })
    })

    t.test('a dependent is retried behind the retry of its dependency', async t => {
      const base = await ada.create()
      const dependent = await ada.create({ depends_on: [base.task_id] })
      await host.finish(base.task_id, { error: new ChartGenerationError('No rows') })
      const retry = async (task_id: string) => (await root.request('POST', `/admin/tasks/${task_id}/retry`)).json()
      t.match(await retry(dependent.task_id), { statusCode: 409, code: 'CHARTS_ERR_DEPENDENCY_FAILED' })
      const repeated = await retry(base.task_id)
      t.match((await root.get(`/admin/tasks/${base.task_id}`)).json(), { retried_as: repeated.task_id })
      const after = await retry(dependent.task_id)
      t.match(after, { current_step: 'waiting_for_dependencies', retry_of: dependent.task_id })
      await host.finish(repeated.task_id, { content: 1 })
      await host.finish(after.task_id, { content: 2 })
      t.match((await ada.get(`/async/${after.task_id}/status`)).json(), { status: 'COMPLETED' })
    })

    t.test('one that was forced is run again although an older chart exists, and once', async t => {
      const wish = { message_id: crypto.randomUUID(), adjustment_query: 'forced' }
      await ada.finished({ content: 'old' }, wish)
      await new Promise(resolve => setTimeout(resolve, 5))
      const failed = await ada.finished({ error: new ChartGenerationError('No rows') }, { ...wish, force_create: true })
      const retry = async () => root.request('POST', `/admin/tasks/${failed.task_id}/retry`)
      const again = (await retry()).json()
      t.match(again, { status: 'PENDING', retry_of: failed.task_id })
      await host.finish(again.task_id, { content: 'new' })
      t.match((await retry()).json(), { task_id: again.task_id, status: 'COMPLETED' })
    })

    t.test('a task that has not failed is not retried', async t => {
      const done = await ada.finished({ content: 1 })
      const cancelled = await ada.create()
      await ada.delete(`/async/${cancelled.task_id}`)
      const waiting = await ada.create()
      for (const { task_id } of [done, cancelled, waiting]) {
        t.match((await root.request('POST', `/admin/tasks/${task_id}/retry`)).json(), { statusCode: 409, code: 'CHARTS_ERR_TASK_NOT_FAILED' })
      }
      await ada.delete(`/async/${waiting.task_id}`)
    })

    t.test('any can be cancelled', async t => {
      const { task_id } = await ada.create()
      const response = await root.delete(`/admin/tasks/${task_id}`)
      t.equal(response.statusCode, 200)
      t.match(response.json(), { task_id, status: 'CANCELLED', user_id: 'ada' })
      t.equal((await root.delete(`/admin/tasks/${task_id}`)).statusCode, 200)
      const done = await ada.finished({ content: 1 })
      t.match((await root.delete(`/admin/tasks/${done.task_id}`)).json(), { statusCode: 409, code: 'CHARTS_ERR_TASK_FINISHED' })
    })

    t.test('pause and resume', async t => {
      const { task_id } = await ada.create()
      const paused = await root.request('POST', '/admin/pause')
      t.match(paused, { statusCode: 200, headers: { 'cache-control': 'private, no-cache' } })
      t.match(paused.json(), { paused: true, queue_length: 1 })
      t.equal(await host.service.dequeueChartTask(), null)
      t.match((await root.get('/async/stats')).json(), { paused: true })
      t.match((await root.request('POST', '/admin/resume')).json(), { paused: false })
      t.equal((await host.service.dequeueChartTask())?.task.task_id, task_id)
    })
  })
}
