import { tracingChannel, channel } from 'node:diagnostics_channel'
import { setImmediate } from 'node:timers/promises'
import t from 'tap'
import type { CancelDeliveredMessage, ProcessMessage } from '../../lib/index.ts'
import type { ClaimedTask } from '../../lib/store/task-store.ts'
import type { ChartTask } from '../../lib/task.ts'
import { FirstEstimates } from '../../lib/telemetry/first-estimates.ts'
import { QueueTelemetry, type TracedAttempt } from '../../lib/telemetry/queue-telemetry.ts'
import { ScriptedStore, someTask } from '../helpers/scripted-store.ts'

interface Test { teardown (end: () => unknown): unknown }

const claimed = (task = someTask()) => ({ task, priority: 'normal', lease: 1, trace: null }) as unknown as ClaimedTask
/** An attempt that was aborted, so that there is nothing to settle. */
const aborted = (abortCode: string): TracedAttempt => ({ abortCode, run: async () => null, thrownOf: () => undefined })

/** The messages that one queue publishes on a channel. */
function heard<Message extends { queue: object }> (t: Test, source: { subscribe (listener: (message: unknown) => void): void, unsubscribe (listener: (message: unknown) => void): unknown }, queue: object): Message[] {
  const messages: Message[] = []
  const listener = (message: unknown) => { if ((message as Message).queue === queue) messages.push(message as Message) }
  source.subscribe(listener)
  t.teardown(() => source.unsubscribe(listener))
  return messages
}

t.test('an attempt that lost its lease has the outcome lost, one that was cancelled the outcome cancelled', async t => {
  const telemetry = new QueueTelemetry({ keyPrefix: 'test', store: new ScriptedStore().port })
  const ends = heard<ProcessMessage>(t, tracingChannel('fastify-async-charts:process').asyncEnd, telemetry)
  await telemetry.process(claimed(), 'worker', aborted('LEASE_LOST'))
  await telemetry.process(claimed(), 'worker', aborted('CANCELLED'))
  t.same(ends.map(({ outcome }) => outcome), ['lost', 'cancelled'])
})

t.test('an attempt is not kept from its work by dependencies that cannot be read', async t => {
  const store = new ScriptedStore()
  const telemetry = new QueueTelemetry({ keyPrefix: 'test', store: store.port })
  const ends = heard<ProcessMessage>(t, tracingChannel('fastify-async-charts:process').asyncEnd, telemetry)
  for (const inspect of [async () => { throw new Error('away') }, () => new Promise(() => {})]) {
    Object.assign(store, { inspect })
    await telemetry.process(claimed(someTask({ depends_on: ['other'] })), 'worker', aborted('CANCELLED'))
  }
  t.same(ends.map(({ dependencies }) => dependencies), [[], []])
})

t.test('a cancel is delivered only if the task still says so, and an unreachable store costs the message alone', async t => {
  const store = new ScriptedStore()
  const telemetry = new QueueTelemetry({ keyPrefix: 'test', store: store.port })
  const delivered = heard<CancelDeliveredMessage>(t, channel('fastify-async-charts:cancel-delivered'), telemetry)
  const run = async (task: ChartTask) => {
    await telemetry.process(claimed(someTask(task)), 'worker', aborted('CANCELLED'))
    await setImmediate()
  }
  const cancelled = store.keep(someTask({ status: 'CANCELLED', completed_at: '2030-01-01T00:00:09.000Z' }))
  await run(cancelled)
  await run(store.keep(someTask({ status: 'COMPLETED' })))
  await run(someTask())
  store.fail(new Error('away'))
  await run(cancelled)
  t.same(delivered.map(({ task }) => task.task_id), [cancelled.task_id])
})

t.test('of more first estimates than are remembered, the oldest are forgotten', async t => {
  const estimates = new FirstEstimates()
  const estimated = (task_id: string) => someTask({ task_id, estimated_completion: '2030-01-01T00:00:10.000Z' })
  const completed = (task_id: string) => someTask({ task_id, status: 'COMPLETED', completed_at: '2030-01-01T00:00:12.000Z' })
  for (let i = 0; i <= 10_000; i++) estimates.compare(estimated(`${i}`))
  t.equal(estimates.compare(completed('0')), null)
  t.equal(estimates.compare(completed('1')), 2_000)
  t.equal(estimates.compare(completed('10000')), 2_000)
})
