import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { Client, type Pool } from 'pg'
import t from 'tap'
import { chartPool } from '../../examples/postgres/chart-pool.ts'
import { postgresChartStore } from '../../examples/postgres/chart-store.ts'
import { deleteOldCharts } from '../../examples/postgres/delete-old-charts.ts'
import type { Chart, JsonValue } from '../../lib/index.ts'
import { startHost } from '../helpers/app.ts'
import { until } from '../helpers/gate.ts'
import { readPage, snippetsOf } from '../helpers/markdown.ts'
import { postgresPath, startPostgres } from '../helpers/postgres.ts'
import { root } from '../helpers/root.ts'

const schema = readFileSync(new URL('examples/postgres/schema.sql', root), 'utf8')

t.test('the guide shows the files as they are', async t => {
  const shown = snippetsOf(readPage('docs/guides/chart-store.md')).filter(({ source }) => /^(?:\/\/|--) examples\//.test(source))
  const names = shown.map(({ source }) => /^\S+ (\S+)/.exec(source)![1]!)
  t.same(names.sort(), ['chart-pool.ts', 'chart-store.ts', 'delete-old-charts.ts', 'schema.sql'].map(name => `examples/postgres/${name}`))
  for (const { source } of shown) {
    const [name] = /examples\/\S+/.exec(source)!
    t.equal(source.slice(source.indexOf('\n') + 1), readFileSync(new URL(name, root), 'utf8'), name)
  }
})

t.test('charts in PostgreSQL', { skip: await postgresPath() === null && 'there is no PostgreSQL (initdb)' }, async t => {
  const server = await startPostgres()
  const errors: Error[] = []
  const pool = chartPool({ connectionString: server.url }, error => errors.push(error))
  t.teardown(async () => {
    await pool.end()
    await server.stop()
  })
  await pool.query(schema)
  await pool.query(schema)
  const store = postgresChartStore(pool)

  let made = Date.UTC(2026, 0, 1)
  const nextTime = (): string => {
    made += 1_000
    return new Date(made).toISOString()
  }
  const chartOf = (changes: Partial<Chart> = {}): Chart => ({
    chart_id: crypto.randomUUID(),
    task_id: crypto.randomUUID(),
    message_id: crypto.randomUUID(),
    user_id: 'ada',
    org_id: 'acme',
    visibility: 'PRIVATE',
    adjustment_query: null,
    created_at: nextTime(),
    content: { svg: '<svg/>' },
    ...changes
  })
  const saved = async (changes?: Partial<Chart>): Promise<Chart> => {
    const chart = chartOf(changes)
    await store.save(chart)
    return chart
  }

  t.test('a chart comes back as it was saved', async t => {
    const contents: JsonValue[] = [null, '', 0, -1.5e-7, [], { b: 1, a: [null, { deep: true }] }, 'ü 😀 \u0000 \u2028', '\ud800', 'x'.repeat(1_000_000)]
    for (const content of contents) {
      const chart = await saved({ content, adjustment_query: 'drop table charts; -- \'" \u0000' })
      const found = await store.get(chart.chart_id)
      t.strictSame(found, chart)
      t.equal(JSON.stringify(found), JSON.stringify(chart), 'keys are in their order')
    }
    t.equal(await store.get(crypto.randomUUID()), null)
  })

  t.test('saved twice, it is there once; deleted, it is gone', async t => {
    const chart = await saved()
    await Promise.all([store.save(chart), store.save(chart)])
    t.strictSame(await store.findByMessage(chart.message_id, { user_id: 'ada' }), [chart])
    await store.delete(chart.chart_id)
    t.equal(await store.get(chart.chart_id), null)
    await store.delete(chart.chart_id)
  })

  t.test('by message: own charts, and what is shared within the org; newest first, a hundred of them', async t => {
    const message_id = crypto.randomUUID()
    for (const [user_id, org_id] of [['ada', 'acme'], ['bob', 'acme'], ['eve', 'other'], ['joe', null], ['ada', 'other']] as const) {
      for (const visibility of ['PRIVATE', 'ORGANIZATION', 'PUBLIC'] as const) await saved({ message_id, user_id, org_id, visibility })
    }
    const foundBy = async (user_id: string, org_id: string | null) =>
      (await store.findByMessage(message_id, { user_id, org_id })).map(chart => `${chart.user_id}@${chart.org_id} ${chart.visibility}`)
    const all = (owner: string) => [`${owner} PUBLIC`, `${owner} ORGANIZATION`, `${owner} PRIVATE`]
    const shared = (owner: string) => all(owner).slice(0, 2)
    t.same(await foundBy('ada', 'acme'), [...all('ada@other'), ...shared('bob@acme'), ...all('ada@acme')])
    t.same(await foundBy('eve', 'other'), [...shared('ada@other'), ...all('eve@other')])
    t.same(await foundBy('joe', null), all('joe@null'))
    t.same(await foundBy('kim', null), [], 'two without an org share nothing')
    t.same(await store.findByMessage(message_id, { user_id: 'kim' }), [])

    const many = crypto.randomUUID()
    for (let i = 0; i < 101; i++) await saved({ message_id: many, content: i })
    const listed = await store.findByMessage(many, { user_id: 'ada' })
    t.same(listed.map(({ content }) => content), Array.from({ length: 100 }, (_, i) => 100 - i))
  })

  t.test('under the plugin: the result, the message, the org, and a task that is gone', async t => {
    const host = await startHost(t, 'memory', { chartStore: store, retention: { task: 1, messageIndex: 1 }, now: () => now })
    let now = Date.now()
    const message_id = crypto.randomUUID()
    const task = await host.as('ada@acme').finished({ content: { bars: 3 } }, { message_id, visibility: 'ORGANIZATION' })
    t.match((await host.as('bob@acme').get(`/async/${task.task_id}/result`)).json(), { chart_id: task.chart_id, content: { bars: 3 } })
    now += 60_000
    t.equal((await host.as('ada@acme').get(`/async/${task.task_id}/result`)).statusCode, 404, 'its task is no longer kept')
    for (const [user, expected] of [['ada@acme', 1], ['bob@acme', 1], ['eve@other', 0]] as const) {
      t.equal((await host.as(user).get(`/by-message/${message_id}`)).json().charts.length, expected, user)
    }
  })

  t.test('a call ends in time, also at the server; then all goes on', async t => {
    const hurried = chartPool({ connectionString: server.url, max: 1, statement_timeout: 300, query_timeout: 5_000 }, error => errors.push(error))
    t.teardown(() => hurried.end())
    const other = new Client({ connectionString: server.url })
    await other.connect()
    t.teardown(() => other.end())
    await other.query('begin; lock table charts')
    const slow = postgresChartStore(hurried)
    const chart = chartOf()
    await t.rejects(slow.save(chart), { code: '57014' }, 'cancelled by the server')
    const host = await startHost(t, 'memory', { chartStore: slow })
    t.match((await host.as('ada').get(`/by-message/${chart.message_id}`)).json(), { statusCode: 503, code: 'CHARTS_ERR_STORE_UNAVAILABLE' })
    await other.query('rollback')
    await slow.save(chart)
    t.strictSame(await slow.get(chart.chart_id), chart)
  })

  t.test('a server that does not answer at all is given up by the pool', async t => {
    const hurried = chartPool({ connectionString: server.url, max: 1, statement_timeout: 0, query_timeout: 300 }, error => errors.push(error))
    t.teardown(() => hurried.end())
    await t.rejects(hurried.query('select pg_sleep(600)'), { message: 'Query read timeout' })
    t.same((await hurried.query('select 1 as one')).rows, [{ one: 1 }], 'on a connection of its own')
  })

  t.test('connections that the server ends are replaced', async t => {
    await pool.query('select 1')
    const other = new Client({ connectionString: server.url })
    await other.connect()
    t.teardown(() => other.end())
    await other.query('select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and backend_type = $1', ['client backend'])
    // A connection whose end nobody has noticed yet would fail its next query.
    await until(() => pool.totalCount === 0)
    t.ok(errors.length > 0)
    const chart = await saved()
    t.strictSame(await store.get(chart.chart_id), chart)
  })

  const fill = (pool: Pool, count: number, created_at: string) => pool.query(
    'insert into charts select gen_random_uuid(), gen_random_uuid(), $1, null, $2, $3, $4 from generate_series(1, $5)',
    ['ada', 'PRIVATE', created_at, '{}', count])

  t.test('old charts are deleted, by several at once, and no others', async t => {
    const border = new Date('2025-06-01T00:00:00Z')
    await fill(pool, 2_500, '2025-05-31T23:59:59Z')
    const kept = await saved({ created_at: border.toISOString() })
    const deleted = await Promise.all([deleteOldCharts(pool, border), deleteOldCharts(pool, border)])
    t.equal(deleted[0]! + deleted[1]!, 2_500)
    t.ok(await store.get(kept.chart_id))
    t.equal(await deleteOldCharts(pool, border), 0)
    await fill(pool, 1, '2025-01-01T00:00:00Z')
    await t.rejects(deleteOldCharts(pool, border, AbortSignal.abort(new Error('leaving'))), { message: 'leaving' })
    t.equal(await deleteOldCharts(pool, border), 1)
  })

  t.test('the job deletes them, and refuses a number of days that is none', async t => {
    await pool.query('delete from charts')
    await fill(pool, 2, new Date(Date.now() - 9 * 86_400_000).toISOString())
    await fill(pool, 1, new Date(Date.now() - 5 * 86_400_000).toISOString())
    const job = (CHART_DAYS: string) => promisify(execFile)(process.execPath, [...process.execArgv, fileURLToPath(new URL('dist/examples/postgres/retention.js', root))], {
      env: { PATH: process.env['PATH'], DATABASE_URL: server.url, CHART_DAYS }
    })
    t.equal((await job('7')).stdout, '2 charts of more than 7 days were deleted\n')
    for (const days of ['0', '-1', 'a week']) {
      const { code, stderr } = await job(days).catch(error => error)
      t.equal(code, 1)
      t.match(stderr, /CHART_DAYS must be a number from 1 on/)
    }
    t.equal((await pool.query('select from charts')).rowCount, 1)
  })
})
