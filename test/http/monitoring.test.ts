import t from 'tap'
import { ChartGenerationError } from '../../lib/index.ts'
import { failures } from '../../lib/errors.ts'
import { startHost, storeKinds, type Caller, type HostOptions } from '../helpers/app.ts'

const monitored: HostOptions = { authorize: ({ user_id }, { action }) => action !== 'monitor' || user_id === 'root', retry: { attempts: 1 } }
const unknown_id = '0d3b1c0e-8c39-4f3e-9d0a-6f0a5e0c7a11'
const noData = { error: new ChartGenerationError('No rows', { code: 'NO_DATA' }) }

const post = (caller: Caller, path: string, body: unknown) =>
  caller.request('POST', path, { headers: { 'content-type': 'application/json' }, payload: JSON.stringify(body) })

for (const kind of storeKinds) {
  t.test(`history and failures on ${kind}`, async t => {
    const host = await startHost(t, kind, monitored)
    const root = host.as('root')
    const ada = host.as('ada@acme')
    const empty = (await root.get('/admin/history')).json()
    t.equal(empty.minutes.length, 60)
    t.strictSame(empty.totals, { created: 0, started: 0, completed: 0, cancelled: 0, failed: 0, wait: { p50: null, p95: null }, run: { p50: null, p95: null } })
    t.strictSame((await root.get('/admin/failures')).json().failures, [])

    const failed = []
    for (let i = 0; i < 7; i++) failed.push(await ada.finished(noData, { adjustment_query: `no data ${i}` }))
    failed.push(await ada.finished({ error: new Error('secret') }, { adjustment_query: 'broken' }))
    await ada.finished({ content: 1 })
    const cancelled = await ada.create()
    await ada.delete(`/async/${cancelled.task_id}`)

    const history = (await root.get('/admin/history?minutes=3')).json()
    t.equal(history.minutes.length, 3)
    t.strictSame(Object.keys(history), ['minutes', 'bounds', 'totals', 'updated_at'])
    t.strictSame(Object.keys(history.minutes[0]), ['at', 'created', 'started', 'completed', 'cancelled', 'failed', 'wait', 'run'])
    t.match(history.totals, { created: 10, started: 9, completed: 1, cancelled: 1, failed: 8, wait: { p50: Number, p95: Number }, run: { p50: Number, p95: Number } })
    const last = history.minutes.at(-1)
    t.equal(last.at, `${history.updated_at.slice(0, 16)}:00.000Z`, 'the last minute is the current one')
    t.equal(Date.parse(last.at) - Date.parse(history.minutes[0].at), 120_000)
    const sum = (pick: (minute: any) => number) => history.minutes.reduce((total: number, minute: any) => total + pick(minute), 0)
    t.equal(sum(({ failed }) => failed.NO_DATA ?? 0), 7)
    t.equal(sum(({ failed }) => failed.CHARTS_ERR_GENERATION_FAILED ?? 0), 1)
    t.equal(sum(({ wait }) => wait.count), 9)
    t.equal(sum(({ run }) => run.count), 1)
    for (const { wait } of history.minutes) t.equal(wait.buckets.length, history.bounds.length + 1)

    const { failures: groups } = (await root.get('/admin/failures?minutes=60')).json()
    t.match(groups, [{ error_code: 'NO_DATA', count: 7 }, { error_code: 'CHARTS_ERR_GENERATION_FAILED', count: 1 }])
    const latest = failed.slice(2, 7).reverse()
    t.strictSame(groups[0].tasks.map(({ task_id }: any) => task_id).sort(), latest.map(({ task_id }) => task_id).sort())
    const { task_id, message_id, completed_at } = failed[7]!
    t.strictSame(groups[1].tasks, [{ task_id, message_id, error_message: failures.CHARTS_ERR_GENERATION_FAILED, completed_at }])
    t.equal(groups[1].last_failed_at, completed_at)
  })

  t.test(`the range of a history on ${kind}`, async t => {
    const host = await startHost(t, kind, monitored)
    const root = host.as('root')
    for (const route of ['history', 'failures']) {
      for (const query of ['minutes=0', 'minutes=1441', 'minutes=1.5', 'minutes=', 'minutes=all', 'hours=1', 'minutes=1&minutes=2']) {
        t.match((await root.get(`/admin/${route}?${query}`)).json(), { statusCode: 400, code: 'FST_ERR_VALIDATION' }, `${route} ${query}`)
      }
    }
    t.equal((await root.get('/admin/history?minutes=1440')).json().minutes.length, 1_440)
    await t.rejects(host.service.getQueueHistory({ minutes: 0 }), { code: 'CHARTS_ERR_INVALID_REQUEST' })
    await t.rejects(host.service.getFailures({ minutes: 1.5 }), { code: 'CHARTS_ERR_INVALID_REQUEST' })
  })

  t.test(`a list by error code and time on ${kind}`, async t => {
    let now = Date.parse('2030-01-01T00:00:00.000Z')
    const host = await startHost(t, kind, { ...monitored, now: () => now })
    const root = host.as('root')
    const ids: string[] = []
    for (let i = 0; i < 4; i++) {
      ids.push((await host.as('ada@acme').finished(i % 2 === 0 ? noData : { content: i }, { adjustment_query: String(i) })).task_id)
      now += 60_000
    }
    const listed = async (query: Record<string, string>) => (await root.get(`/admin/tasks?${new URLSearchParams(query)}`)).json().tasks.map((task: any) => task.task_id)
    t.strictSame(await listed({ error_code: 'NO_DATA' }), [ids[2], ids[0]])
    t.strictSame(await listed({ error_code: 'NO_DATA', org_id: 'acme', created_before: '2030-01-01T01:02:00+01:00' }), [ids[0]])
    t.strictSame(await listed({ created_after: '2030-01-01T00:01:00Z', created_before: '2030-01-01T00:03:00Z' }), [ids[2], ids[1]])
    for (const query of [{ error_code: 'no data' }, { created_after: 'yesterday' }, { created_after: '2030-01-01' }, { created_before: '' }]) {
      t.match((await root.get(`/admin/tasks?${new URLSearchParams(query as Record<string, string>)}`)).json(), { statusCode: 400, code: 'FST_ERR_VALIDATION' })
    }
    t.match((await root.get('/admin/tasks?created_after=2030-12-31T23:59:60Z')).json(), { statusCode: 400, code: 'CHARTS_ERR_INVALID_REQUEST' }, 'a leap second')
  })

  t.test(`many tasks are run again on ${kind}`, async t => {
    const host = await startHost(t, kind, { ...monitored, limits: { waitingPerTenant: 40 } })
    const root = host.as('root')
    const ada = host.as('ada@acme')
    const failed: string[] = []
    for (let i = 0; i < 30; i++) failed.push((await ada.finished(noData, { adjustment_query: String(i) })).task_id)
    const other = await host.as('bob').finished({ error: new ChartGenerationError('Busy', { code: 'BUSY' }) })
    const done = await ada.finished({ content: 1 })
    const retry = async (body: unknown) => (await post(root, '/admin/tasks/retry', body)).json()

    t.strictSame(await retry({ filter: { task_ids: [done.task_id, unknown_id] } }), { matched: 0, done: 0, cursor: null, skipped: [] }, 'nothing has failed of these')
    const first = await retry({ filter: { error_code: 'NO_DATA' }, limit: 27 })
    t.match(first, { matched: 27, done: 27, cursor: String, skipped: [] })
    const second = await retry({ filter: { error_code: 'NO_DATA' }, limit: 27, cursor: first.cursor })
    t.match(second, { matched: 3, done: 3, cursor: null, skipped: [] })
    t.equal((await host.service.getQueueStats()).queue_length, 30)
    const again = await retry({ filter: { error_code: 'NO_DATA', org_id: 'acme' } })
    t.match(again, { matched: 30, done: 0, cursor: null })
    t.equal(again.skipped.length, 20)
    t.match(again.skipped[0], { task_id: String, code: 'CHARTS_ERR_TASK_RETRIED' })
    t.equal((await host.service.getQueueStats()).queue_length, 30, 'repeated, nothing is run twice')

    t.match(await retry({ filter: { status: 'FAILED', user_id: 'bob' } }), { matched: 1, done: 1 })
    const details = (await root.get(`/admin/tasks/${other.task_id}`)).json()
    t.match((await host.service.getTaskStatus(details.retried_as)), { status: 'PENDING', user_id: 'bob', retry_of: other.task_id })

    for (let i = 0; i < 10; i++) await ada.create({ adjustment_query: `fresh ${i}` })
    await ada.delete(`/async/${(await host.service.getTaskDetails(failed[0]!))!.retried_as}`)
    await ada.create({ adjustment_query: 'the last place' })
    t.match(await retry({ filter: { task_ids: [failed[0]!.toUpperCase(), other.task_id] } }), {
      matched: 2, done: 0, cursor: null, skipped: [{ task_id: failed[0], code: 'CHARTS_ERR_TOO_MANY_TASKS' }, { task_id: other.task_id, code: 'CHARTS_ERR_TASK_RETRIED' }]
    }, 'limits hold')
  })

  t.test(`dependents are retried behind their dependencies, on ${kind}`, async t => {
    const host = await startHost(t, kind, monitored)
    const ada = host.as('ada')
    const base = await ada.create()
    const middle = await ada.create({ depends_on: [base.task_id] })
    const last = await ada.create({ depends_on: [middle.task_id, base.task_id] })
    await host.finish(base.task_id, noData)
    t.match((await ada.get(`/async/${last.task_id}/status`)).json(), { status: 'FAILED' })
    const result = await host.service.retryTasks({ user_id: 'ada' })
    t.strictSame(result, { matched: 3, done: 3, cursor: null, skipped: [] })
    const steps = await Promise.all([base, middle, last].map(async ({ task_id }) => {
      const { retried_as } = (await host.service.getTaskDetails(task_id))!
      return (await host.service.getTaskStatus(retried_as!))!.current_step
    }))
    t.strictSame(steps, ['queued', 'waiting_for_dependencies', 'waiting_for_dependencies'])
  })

  t.test(`many tasks are cancelled on ${kind}`, async t => {
    const host = await startHost(t, kind, monitored)
    const root = host.as('root')
    const ada = host.as('ada@acme')
    const failed = await ada.finished(noData)
    const base = await ada.create()
    const dependent = await ada.create({ depends_on: [base.task_id] })
    for (let i = 0; i < 60; i++) await ada.create({ adjustment_query: String(i) })
    const running = await host.as('bob').create()
    await host.take(running.task_id)
    const cancel = async (body: unknown) => (await post(root, '/admin/tasks/cancel', body)).json()

    const first = await cancel({ filter: { org_id: 'acme' }, limit: 31 })
    t.match(first, { matched: 31, done: 31, cursor: String, skipped: [] })
    const rest = await cancel({ filter: { org_id: 'acme' }, cursor: first.cursor })
    t.match(rest, { matched: 31, done: 31, cursor: null, skipped: [] })
    for (const { task_id } of [base, dependent]) t.match((await ada.get(`/async/${task_id}/status`)).json(), { status: 'CANCELLED' }, 'none fails for another')
    t.match(await host.service.getTaskStatus(failed.task_id), { status: 'FAILED' }, 'what has ended stays')
    t.match(await host.service.getTaskStatus(running.task_id), { status: 'PROCESSING' }, 'what does not fit goes on')
    t.strictSame(await cancel({ filter: { task_ids: [running.task_id, failed.task_id, base.task_id] } }), { matched: 1, done: 1, cursor: null, skipped: [] })
    t.match(await host.service.getTaskStatus(running.task_id), { status: 'CANCELLED' })
    t.strictSame(await cancel({ filter: { org_id: 'acme', status: 'PENDING' } }), { matched: 0, done: 0, cursor: null, skipped: [] })
    t.match((await host.service.getQueueHistory()).totals, { cancelled: 63 })
  })

  t.test(`a list of ids continues with a cursor of its own, on ${kind}`, async t => {
    const host = await startHost(t, kind, monitored)
    const task_ids: string[] = []
    for (let i = 0; i < 5; i++) task_ids.push((await host.as('ada').create({ adjustment_query: String(i) })).task_id)
    const first = await host.service.cancelTasks({ task_ids: [...task_ids, task_ids[0]!] }, { limit: 3 })
    t.match(first, { matched: 3, done: 3, cursor: String })
    t.strictSame(await host.service.cancelTasks({ task_ids }, { limit: 3, cursor: first.cursor }), { matched: 2, done: 2, cursor: null, skipped: [] })
  })

  t.test(`invalid bulk requests are refused, on ${kind}`, async t => {
    const host = await startHost(t, kind, monitored)
    const root = host.as('root')
    const task_ids = [unknown_id]
    const waiting = await host.as('ada').create()
    const wrong: unknown[] = [
      undefined, null, 'all', [], {}, { filter: {} }, { filter: null }, { filter: { task_ids: [] } }, { filter: { task_ids: ['1'] } }, { filter: { task_ids: unknown_id } },
      { filter: { task_ids: Array(101).fill(unknown_id) } }, { filter: { everything: true } }, { filter: { status: 'DONE' } }, { filter: { user_id: '' } },
      { filter: { user_id: 1 } }, { filter: { error_code: 'no' } }, { filter: { created_after: 'yesterday' } }, { filter: { task_ids }, limit: 0 },
      { filter: { task_ids }, limit: 1_001 }, { filter: { task_ids }, limit: '10' }, { filter: { task_ids }, cursor: 'x' }, { filter: { task_ids }, more: 1 }
    ]
    for (const operation of ['retry', 'cancel']) {
      for (const body of wrong) {
        t.match((await post(root, `/admin/tasks/${operation}`, body)).json(), { statusCode: 400, code: 'FST_ERR_VALIDATION' }, `${operation} ${JSON.stringify(body)}`)
      }
    }
    const refused: Array<[operation: string, body: unknown]> = [
      ['retry', { filter: { status: 'PENDING' } }],
      ['cancel', { filter: { status: 'FAILED' } }],
      ['cancel', { filter: { task_ids }, cursor: `list.active.1.${unknown_id}` }],
      ['cancel', { filter: { user_id: 'ada' }, cursor: 'list.x' }],
      ['retry', { filter: { user_id: 'ada' }, cursor: 'named.1' }]
    ]
    for (const [operation, body] of refused) {
      t.match((await post(root, `/admin/tasks/${operation}`, body)).json(), { statusCode: 400, code: 'CHARTS_ERR_INVALID_REQUEST' }, JSON.stringify(body))
    }
    for (const filter of [undefined, null, 1, {}, { status: undefined }, { task_ids: 'all' }, { everything: true }]) {
      await t.rejects(host.service.cancelTasks(filter as never), { code: 'CHARTS_ERR_INVALID_REQUEST' }, JSON.stringify(filter))
    }
    t.match((await host.service.getTaskStatus(waiting.task_id)), { status: 'PENDING' }, 'nothing was changed')
  })
}
