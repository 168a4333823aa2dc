import t from 'tap'
import type { FastifyInstance } from 'fastify'
import asyncCharts, { ChartGenerationError, memoryStore } from '../../lib/index.ts'
import Fastify from 'fastify'
import { identify } from '../helpers/app.ts'
import { isStatus, isStream, readAll, readUntil, serveClient } from '../helpers/client.ts'

const message_id = 'b4fb1bd1-0f68-4e51-9d3c-3cba7b1e0b8e'
const hasEnded = ({ completed_at }: { completed_at: string | null }) => completed_at !== null
const isIncreasing = (versions: number[]) => versions.every((version, i) => i === 0 || version > versions[i - 1]!)
const isWaiting = ({ headers }: { headers: object }) => 'prefer' in headers

t.test('a token that expires in mid-stream', async t => {
  const valid = new Set(['1'])
  let token = '1'
  const { client, host, proxy } = await serveClient(t, {
    stream: { maxDuration: 200 },
    identify: ({ headers }) => valid.has(String(headers.authorization)) ? { user_id: 'ada' } : null
  })
  const charts = client({
    headers: ({ refused }) => {
      if (refused) token = '2'
      return { authorization: token }
    }
  })
  const { task_id } = await charts.create({ message_id })
  const first = proxy.next(isStream)
  const watch = charts.watch(task_id)
  await watch.next()
  await first
  await host.progress(task_id, { step: 'rendering' })
  await readUntil(watch, ({ current_step }) => current_step === 'rendering')
  const states = readAll(watch)
  valid.delete('1')
  valid.add('2')
  const again = await proxy.next(request => isStream(request) && request.headers.authorization === '2')
  t.match(again.url, /last_event_id=\w+$/, 'it says what it has seen')
  await host.finish(task_id, { content: 1 })
  t.equal((await states).at(-1)!.status, 'COMPLETED')

  const other = await charts.create({ message_id, force_create: true })
  const reopened = proxy.next(isStream)
  const rest = readAll(charts.watch(other.task_id))
  await reopened
  valid.clear()
  await t.rejects(rest, { status: 401, code: 'CHARTS_ERR_UNAUTHENTICATED' }, 'it gives up where the new one is refused too')
})

t.test('a server that restarts', async t => {
  const store = memoryStore()
  const start = async () => {
    const app: FastifyInstance = Fastify()
    t.teardown(() => app.close())
    await app.register(asyncCharts, { store, identify })
    return { app, address: await app.listen({ port: 0, host: '127.0.0.1' }) }
  }
  const { proxy, charts } = await serveClient(t)
  const first = await start()
  proxy.target = first.address
  const { task_id } = await charts.create({ message_id })
  const opened = proxy.next(isStream)
  const watch = charts.watch(task_id)
  await watch.next()
  await opened
  const rest = readAll(watch)
  await first.app.close()
  // Gone altogether for a while: refused, and then nothing but a proxy.
  await proxy.next(() => true)
  proxy.fault = () => ({ status: 502, body: 'Bad gateway' })
  await proxy.next(() => true)
  const second = await start()
  proxy.target = second.address
  proxy.fault = () => undefined
  const taken = (await second.app.asyncCharts.dequeueChartTask())!
  await second.app.asyncCharts.completeTask(task_id, taken.lease, { content: 1 })
  const states = await rest
  t.equal(states.at(-1)!.status, 'COMPLETED')
  t.ok(isIncreasing(states.map(({ version }) => version)))
})

for (const [name, fault] of [['that buffers', 'buffer'], ['that cuts', 'cut'], ['that does not know streams', { status: 502 }], ['whose page is no stream', { status: 200, body: '<p>' }]] as const) {
  t.test(`a proxy ${name}: requests that wait, and streams again later`, async t => {
    const { charts, host, proxy } = await serveClient(t)
    proxy.fault = request => isStream(request) ? fault : undefined
    const { task_id } = await charts.create({ message_id })
    const waiting = proxy.next(isWaiting)
    const watch = charts.watch(task_id)
    const states = [(await watch.next()).value!]
    t.match((await waiting).headers, { prefer: /^wait=\d+$/, 'if-none-match': /^W\// })
    await host.progress(task_id, { step: 'rendering' })
    states.push(...await readUntil(watch, ({ current_step }) => current_step === 'rendering'))
    t.ok(proxy.passed.filter(isStream).length <= 3, 'it has given up soon')

    // Of the message, there may be more.
    const other = await charts.create({ message_id, adjustment_query: 'b' })
    await host.finish(other.task_id, { content: 1 })
    t.equal((await readAll(charts.watch(other.task_id))).at(-1)!.status, 'COMPLETED')

    proxy.fault = () => undefined
    const stream = await proxy.next(isStream)
    await host.finish(task_id, { content: 1 })
    states.push(...await readAll(watch))
    t.equal(states.at(-1)!.status, 'COMPLETED')
    t.ok(isIncreasing(states.map(({ version }) => version)))
    await stream.closed
  })
}

t.test('a proxy that cuts whatever takes long: polls, at the pace of Retry-After', async t => {
  const { charts, host, proxy } = await serveClient(t)
  proxy.fault = request => isStream(request) ? 'cut' : isWaiting(request) ? { status: 504 } : undefined
  const { task_id } = await charts.create({ message_id })
  const waiting = proxy.next(isWaiting)
  const ended = readAll(charts.watch(task_id))
  await waiting
  const polled = proxy.next(request => isStatus(request) && !isWaiting(request))
  await polled
  await host.finish(task_id, { content: 1 })
  t.equal((await ended).at(-1)!.status, 'COMPLETED')
})

t.test('without streams: a whole message and a batch', async t => {
  const { charts, host, proxy } = await serveClient(t)
  proxy.fault = request => isStream(request) ? 'buffer' : undefined
  const { batch_id, tasks } = await charts.createBatch(['a', 'b', 'c'].map(adjustment_query => ({ message_id, adjustment_query })))
  const [first, second, third] = tasks.map(({ task_id }) => task_id)
  await host.finish(first!, { content: 1 })
  const batch = readAll(charts.watchBatch(batch_id))
  const watch = charts.watchMessage(message_id)
  const waiting = proxy.next(isWaiting)
  // That the first has ended comes from a listing without a stream: else the rest could end before that.
  const before = await readUntil(watch, task => task.task_id === first && hasEnded(task))
  const message = readUntil(watch, task => task.task_id === third && hasEnded(task))
  await waiting
  await host.finish(second!, { content: 1 })
  await host.finish(third!, { error: new ChartGenerationError('no') })
  for (const states of [await batch, [...before, ...await message]]) {
    const own = (task_id: string | undefined) => states.filter(state => state.task_id === task_id)
    t.equal(own(first).at(-1)!.status, 'COMPLETED')
    t.ok(isIncreasing(own(second).map(({ version }) => version)))
  }
  await watch.return!()
})

t.test('too many streams: it waits in line, and polls', async t => {
  const { charts, client, host } = await serveClient(t, { stream: { maxPerUser: 1 } })
  const tasks = await Promise.all(['a', 'b'].map(() => charts.create({ message_id: crypto.randomUUID() })))
  const ends = tasks.map(({ task_id }) => readAll(client().watch(task_id)))
  for (const { task_id } of tasks) await host.finish(task_id, { content: 1 })
  for (const states of await Promise.all(ends)) t.equal(states.at(-1)!.status, 'COMPLETED')
})

t.test('a watch waits out what a call would give up on', async t => {
  const { charts, host, proxy } = await serveClient(t)
  const { task_id } = await charts.create({ message_id })
  const refusals: Array<{ status: number, headers?: Record<string, string> }> = [429, 503].map(status => ({ status, headers: { 'retry-after': '1' } }))
  refusals.push(...Array.from({ length: 10 }, () => ({ status: 500 })))
  const times: number[] = []
  proxy.fault = () => {
    times.push(performance.now())
    return refusals.shift()
  }
  const watch = charts.watch(task_id)
  await watch.next()
  t.equal(refusals.length, 0)
  t.ok(times[1]! - times[0]! >= 995 && times[2]! - times[1]! >= 995, 'not before the time')
  await host.finish(task_id, { content: 1 })
  t.equal((await readAll(watch)).at(-1)!.status, 'COMPLETED')
})

t.test('answers that overtake each other never take a state back', async t => {
  const { client, host, proxy } = await serveClient(t)
  const { task_id } = await client().create({ message_id })
  const old = JSON.stringify(await client().status(task_id))
  for (const step of ['a', 'b']) await host.progress(task_id, { step })
  const charts = client()
  await charts.status(task_id)
  proxy.fault = request => {
    if (isStream(request)) return { status: 200, headers: { 'content-type': 'text/event-stream' }, body: `retry: 1\\nid: x\\ndata: {"type":"status_update","data":${old}}\\n\\ndata: {"type":"unknown"}\\n\\ndata: {"type\\n\\n` }
    return undefined
  }
  const watch = charts.watch(task_id)
  const states = [(await watch.next()).value!]
  await proxy.next(isWaiting)
  await host.finish(task_id, { content: 1 })
  states.push(...await readAll(watch))
  t.equal(states[0]!.current_step, 'b')
  t.ok(isIncreasing(states.map(({ version }) => version)))
})

t.test('streams that end after they were stable are opened again, however often', async t => {
  const { charts, host, proxy } = await serveClient(t, { stream: { heartbeat: 50, maxDuration: 700 } })
  const { task_id } = await charts.create({ message_id })
  const opened = [1, 2, 3, 4, 5].reduce(async previous => {
    await previous
    return proxy.next(isStream)
  }, Promise.resolve<unknown>(undefined))
  const ended = readAll(charts.watch(task_id))
  await opened
  t.same(proxy.passed.filter(isWaiting), [], 'it does not poll')
  await host.finish(task_id, { content: 1 })
  t.equal((await ended).at(-1)!.status, 'COMPLETED')
})

t.test('polls also where Retry-After is lost on the way', async t => {
  const { client, host, proxy } = await serveClient(t)
  const charts = client({
    fetch: async (...request) => {
      const { status, headers, body } = await fetch(...request)
      return new Response(body, { status, headers: [...headers].filter(([name]) => name !== 'retry-after') })
    }
  })
  proxy.fault = request => isStream(request) ? 'cut' : isWaiting(request) ? { status: 504 } : undefined
  const { task_id } = await charts.create({ message_id })
  const waiting = proxy.next(isWaiting)
  const ended = readAll(charts.watch(task_id))
  await waiting
  for (let polls = 0; polls < 3; polls++) await proxy.next(request => isStatus(request) && !isWaiting(request))
  await host.finish(task_id, { content: 1 })
  t.equal((await ended).at(-1)!.status, 'COMPLETED')
})
