import type { Attributes } from '@opentelemetry/api'
import t from 'tap'
import { ChartGenerationError, ChartQueueService, type ChartRequest, type GenerateContext } from '../../lib/index.ts'
import { otel } from '../../lib/otel/index.ts'
import { METRICS, type MetricName } from '../../lib/otel/names.ts'
import { startHost } from '../helpers/app.ts'
import { until } from '../helpers/gate.ts'
import { startQueue, stores } from '../helpers/queue.ts'
import { spyOnStore } from '../helpers/spy-store.ts'
import { openSse } from '../helpers/streams.ts'
import { labelsOf, recordMetrics, valueOf, type Metrics } from '../helpers/telemetry.ts'

/** What its adjustment says: `fail`, `refuse`, `wait` for the signal, else at once, with a step. */
async function generate ({ adjustment_query }: ChartRequest, { attempt, signal, step }: GenerateContext): Promise<null> {
  await step('query', () => 1)
  if (adjustment_query === 'fail' && attempt === 1) throw new Error('the database went away')
  if (adjustment_query === 'refuse') throw new ChartGenerationError('No rows', { code: 'NO_ROWS' })
  if (adjustment_query === 'wait') await new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
  return null
}

/** Collects until the metric has so much: what has happened is counted once its reply has come. */
async function counted (metrics: Metrics, name: MetricName, labels: Attributes, value: number): Promise<void> {
  let last: number | null = null
  await until(async () => {
    last = valueOf(await metrics.collect(), name, labels)
    return last === value
  }).catch(() => { throw new Error(`${name} ${JSON.stringify(labels)}: ${last}, not ${value}`) })
}

for (const kind of stores) {
  t.test(`with tasks in ${kind}`, async t => {
    t.test('what happens to tasks is counted and measured, by labels that name nobody', async t => {
      const metrics = recordMetrics(t)
      const telemetry = otel({ meter: metrics.meter })
      const queue = await startQueue(t, kind, { telemetry })
      await queue.work(generate, { telemetry, concurrency: 3 })
      const destination = { 'messaging.system': 'fastify_async_charts', 'messaging.destination.name': queue.keyPrefix }
      const message_id = crypto.randomUUID()
      const user = { user_id: 'ada-of-the-labels', org_id: 'acme-of-the-labels' }
      const completed = await queue.run({ message_id }, user)
      await queue.service.enqueueChartTask({ message_id }, user)
      await queue.run({ adjustment_query: 'fail', priority: 'high' }, user)
      const refused = await queue.run({ adjustment_query: 'refuse' }, user)
      const { task_id } = await queue.enqueue({ adjustment_query: 'wait' }, user)
      await queue.state(task_id, ({ current_step, step_progress }) => current_step === 'query' && step_progress['query'] === 100)
      await queue.service.cancelTask(task_id)
      await counted(metrics, 'async_charts.cancel.latency', {}, 1)
      await t.rejects(queue.service.enqueueChartTask({ message_id: 'none' }, user), { code: 'CHARTS_ERR_INVALID_REQUEST' })

      const operation = (name: string) => ({ ...destination, 'messaging.operation.name': name })
      const expected: ReadonlyArray<readonly [MetricName, Attributes, number]> = [
        ['messaging.client.sent.messages', { ...operation('send'), 'async_charts.outcome': 'queued' }, 4],
        ['messaging.client.sent.messages', { 'async_charts.outcome': 'chart_exists' }, 1],
        ['messaging.client.sent.messages', { 'error.type': 'CHARTS_ERR_INVALID_REQUEST' }, 1],
        ['messaging.client.consumed.messages', operation('claim'), 5],
        ['messaging.client.operation.duration', operation('send'), 6],
        ['messaging.client.operation.duration', operation('cancel'), 1],
        ['messaging.process.duration', { ...operation('process'), 'async_charts.outcome': 'completed' }, 2],
        ['messaging.process.duration', { 'async_charts.outcome': 'failed', 'error.type': 'NO_ROWS' }, 1],
        ['messaging.process.duration', { 'async_charts.outcome': 'failed', 'error.type': 'CHARTS_ERR_GENERATION_FAILED' }, 1],
        ['messaging.process.duration', { 'async_charts.outcome': 'cancelled' }, 1],
        ['async_charts.tasks.finished', { ...destination, status: 'COMPLETED' }, 2],
        ['async_charts.tasks.finished', { status: 'FAILED', 'error.type': 'NO_ROWS' }, 1],
        ['async_charts.tasks.finished', { status: 'CANCELLED' }, 1],
        ['async_charts.attempts', { outcome: 'completed' }, 2],
        ['async_charts.attempts', { outcome: 'failed' }, 2],
        ['async_charts.attempts', { outcome: 'cancelled' }, 1],
        ['async_charts.requests.refused', { code: 'CHARTS_ERR_INVALID_REQUEST' }, 1],
        ['async_charts.task.wait.duration', { priority: 'normal' }, 3],
        ['async_charts.task.wait.duration', { priority: 'high' }, 1],
        ['async_charts.task.duration', { status: 'COMPLETED' }, 2],
        ['async_charts.task.duration', { status: 'FAILED' }, 1],
        ['async_charts.step.duration', { step: 'query', remembered: false }, 4],
        ['async_charts.step.duration', { step: 'query', remembered: true }, 1]
      ]
      for (const [name, labels, value] of expected) await counted(metrics, name, labels, value)

      const all = await metrics.collect()
      for (const name of ['claim', 'settle']) t.ok(valueOf(all, 'messaging.client.operation.duration', operation(name)), name)
      const said = [user.user_id, user.org_id, message_id, completed.task_id, refused.task_id, task_id]
      for (const [name, data] of all) {
        const known: readonly string[] = ['messaging.system', 'messaging.destination.name', ...METRICS[name as MetricName].labels]
        for (const labels of labelsOf(data)) {
          t.same(Object.keys(labels).filter(label => !known.includes(label)), [], name)
          for (const value of Object.values(labels)) t.notOk(said.includes(String(value)), `${name} names nobody`)
        }
      }
    })

    t.test('a lease that expires, and what its worker still says', async t => {
      const metrics = recordMetrics(t)
      const queue = await startQueue(t, kind, { telemetry: otel({ meter: metrics.meter }), leaseDuration: 100 })
      const { task_id } = await queue.enqueue()
      const first = (await queue.service.dequeueChartTask('one'))!
      await until(async () => (await queue.service.dequeueChartTask('other'))?.task.task_id === task_id)
      await queue.service.completeTask(task_id, first.lease, { content: null })
      await counted(metrics, 'async_charts.leases.expired', {}, 1)
      await counted(metrics, 'async_charts.attempts', { outcome: 'expired' }, 1)
      await counted(metrics, 'async_charts.attempts', { outcome: 'stale' }, 1)
    })

    t.test('what waits for other tasks, or has waited before, is no wait for a worker', async t => {
      const metrics = recordMetrics(t)
      const queue = await startQueue(t, kind, { telemetry: otel({ meter: metrics.meter }) })
      const first = await queue.enqueue()
      await queue.enqueue({ depends_on: [first.task_id] })
      const taken = (await queue.service.dequeueChartTask())!
      await queue.service.releaseTask(taken.task.task_id, taken.lease)
      const again = (await queue.service.dequeueChartTask())!
      await queue.service.completeTask(again.task.task_id, again.lease, { content: null })
      t.ok(await queue.service.dequeueChartTask(), 'the dependent')
      await counted(metrics, 'messaging.client.consumed.messages', {}, 3)
      await counted(metrics, 'async_charts.task.wait.duration', {}, 1)
    })

    t.test('the state of the queue is read at each collection', async t => {
      const metrics = recordMetrics(t)
      const queue = await startQueue(t, kind, { telemetry: otel({ meter: metrics.meter }) })
      await queue.enqueue()
      await queue.enqueue()
      await queue.enqueue({ run_at: new Date(Date.now() + 3_600_000).toISOString() })
      await queue.service.dequeueChartTask()
      await queue.service.pauseQueue()
      const gauges = async () => {
        const all = await metrics.collect()
        const states = ['waiting', 'delayed', 'processing'].map(state => valueOf(all, 'async_charts.tasks', { state, 'messaging.destination.name': queue.keyPrefix }))
        return [...states, valueOf(all, 'async_charts.queue.paused'), (valueOf(all, 'async_charts.queue.oldest.age') ?? -1) >= 0]
      }
      t.same(await gauges(), [1, 1, 1, 1, true])
      await queue.service.resumeQueue()
      t.equal((await gauges())[3], 0)
      await until(async () => valueOf(await metrics.collect(), 'async_charts.feed.up') === 1)
      t.equal(valueOf(await metrics.collect(), 'async_charts.worker.slots'), null, 'there is no worker here')
      const worker = await queue.work(async (_request, { signal }) => new Promise<null>((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason))), { concurrency: 3, telemetry: otel({ meter: metrics.meter }) })
      const slots = async () => {
        const all = await metrics.collect()
        return ['used', 'free'].map(state => valueOf(all, 'async_charts.worker.slots', { state })).join()
      }
      await until(async () => await slots() === '1,2')
      await worker.stop()
    })

    t.test('an estimate is compared with the end of its chart, wherever this process hears of that', async t => {
      const metrics = recordMetrics(t)
      const queue = await startQueue(t, kind, { telemetry: otel({ meter: metrics.meter }) })
      const finish = async () => {
        const { task, lease } = (await queue.service.dequeueChartTask())!
        await queue.service.completeTask(task.task_id, lease, { content: null })
      }
      // What estimates are learnt from.
      for (let i = 0; i < 3; i++) {
        await queue.enqueue()
        await finish()
      }
      const { task_id } = await queue.enqueue()
      await queue.service.dequeueChartTask()
      await until(async () => (await queue.service.getTaskStatus(task_id))?.estimated_completion != null)
      const details = (await queue.service.getTaskDetails(task_id))!
      await queue.service.completeTask(task_id, details.attempts.at(-1)!.lease, { content: null })
      await until(async () => (valueOf(await metrics.collect(), 'async_charts.estimate.error') ?? 0) >= 1)
    })
  })
}

t.test('streams and refusals of the routes', async t => {
  const metrics = recordMetrics(t)
  const host = await startHost(t, 'memory', { telemetry: otel({ meter: metrics.meter }) })
  const base = await host.listen()
  const { task_id } = await host.as('ada').create()
  const stream = await openSse(`${base}/stream/${task_id}`, { 'x-user': 'ada' })
  await counted(metrics, 'async_charts.streams', { transport: 'sse' }, 1)
  const waiting = host.as('ada').get(`/async/${task_id}/status`, { prefer: 'wait=30' })
  await counted(metrics, 'async_charts.streams', { transport: 'wait' }, 1)
  await host.finish(task_id, { content: null })
  await waiting
  await counted(metrics, 'async_charts.streams', { transport: 'wait' }, 0)
  await counted(metrics, 'async_charts.streams', { transport: 'sse' }, 0)
  await stream.rest()

  await host.nobody.get(`/async/${task_id}/status`)
  await host.as('bob').get(`/async/${task_id}/status`)
  await host.as('ada').post({ message_id: 'none' })
  await host.as('ada').post('{')
  for (const code of ['CHARTS_ERR_UNAUTHENTICATED', 'CHARTS_ERR_TASK_NOT_FOUND', 'FST_ERR_VALIDATION', 'FST_ERR_CTP_INVALID_JSON_BODY']) {
    await counted(metrics, 'async_charts.requests.refused', { code }, 1)
  }
})

t.test('a stream that is refused because the store is away is told, although it is no error of its route', async t => {
  const metrics = recordMetrics(t)
  const queue = await startQueue(t, 'memory')
  const spy = spyOnStore(queue)
  const host = await startHost(t, 'memory', { store: spy.store, telemetry: otel({ meter: metrics.meter }) })
  spy.lose('request', 'read')
  const { statusCode, body } = await host.as('ada').get(`/stream/${crypto.randomUUID()}`)
  t.equal(statusCode, 200)
  t.match(body, /not reachable/)
  await counted(metrics, 'async_charts.requests.refused', { code: 'CHARTS_ERR_STORE_UNAVAILABLE' }, 1)
})

t.test('a refusal that the service and a route see is one, and a code of a host is none', async t => {
  const metrics = recordMetrics(t)
  let fails = false
  const host = await startHost(t, 'memory', {
    telemetry: otel({ meter: metrics.meter }),
    limits: { waitingPerTenant: 1 },
    authorize: () => { if (fails) throw Object.assign(new Error('no such tenant'), { code: 'TENANT_4711' }); return true }
  })
  await host.as('ada').create()
  t.equal((await host.as('ada').post({ message_id: crypto.randomUUID() })).statusCode, 429)
  await counted(metrics, 'async_charts.requests.refused', { code: 'CHARTS_ERR_TOO_MANY_TASKS' }, 1)
  fails = true
  t.equal((await host.as('ada').post({ message_id: crypto.randomUUID() })).statusCode, 500)
  await counted(metrics, 'async_charts.requests.refused', { code: '_OTHER' }, 1)
})

t.test('the store is asked once at each collection, however many services a process has', async t => {
  const metrics = recordMetrics(t)
  const queue = await startQueue(t, 'memory')
  const spy = spyOnStore(queue)
  const services = [{}, {}, { queueGauges: false }].map(options => new ChartQueueService({
    store: spy.store, keyPrefix: queue.keyPrefix, telemetry: otel({ meter: metrics.meter, ...options })
  }))
  t.teardown(() => Promise.all(services.map(service => service.close())))
  await metrics.collect()
  t.equal(spy.calls('stats'), 1)
  await services[0]!.close()
  await metrics.collect()
  t.equal(spy.calls('stats'), 2, 'another one goes on')
  await services[1]!.close()
  await counted(metrics, 'async_charts.feed.up', {}, 1)
  t.equal(spy.calls('stats'), 2, 'the one that is left was told not to')
})

t.test('a store that does not answer leaves gauges out, and fails no collection', async t => {
  const metrics = recordMetrics(t)
  const queue = await startQueue(t, 'memory')
  const spy = spyOnStore(queue)
  const service = new ChartQueueService({ store: spy.store, telemetry: otel({ meter: metrics.meter }) })
  t.teardown(() => service.close())
  spy.lose('request', 'stats')
  const all = await metrics.collect()
  t.equal(valueOf(all, 'async_charts.tasks'), null)
  await counted(metrics, 'async_charts.feed.up', {}, 1)
})

t.test('names of steps and codes of a host do not become series without end', async t => {
  const metrics = recordMetrics(t)
  const telemetry = otel({ meter: metrics.meter })
  const queue = await startQueue(t, 'memory', { telemetry })
  await queue.work(async (_request, { step }) => {
    for (let i = 0; i < 150; i++) await step(`step ${i}`, () => i)
    return null
  }, { telemetry })
  await queue.run()
  const data = (await metrics.collect()).get('async_charts.step.duration')!
  t.equal(data.dataPoints.length, 101)
  await counted(metrics, 'async_charts.step.duration', { step: '_OTHER' }, 50)
})

t.test('options that are none are refused', async t => {
  const code = 'CHARTS_ERR_INVALID_OPTIONS'
  t.throws(() => otel({ tracr: 1 } as never), { code, message: /tracr is not an option of otel\(\); known are tracer, meter, queueGauges/ })
  t.throws(() => otel({ tracer: {} as never }), { code, message: /tracer of otel\(\) must be a tracer/ })
  t.throws(() => otel({ meter: null as never }), { code, message: /meter of otel\(\) must be a meter/ })
  t.throws(() => otel({ queueGauges: 1 as never }), { code, message: /queueGauges of otel\(\) must be boolean/ })
  t.throws(() => otel(null as never), { code, message: /must be an object/ })
  await t.rejects(startHost(t, 'memory', { telemetry: {} as never }), { code, message: /options\.telemetry must have the methods listen/ })
})
