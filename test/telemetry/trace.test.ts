import { fork } from 'node:child_process'
import { once } from 'node:events'
import { randomBytes } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { context, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api'
import t from 'tap'
import { ChartGenerationError } from '../../lib/index.ts'
import { otel } from '../../lib/otel/index.ts'
import type { TracedWorkerEvent } from '../fixtures/traced-worker.ts'
import { startHost } from '../helpers/app.ts'
import { inTime, until } from '../helpers/gate.ts'
import { startQueue, stores } from '../helpers/queue.ts'
import { redisUrl } from '../helpers/redis.ts'
import { recordTraces, type SeenSpan } from '../helpers/telemetry.ts'

const fixture = fileURLToPath(new URL('../fixtures/traced-worker.js', import.meta.url))

interface TracedWorker {
  readonly spans: SeenSpan[]
  next (event: TracedWorkerEvent['event']): Promise<void>
  fail (): void
}

/** A worker process with an SDK of its own. */
async function startTracedWorker (t: { teardown (ended: () => unknown): unknown }, keyPrefix: string): Promise<TracedWorker> {
  const child = fork(fixture, { env: { PATH: process.env['PATH'], REDIS_URL: await redisUrl(), KEY_PREFIX: keyPrefix } })
  t.teardown(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGKILL')
    await once(child, 'exit')
  })
  const events: TracedWorkerEvent[] = []
  child.on('message', (event: TracedWorkerEvent) => events.push(event))
  const worker: TracedWorker = {
    get spans () { return events.filter(event => event.event === 'span').map(({ span }) => span) },
    next: event => until(() => events.some(seen => seen.event === event), 60_000),
    fail: () => { child.send('fail') }
  }
  await inTime(worker.next('ready'), 60_000, 'the start of a worker')
  return worker
}

/** The headers of an instrumented client. */
function clientTrace () {
  const trace_id = randomBytes(16).toString('hex')
  const span_id = randomBytes(8).toString('hex')
  return { trace_id, span_id, headers: { traceparent: `00-${trace_id}-${span_id}-01`, tracestate: 'vendor=1' } }
}

const process_ = /^process /
const nameIs = (name: string) => (span: SeenSpan) => span.name === name

t.test('one trace goes from a POST through a worker process that fails, another that retries, steps and spans of the generator, to the end', { skip: !stores.includes('redis') && 'needs Redis' }, async t => {
  const web = recordTraces(t)
  const host = await startHost(t, 'redis', { telemetry: otel({ tracer: web.tracer }), retry: { backoff: { delay: 0 } } })
  const { keyPrefix } = host
  const client = clientTrace()
  const first = await startTracedWorker(t, keyPrefix)
  const { task_id } = (await host.as('ada').post({ message_id: crypto.randomUUID() }, client.headers)).json()
  await first.next('started')
  first.fail()
  await first.next('done')

  const second = recordTraces(t)
  const queue = await startQueue(t, 'redis')
  await queue.work(async (_request, { step, trace: told }) => {
    t.match(told?.traceparent, new RegExp(`^00-${client.trace_id}-[0-9a-f]{16}-01$`), 'what is not instrumented can be told')
    return { rows: await step('query', () => 1), chart: await step('render', () => second.tracer.startActiveSpan('vega', async span => { span.end() })) ?? null }
  }, { redis: host.redis!, keyPrefix, telemetry: otel({ tracer: second.tracer }) })
  const render = await second.span(process_)
  await until(async () => (await host.service.getTaskStatus(task_id))?.status === 'COMPLETED')

  const send = await web.span(`send ${keyPrefix}`)
  t.match(send, { kind: SpanKind.PRODUCER, trace_id: client.trace_id, parent_id: client.span_id, status: SpanStatusCode.UNSET })
  t.match(send.attributes, { 'messaging.message.id': task_id, 'async_charts.outcome': 'queued' })

  const failed = first.spans.find(({ name }) => process_.test(name))!
  const link = { span_id: send.span_id, trace_id: client.trace_id, tracestate: 'vendor=1', attributes: { 'async_charts.link': 'send' } }
  t.match(failed, {
    name: `process ${keyPrefix}`,
    kind: SpanKind.CONSUMER,
    trace_id: client.trace_id,
    parent_id: send.span_id,
    status: SpanStatusCode.ERROR,
    links: [link],
    events: [{ name: 'exception', attributes: { 'exception.message': 'the database went away' } }],
    attributes: { 'messaging.message.id': task_id, 'async_charts.attempt': 1, 'async_charts.outcome': 'failed', 'error.type': 'CHARTS_ERR_GENERATION_FAILED' }
  })
  const failedStep = first.spans.find(nameIs('step query'))!
  t.match(failedStep, { kind: SpanKind.INTERNAL, trace_id: client.trace_id, parent_id: failed.span_id, attributes: { 'async_charts.step.remembered': false } })
  t.match(first.spans.find(nameIs('SELECT')), { trace_id: client.trace_id, parent_id: failedStep.span_id }, 'a span of the generator')

  t.match(render, {
    trace_id: client.trace_id, parent_id: send.span_id, links: [link], status: SpanStatusCode.UNSET, attributes: { 'async_charts.attempt': 2, 'async_charts.outcome': 'completed' }
  })
  t.match(await second.span('step query'), { parent_id: render.span_id, attributes: { 'async_charts.step.remembered': true, 'async_charts.step.name': 'query' } })
  const step = await second.span('step render')
  t.match(await second.span('vega'), { trace_id: client.trace_id, parent_id: step.span_id })
})

for (const kind of stores) {
  t.test(`with tasks in ${kind}`, async t => {
    t.test('an active span of the host is the parent, and not what the request says', async t => {
      const { tracer, span } = recordTraces(t)
      const host = await startHost(t, kind, {
        telemetry: otel({ tracer }),
        before: app => {
          app.addHook('onRequest', (_request, _reply, done) => tracer.startActiveSpan('POST', span => {
            done()
            span.end()
          }))
        }
      })
      await host.as('ada').post({ message_id: crypto.randomUUID() }, clientTrace().headers)
      t.equal((await span(/^send /)).parent_id, (await span('POST')).span_id)
    })

    t.test('a trace that is none is passed over', async t => {
      const { tracer, all } = recordTraces(t)
      const host = await startHost(t, kind, { telemetry: otel({ tracer }) })
      const { trace_id, span_id } = clientTrace()
      const invalid = ['nonsense', `ff-${trace_id}-${span_id}-01`, `00-${'0'.repeat(32)}-${span_id}-01`, `00-${trace_id}-${'0'.repeat(16)}-01`, `00-${trace_id.toUpperCase()}x-${span_id}-01`]
      for (const traceparent of invalid) t.equal((await host.as('ada').post({ message_id: crypto.randomUUID() }, { traceparent })).statusCode, 202)
      t.same(all().map(({ parent_id }) => parent_id), invalid.map(() => null))
      const long = { traceparent: `00-${trace_id}-${span_id}-01`, tracestate: `a=${'b'.repeat(511)}` }
      const { task_id } = (await host.as('ada').post({ message_id: crypto.randomUUID() }, long)).json()
      const kept = (await host.service.getTaskDetails(task_id))!.trace!
      t.match(kept.traceparent, new RegExp(`^00-${trace_id}-`))
      t.equal(kept.tracestate, undefined, 'a tracestate that is too long is left out alone')
    })

    t.test('each task of a batch is in the trace of its create, and linked to what it depends on', async t => {
      const { tracer, all, span } = recordTraces(t)
      const queue = await startQueue(t, kind, { telemetry: otel({ tracer }) })
      await queue.work(async () => null, { telemetry: otel({ tracer }) })
      const other = await queue.enqueue()
      await queue.ended(other.task_id)
      const { tasks } = await tracer.startActiveSpan('dashboard', async dashboard => {
        const requests = [{ message_id: crypto.randomUUID(), ref: 'a' }, { message_id: crypto.randomUUID(), depends_on: ['a', other.task_id] }]
        return queue.service.enqueueChartTasks(requests, { user_id: 'ada' }).finally(() => dashboard.end())
      })
      for (const { task } of tasks) await queue.ended(task.task_id)
      const parent = await span('dashboard')
      const send = await span(/^send /, ({ parent_id }) => parent_id === parent.span_id)
      t.match(send.attributes, { 'messaging.batch.message_count': 2, 'async_charts.outcome': 'accepted' })
      const [first, dependent] = await Promise.all(tasks.map(({ task }) => span(process_, ({ attributes }) => attributes['messaging.message.id'] === task.task_id)))
      const otherSend = all().find(({ name, attributes }) => name.startsWith('send ') && attributes['messaging.message.id'] === other.task_id)!
      for (const attempt of [first!, dependent!]) t.match(attempt, { trace_id: parent.trace_id, parent_id: send.span_id })
      t.same(first!.links.map(({ span_id }) => span_id), [send.span_id])
      t.same(dependent!.links.map(({ span_id, trace_id, attributes }) => [span_id, trace_id, attributes['async_charts.link']]), [
        [send.span_id, parent.trace_id, 'send'], [send.span_id, parent.trace_id, 'dependency'], [otherSend.span_id, otherSend.trace_id, 'dependency']
      ])
    })

    t.test('a repeated request is no other for its trace', async t => {
      const { tracer, all } = recordTraces(t)
      const queue = await startQueue(t, kind, { telemetry: otel({ tracer }) })
      const message_id = crypto.randomUUID()
      const ask = (idempotencyKey?: string) => tracer.startActiveSpan('ask', async span => {
        const { outcome } = await queue.service.enqueueChartTask({ message_id }, { user_id: 'ada' }, { idempotencyKey })
        span.end()
        return outcome
      })
      t.same([await ask('key'), await ask('key'), await ask()], ['queued', 'replayed', 'already_active'])
      t.same(all().filter(({ name }) => name.startsWith('send ')).map(({ attributes }) => attributes['async_charts.outcome']), ['queued', 'replayed', 'already_active'])
    })

    t.test('an attempt that is cancelled, handed back, or refused by its generator says so', async t => {
      const { tracer, span } = recordTraces(t)
      const queue = await startQueue(t, kind, { telemetry: otel({ tracer }) })
      const generate = async ({ adjustment_query }: { adjustment_query: string | null }, { signal }: { signal: AbortSignal }) => {
        if (adjustment_query === 'refuse') throw new ChartGenerationError('No rows', { code: 'NO_ROWS' })
        return new Promise<null>((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
      }
      const worker = await queue.work(generate, { telemetry: otel({ tracer }), concurrency: 3 })
      const ask = async (adjustment_query: string | null) => (await queue.enqueue({ adjustment_query })).task_id
      const outcomeOf = async (task_id: string) => {
        const { attributes, status } = await span(process_, ({ attributes }) => attributes['messaging.message.id'] === task_id)
        return [attributes['async_charts.outcome'], attributes['error.type'], status]
      }
      const [refused, cancelled, released] = [await ask('refuse'), await ask('wait'), await ask(null)]
      for (const task_id of [cancelled, released]) await queue.state(task_id, ({ status }) => status === 'PROCESSING')
      await queue.service.cancelTask(cancelled)
      t.same(await outcomeOf(refused), ['failed', 'NO_ROWS', SpanStatusCode.ERROR])
      t.same(await outcomeOf(cancelled), ['cancelled', undefined, SpanStatusCode.UNSET])
      await worker.stop()
      t.same(await outcomeOf(released), ['released', undefined, SpanStatusCode.UNSET])
    })

    t.test('a request that is refused is a failed send', async t => {
      const { tracer, span } = recordTraces(t)
      const queue = await startQueue(t, kind, { telemetry: otel({ tracer }), limits: { waitingPerTenant: 1 } })
      await queue.enqueue()
      await t.rejects(queue.enqueue(), { code: 'CHARTS_ERR_TOO_MANY_TASKS' })
      t.match(await span(/^send /, ({ status }) => status === SpanStatusCode.ERROR), { attributes: { 'error.type': 'CHARTS_ERR_TOO_MANY_TASKS' } })
    })
  })
}

t.test('a task that nobody traced is a trace of its own in each attempt, whatever is active where the worker starts', async t => {
  const { tracer, span } = recordTraces(t)
  const queue = await startQueue(t, 'memory')
  const { task_id } = await queue.enqueue()
  await context.with(trace.setSpan(context.active(), tracer.startSpan('start-up')), () => queue.work(async () => null, { telemetry: otel({ tracer }) }))
  await queue.ended(task_id)
  t.match(await span(process_), { parent_id: null, links: [] })
})

t.test('two queues of one process are told apart, and a service that has closed is not listened to', async t => {
  const [one, other] = [recordTraces(t), recordTraces(t)]
  const [first, second] = [await startQueue(t, 'memory', { telemetry: otel({ tracer: one.tracer }) }), await startQueue(t, 'memory', { telemetry: otel({ tracer: other.tracer }) })]
  await first.enqueue()
  await second.enqueue()
  t.same([one.all().length, other.all().length], [1, 1])
  await first.service.close()
  await first.enqueue()
  t.equal(one.all().length, 1)
})
