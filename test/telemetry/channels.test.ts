import { AsyncLocalStorage } from 'node:async_hooks'
import { subscribe, tracingChannel, unsubscribe } from 'node:diagnostics_channel'
import t, { type Test } from 'tap'
import type { ClaimedMessage, ObservedQueue, ProcessMessage, SendMessage, StepMessage, TaskEndedMessage } from '../../lib/index.ts'
import { channels, tracingChannels } from '../../lib/telemetry/channels.ts'
import { until } from '../helpers/gate.ts'
import { startQueue, stores, type Queue } from '../helpers/queue.ts'

const TRACE = { traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', tracestate: 'vendor=1' }
const SPAN = { traceparent: '00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01' }

type Handlers<M extends object> = Partial<Record<'start' | 'asyncEnd', (message: M) => void>>

/** Listens as a host does, by name, until the test is over. */
function trace<M extends { readonly queue: ObservedQueue }> (t: Test, name: string, queue: Queue, handlers: Handlers<M>): void {
  const channel = tracingChannel<unknown, M>(`fastify-async-charts:${name}`)
  for (const [part, handler] of Object.entries(handlers)) {
    const listener = (message: unknown) => { if ((message as M).queue.keyPrefix === queue.keyPrefix) handler(message as M) }
    channel[part as 'start'].subscribe(listener)
    t.teardown(() => channel[part as 'start'].unsubscribe(listener))
  }
}

function listen<M extends { readonly queue: ObservedQueue }> (t: Test, name: string, queue: Queue): M[] {
  const messages: M[] = []
  const listener = (message: unknown) => { if ((message as M).queue.keyPrefix === queue.keyPrefix) messages.push(message as M) }
  subscribe(`fastify-async-charts:${name}`, listener)
  t.teardown(() => unsubscribe(`fastify-async-charts:${name}`, listener))
  return messages
}

for (const kind of stores) {
  t.test(`a host that listens by name hears of a task from its create to its end, in ${kind}`, async t => {
    const queue = await startQueue(t, kind)
    const sent: SendMessage[] = []
    const processed: ProcessMessage[] = []
    const steps: StepMessage[] = []
    trace<SendMessage>(t, 'send', queue, { start: ({ count, trace }) => t.same([count, trace], [1, TRACE]), asyncEnd: message => sent.push(message) })
    trace<ProcessMessage>(t, 'process', queue, { asyncEnd: message => processed.push(message) })
    trace<StepMessage>(t, 'step', queue, { asyncEnd: message => steps.push(message) })
    const claimed = listen<ClaimedMessage>(t, 'claimed', queue)
    const ended = listen<TaskEndedMessage>(t, 'task-ended', queue)
    await queue.work(async (_request, { step }) => step('query', () => 1))
    const { task } = await queue.service.enqueueChartTask({ message_id: crypto.randomUUID(), priority: 'high' }, { user_id: 'ada' }, { trace: TRACE })
    await queue.ended(task.task_id)
    await until(() => ended.length > 0)
    t.match(sent, [{ count: 1, result: { outcome: 'queued', task: { task_id: task.task_id } } }])
    t.match(claimed, [{ task: { task_id: task.task_id, attempt: 1 }, lease: 1, priority: 'high' }])
    t.match(processed, [{ task: { task_id: task.task_id }, priority: 'high', lease: 1, trace: TRACE, outcome: 'completed' }])
    t.match(steps, [{ step: 'query', remembered: false }])
    t.match(ended, [{ task: { task_id: task.task_id, status: 'COMPLETED' } }])
  })

  t.test(`what a listener makes of a trace is stored, and what is none is not, in ${kind}`, async t => {
    const queue = await startQueue(t, kind)
    const given: Array<SendMessage['trace']> = [SPAN, { traceparent: 'nonsense' }, { ...SPAN, tracestate: 'é' }, null]
    const wanted = [SPAN, undefined, SPAN, undefined]
    let next: SendMessage['trace'] = null
    trace<SendMessage>(t, 'send', queue, { start: message => { message.trace = next } })
    const kept = []
    for (next of given) {
      const { task } = await queue.service.enqueueChartTask({ message_id: crypto.randomUUID() }, { user_id: 'ada' }, { trace: TRACE })
      kept.push((await queue.service.getTaskDetails(task.task_id))!.trace)
    }
    t.same(kept, wanted)
  })
}

t.test('where nobody listens to creates, no trace is kept', async t => {
  const queue = await startQueue(t, 'memory')
  const { task } = await queue.service.enqueueChartTask({ message_id: crypto.randomUUID() }, { user_id: 'ada' }, { trace: TRACE })
  t.equal((await queue.service.getTaskDetails(task.task_id))!.trace, undefined)
})

t.test('a generator runs in what a host binds to the attempt, and in what its listeners run it in', async t => {
  const queue = await startQueue(t, 'memory')
  const bound = new AsyncLocalStorage<string>()
  const run = new AsyncLocalStorage<string[]>()
  const { start } = tracingChannels.process
  start.bindStore(bound, ({ task }) => task.task_id)
  t.teardown(() => start.unbindStore(bound))
  for (const name of ['outer', 'inner']) {
    trace<ProcessMessage>(t, 'process', queue, {
      start (message) {
        const { run: others } = message
        message.run = operation => run.run([...run.getStore() ?? [], name], () => others ? others(operation) : operation())
      }
    })
  }
  await queue.work(async () => ({ bound: bound.getStore()!, run: run.getStore()! }))
  const task = await queue.run()
  t.same(await queue.content(task), { bound: task.task_id, run: ['inner', 'outer'] })
})

t.test('what a listener was promised is what Node calls it', t => {
  const names = Object.values({ ...tracingChannels }).map(channel => channel.start.name).concat(Object.values(channels).map(channel => channel.name))
  for (const name of names) t.match(name, /^(tracing:fastify-async-charts:[a-z]+:start|fastify-async-charts:[a-z-]+)$/)
  t.end()
})
