import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { parser } from '@prometheus-io/lezer-promql'
import t from 'tap'
import { parse } from 'yaml'
import { ChartGenerationError, type ChartRequest, type GenerateContext } from '../../lib/index.ts'
import { otel } from '../../lib/otel/index.ts'
import { ATTRIBUTES, LABELS, METRICS, type MetricName } from '../../lib/otel/names.ts'
import { channels, tracingChannels } from '../../lib/telemetry/channels.ts'
import { startHost } from '../helpers/app.ts'
import { until } from '../helpers/gate.ts'
import { followGuide } from '../helpers/guide.ts'
import { readPage, snippetsOf } from '../helpers/markdown.ts'
import { prometheusName } from '../helpers/prometheus.ts'
import { startQueue } from '../helpers/queue.ts'
import { root } from '../helpers/root.ts'
import { openSse } from '../helpers/streams.ts'
import { recordTraces } from '../helpers/telemetry.ts'

const page = readPage('docs/reference/telemetry.md')
const section = (heading: string) => page.split(/^## /m).find(part => part.startsWith(`${heading}\n`))!
/** Rows of a table whose first cell is code. */
const rowsOf = (heading: string) => [...section(heading).matchAll(/^\| `([^`]+)` \|(.*)\|$/gm)].map(([, name, rest]) => ({ name: name!, cells: rest!.split('|').map(cell => cell.trim()) }))
const codesOf = (cell: string) => [...cell.matchAll(/`([^`]+)`/g)].map(([, code]) => code!)

t.test('the table of metrics is the one that they are made from', t => {
  const documented = rowsOf('Metrics').map(({ name, cells: [kind, unit, labels] }) => [name, { kind, unit: codesOf(unit!)[0] ?? '', labels: codesOf(labels!) }])
  const made = Object.entries(METRICS).map(([name, { kind, unit, labels }]) => [name, { kind, unit, labels: [...labels] }])
  t.same(Object.fromEntries(documented), Object.fromEntries(made))
  t.equal(documented.length, made.length, 'each once')
  t.end()
})

/** What its adjustment says: `fail` twice, fail in a `step`, `wait` for the signal, else at once. */
async function generate ({ adjustment_query }: ChartRequest, { attempt, signal, step }: GenerateContext): Promise<null> {
  await step('query', () => 1)
  if (adjustment_query === 'fail') throw new ChartGenerationError('No rows', { code: 'NO_ROWS', retryable: attempt === 1, retryDelay: 0 })
  if (adjustment_query === 'step') await step('render', () => { throw new Error('no canvas') })
  if (adjustment_query === 'wait') await new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
  return null
}

t.test('the tables of attributes and channels are what is seen of all that can happen', async t => {
  const seen = new Map<string, Set<string>>()
  const listeners: Array<() => void> = []
  const hear = (name: string, channel: string) => {
    const fields = seen.get(name) ?? new Set()
    seen.set(name, fields)
    // A message that is told at the end has the fields that were set until then.
    const listener = (message: unknown) => { for (const [field, value] of Object.entries(message as object)) if (value !== undefined) fields.add(field) }
    subscribe(channel, listener)
    listeners.push(() => unsubscribe(channel, listener))
  }
  for (const name of Object.keys(tracingChannels)) for (const part of ['start', 'asyncEnd']) hear(`fastify-async-charts:${name}`, `tracing:fastify-async-charts:${name}:${part}`)
  for (const { name } of Object.values(channels)) hear(String(name), String(name))
  t.teardown(() => { for (const off of listeners) off() })

  const { tracer, all } = recordTraces(t)
  const telemetry = otel({ tracer })
  const queue = await startQueue(t, 'memory', { telemetry, limits: { waitingPerTenant: 10 }, leaseDuration: 100 })
  const worker = await queue.work(generate, { telemetry, concurrency: 1 })
  await queue.run()
  t.match(await queue.run({ adjustment_query: 'fail' }), { attempt: 2 })
  t.match(await queue.run({ adjustment_query: 'step' }), { status: 'FAILED' })
  const { tasks } = await queue.service.enqueueChartTasks([{ message_id: crypto.randomUUID(), ref: 'a' }, { message_id: crypto.randomUUID(), depends_on: ['a'] }], { user_id: 'ada' })
  for (const { task } of tasks) await queue.ended(task.task_id)
  const waiting = await queue.enqueue({ adjustment_query: 'wait' })
  await queue.state(waiting.task_id, ({ status }) => status === 'PROCESSING')
  await until(async () => (await queue.service.getTaskStatus(waiting.task_id))!.estimated_completion !== null)
  await queue.service.cancelTask(waiting.task_id)
  await until(() => seen.get('fastify-async-charts:cancel-delivered')!.size > 0)
  const estimated = await queue.enqueue()
  await queue.service.getTaskStatus(estimated.task_id)
  await queue.ended(estimated.task_id)
  await worker.stop()
  await queue.enqueue()
  const taken = (await queue.service.dequeueChartTask())!
  await until(async () => (await queue.service.dequeueChartTask())?.task.task_id === taken.task.task_id)
  await t.rejects(queue.service.enqueueChartTask({ message_id: 'none' }, { user_id: 'ada' }), { code: 'CHARTS_ERR_INVALID_REQUEST' })

  const host = await startHost(t, 'memory')
  const base = await host.listen()
  const { task_id } = await host.as('ada').create()
  const stream = await openSse(`${base}/stream/${task_id}`, { 'x-user': 'ada' })
  stream.destroy()
  await host.nobody.get(`/async/${task_id}/status`)
  await until(() => seen.get('fastify-async-charts:stream')!.has('open'))

  const documented = rowsOf('Channels').map(({ name, cells: [fields] }) => [name, codesOf(fields!).sort()] as const)
  // Node's own, of operations; and what only a thread hears is told by telemetry/threads.test.ts.
  const found = [...seen].map(([name, fields]) => [name, [...fields].filter(field => name === 'fastify-async-charts:estimate' || !['result', 'error'].includes(field)).sort()] as const)
  const thread = 'fastify-async-charts:thread'
  t.same(Object.fromEntries(found.filter(([name]) => name !== thread)), Object.fromEntries(documented.filter(([name]) => name !== thread)))
  t.same(documented.map(([name]) => name).sort(), [...seen.keys()].sort())

  const attributes = rowsOf('Spans').filter(({ cells }) => cells.length === 4)
  t.same(attributes.map(({ name }) => name).sort(), Object.values(ATTRIBUTES).sort(), 'all attributes are on the page')
  for (const [column, kind] of ['send', 'process', 'step'].entries()) {
    const spans = all().filter(({ name }) => name.startsWith(`${kind} `))
    const used = new Set(spans.flatMap(({ attributes, links }) => [attributes, ...links.map(({ attributes }) => attributes)].flatMap(Object.keys)))
    t.same([...used].sort(), attributes.filter(({ cells }) => cells[column] === 'yes').map(({ name }) => name).sort(), kind)
  }
})

/** Every query, by where it stands. */
const dashboard = JSON.parse(readFileSync(new URL('examples/grafana/async-charts.json', root), 'utf8'))
const alerts = parse(readFileSync(new URL('examples/metrics/alerts.yml', root), 'utf8'))
const guide = readPage('docs/guides/monitoring.md')
const rules: Array<{ alert: string, expr: string, labels: { severity: string } }> = alerts.groups.flatMap((group: { rules: object[] }) => group.rules)
const queries: ReadonlyArray<readonly [where: string, query: string]> = [
  ...rules.map(({ alert, expr }) => [alert, expr] as const),
  ...snippetsOf(guide).filter(({ language }) => language === 'promql').flatMap(({ source }) => source.split(/^#.*$/m).map(query => query.trim()).filter(Boolean)).map(query => [query, query] as const),
  ...dashboard.panels.flatMap((panel: { title: string, targets: Array<{ expr: string }> }) => panel.targets.map(({ expr }) => [`${panel.title}: ${expr}`, expr] as const))
]

t.test('every query can be parsed, and reads metrics and labels that there are', async t => {
  t.ok(queries.length > 40)
  const metrics = Object.keys(METRICS).map(name => prometheusName(name as MetricName))
  const labels = [...Object.values(LABELS), ...Object.values(ATTRIBUTES)].map(name => name.replaceAll('.', '_')).concat('le', 'instance')
  for (const [where, given] of queries) {
    // What Grafana fills in.
    const query = given.replaceAll(/\$\{unit\}/g, '').replaceAll('$__rate_interval', '5m').replaceAll('$queue', '.*')
    parser.parse(query).iterate({
      enter ({ name, from, to }) {
        const text = query.slice(from, to)
        if (name === '⚠') t.fail(`${where}: wrong at ${from}: ${query.slice(from, from + 20)}`)
        if (name === 'VectorSelector') t.ok(metrics.includes(/^[\w:]+/.exec(text)![0].replace(/_(bucket|sum|count)$/, '')), `${where}: ${text}`)
        if (name === 'LabelName') t.ok(labels.includes(text), `${where}: ${text}`)
      }
    })
  }
})

t.test('the dashboard reads every metric, and each of its panels has a place of its own', t => {
  const read = JSON.stringify(dashboard)
  for (const name of Object.keys(METRICS)) t.ok(read.includes(prometheusName(name as MetricName)), name)
  const places = dashboard.panels.map(({ gridPos: { x, y } }: { gridPos: { x: number, y: number } }) => `${x},${y}`)
  t.equal(new Set(places).size, places.length)
  t.end()
})

t.test('the guide has a row for every alert, and says which page', t => {
  const rows = [...guide.matchAll(/^\| `(AsyncCharts\w+)` \| (yes)? ?\|/gm)].map(([, name, pages]) => [name, pages === 'yes'])
  t.same(rows, rules.map(({ alert, labels }) => [alert, labels.severity === 'page']))
  t.end()
})

t.test('the log lines of the guide are said by the package, at that level', async t => {
  const lib = new URL('lib/', root)
  const sources = readdirSync(lib, { recursive: true, encoding: 'utf8' }).filter(file => file.endsWith('.ts')).map(file => readFileSync(new URL(file, lib), 'utf8'))
  const rows = [...guide.matchAll(/^\| `([^`]+)` \| (warn|error|info) \|/gm)]
  t.ok(rows.length > 8)
  for (const [, text, level] of rows) {
    const said = sources.some(source => source.split('\n').some((line, i, lines) => line.includes(text!) && lines.slice(Math.max(0, i - 3), i + 1).some(near => near.includes(`.${level}(`))))
    t.ok(said, `${level}: ${text}`)
  }
})

t.test('the snippets run', async t => {
  const { folder } = await followGuide(t, 'docs/reference/telemetry.md')
  const snippet = (file: string, of = folder) => import(pathToFileURL(join(of, file)).href)
  const { app } = await snippet('server.js')
  t.teardown(() => app.close())
  const { listen } = await snippet('listen.js')
  const lines: string[] = []
  listen((line: string) => lines.push(line))
  const { statusCounter } = await snippet('own-listener.js')
  const counter = statusCounter()
  const queue = await startQueue(t, 'memory', { telemetry: counter })
  await queue.work(async () => null, { telemetry: counter })
  const { task_id } = await queue.run()
  await until(() => counter.counts.get('COMPLETED') === 1)
  t.ok(lines.includes(`${queue.keyPrefix}: ${task_id} is COMPLETED`))
  t.ok(lines.includes('attempt 1 has completed'))

  const { folder: monitoring } = await followGuide(t, 'docs/guides/monitoring.md')
  const { app: metered } = await snippet('server.js', monitoring)
  t.teardown(() => metered.close())
  const { statusCode } = await metered.inject({ method: 'POST', url: '/api/v1/analytics/charts/async', headers: { prefer: 'wait=10' }, payload: { message_id: crypto.randomUUID() } })
  t.equal(statusCode, 200)
  const address = await metered.listen({ port: 0, host: '127.0.0.1' })
  t.match(await (await fetch(`${address}/metrics`)).text(), /^async_charts_tasks_finished_total\{.*status="COMPLETED".*\} 1$/m)
})
