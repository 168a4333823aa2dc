import { tracingChannel } from 'node:diagnostics_channel'
import { setImmediate as turn } from 'node:timers/promises'
import { SpanStatusCode } from '@opentelemetry/api'
import t from 'tap'
import { memoryStore, type ProcessMessage } from '../../lib/index.ts'
import { otel } from '../../lib/otel/index.ts'
import type { ClaimedTask } from '../../lib/store/task-store.ts'
import { QueueTelemetry } from '../../lib/telemetry/queue-telemetry.ts'
import { gate } from '../helpers/gate.ts'
import { startQueue } from '../helpers/queue.ts'
import { someTask } from '../helpers/scripted-store.ts'
import { recordMetrics, recordTraces, valueOf } from '../helpers/telemetry.ts'

t.test('what a generator throws is recorded, whatever it is', async t => {
  const odd = { get code () { throw new Error('no code') }, toString () { throw new Error('no text') } }
  for (const [name, thrown, events] of [['a string', 'no rows', 1], ['what cannot be read', odd, 0]] as const) {
    const { tracer, span } = recordTraces(t)
    const queue = await startQueue(t, 'memory', { retry: { attempts: 1 } })
    await queue.work(async (_request, { step }) => step('query', () => { throw thrown }), { telemetry: otel({ tracer }) })
    await queue.run()
    const failed = await span('step query')
    t.match(failed, { status: SpanStatusCode.ERROR, attributes: { 'error.type': '_OTHER' } }, name)
    t.equal(failed.events.length, events)
  }
})

t.test("a host's own listener keeps its part in an attempt that is traced, too", async t => {
  const { tracer, span } = recordTraces(t)
  const queue = await startQueue(t, 'memory')
  const ran: string[] = []
  const listener = (message: unknown) => {
    const { queue: { keyPrefix } } = message as ProcessMessage
    if (keyPrefix !== queue.keyPrefix) return
    ;(message as ProcessMessage).run = operation => {
      ran.push('before')
      return operation()
    }
  }
  const { start } = tracingChannel('fastify-async-charts:process')
  start.subscribe(listener)
  t.teardown(() => start.unsubscribe(listener))
  await queue.work(async () => {
    ran.push('generate')
    return 1
  }, { telemetry: otel({ tracer }) })
  await queue.run()
  await span(/^process /)
  t.same(ran, ['before', 'generate'])
})

t.test('what began before the telemetry listens has no span, and its end is no error', async t => {
  const { tracer, all } = recordTraces(t)
  const queue = await startQueue(t, 'memory')
  const [begun, goOn] = [gate(), gate()]
  let end = () => {}
  const listener = (message: unknown) => {
    const { queue: observed } = message as ProcessMessage
    // The queue as a host's listener gets it: from a message.
    if (observed.keyPrefix === queue.keyPrefix) setImmediate(() => { end = otel({ tracer }).listen(observed) })
  }
  const { start } = tracingChannel('fastify-async-charts:process')
  const { start: stepStart } = tracingChannel('fastify-async-charts:step')
  const ignore = () => {}
  start.subscribe(listener)
  stepStart.subscribe(ignore)
  t.teardown(() => {
    start.unsubscribe(listener)
    stepStart.unsubscribe(ignore)
    end()
  })
  await queue.work(async (_request, { step }) => step('query', async () => {
    begun.open()
    await goOn.opened
    return 1
  }))
  const { task_id } = await queue.enqueue()
  await begun.opened
  await turn()
  goOn.open()
  t.match(await queue.ended(task_id), { status: 'COMPLETED' })
  t.same(all(), [])
})

t.test('an attempt that fails in the worker itself is recorded as failed, with its error', async t => {
  const { tracer, span } = recordTraces(t)
  const metrics = recordMetrics(t)
  const store = memoryStore()
  const telemetry = new QueueTelemetry({ keyPrefix: 'test', store, telemetry: otel({ tracer, meter: metrics.meter }) })
  t.teardown(() => telemetry.close())
  const claimed = { task: someTask(), priority: 'normal', lease: 1, trace: null } as unknown as ClaimedTask
  const attempt = { abortCode: null, run: async () => { throw new TypeError('broken') }, thrownOf: () => undefined }
  await t.rejects(telemetry.process(claimed, 'worker', attempt), { message: 'broken' })
  t.match(await span('process test'), { status: SpanStatusCode.ERROR, attributes: { 'error.type': '_OTHER', 'async_charts.outcome': 'failed' } })
  t.equal(valueOf(await metrics.collect(), 'messaging.process.duration', { 'error.type': '_OTHER', 'async_charts.outcome': 'failed' }), 1)
})

t.test('a create that began before the telemetry listens has no span either', async t => {
  const { tracer, all } = recordTraces(t)
  const store = memoryStore()
  const telemetry = new QueueTelemetry({ keyPrefix: 'test', store })
  const { start } = tracingChannel('fastify-async-charts:send')
  const ignore = () => {}
  start.subscribe(ignore)
  t.teardown(() => start.unsubscribe(ignore))
  await telemetry.send(1, null, async () => {
    t.teardown(otel({ tracer }).listen(telemetry))
    return { task: someTask(), outcome: 'queued' as const }
  })
  t.same(all(), [])
})
