import t from 'tap'
import type { ChartsClient } from '../../lib/client/index.ts'
import { isStatus, isStream, readAll, readUntil, serveClient } from '../helpers/client.ts'

const message_id = 'b4fb1bd1-0f68-4e51-9d3c-3cba7b1e0b8e'

const warnings: Error[] = []
process.on('warning', warning => warnings.push(warning))

const isIncreasing = (versions: number[]) => versions.every((version, i) => i === 0 || version > versions[i - 1]!)

t.test('the states of a task, each newer than the one before, to the finished one', async t => {
  const { charts, host, proxy } = await serveClient(t)
  const { task_id } = await charts.create({ message_id })
  const watch = charts.watch(task_id)
  const states = await readUntil(watch, () => true)
  const streams = proxy.passed.filter(isStream)
  for (const step of ['a', 'b', 'c']) {
    await host.progress(task_id, { step })
    states.push(...await readUntil(watch, ({ current_step }) => current_step === step))
  }
  await host.finish(task_id, { content: 1 })
  states.push(...await readAll(watch))
  t.equal(states[0]!.status, 'PENDING')
  t.equal(states.at(-1)!.status, 'COMPLETED')
  t.ok(isIncreasing(states.map(({ version }) => version)))
  t.ok(streams.length <= 1)

  proxy.passed.length = 0
  t.match(await readAll(charts.watch(task_id.toUpperCase())), [{ status: 'COMPLETED' }], 'one that has ended already')
})

t.test('200 cards of a message share one connection, which ends with the last of them', async t => {
  const { charts, host, proxy } = await serveClient(t)
  const tasks = []
  for (const half of [0, 1]) {
    tasks.push(...(await charts.createBatch(Array.from({ length: 100 }, (_, i) => ({ message_id, adjustment_query: `${half}.${i}` })))).tasks)
  }
  proxy.passed.length = 0
  const opened = proxy.next(isStream)
  const abort = new AbortController()
  const { signal } = abort
  const watches = tasks.map(({ task_id }) => ({ task_id, watch: charts.watch(task_id, { signal }) }))
  const first = await Promise.all(watches.map(({ watch }) => watch.next()))
  t.same(first.map(({ value }) => value?.task_id), tasks.map(({ task_id }) => task_id))
  const stream = await opened
  const ended = Promise.all(watches.slice(0, 20).map(({ watch }) => readAll(watch)))
  for (const { task_id } of tasks.slice(0, 20)) await host.finish(task_id, { content: 1 })
  t.ok((await ended).every(states => states.at(-1)!.status === 'COMPLETED'), 'also those that the stream showed last')
  t.equal(proxy.passed.filter(isStream).length, 1)

  // A late one gets the last state at once.
  const late = charts.watch(tasks[199]!.task_id)
  const count = proxy.passed.length
  t.equal((await late.next()).value?.task_id, tasks[199]!.task_id)
  t.equal(proxy.passed.length, count, 'without a request')
  abort.abort()
  for (const { watch } of watches) t.same(await watch.next(), { done: true, value: undefined })
  const silent = late.next()
  await late.return!()
  t.same(await silent, { done: true, value: undefined }, 'also who waits is told')
  await stream.closed
})

t.test('a card whose task nobody has told the client of', async t => {
  const { charts, client, host, proxy } = await serveClient(t)
  const [{ task_id: a }, { task_id: b }] = [await charts.create({ message_id }), await charts.create({ message_id, adjustment_query: 'b' })]
  proxy.passed.length = 0
  const other = client()
  const ends = Promise.all([a, b].map(task_id => readAll(other.watch(task_id))))
  await proxy.next(isStream)
  for (const task_id of [a, b]) await host.finish(task_id, { content: 1 })
  t.match((await ends).map(states => states.at(-1)), [{ task_id: a, status: 'COMPLETED' }, { task_id: b, status: 'COMPLETED' }])
  t.equal(proxy.passed.filter(isStream).length, 1)
})

t.test('break frees the connection, and a new watch opens one', async t => {
  const { charts, proxy } = await serveClient(t)
  const { task_id } = await charts.create({ message_id })
  for (let i = 0; i < 2; i++) {
    const opened = proxy.next(isStream)
    for await (const { status } of charts.watch(task_id)) {
      t.equal(status, 'PENDING')
      await opened
      if (status === 'PENDING') break
    }
    await (await opened).closed
  }
})

t.test('a watch that is never read asks for nothing', async t => {
  const { charts, proxy } = await serveClient(t)
  const { task_id } = await charts.create({ message_id })
  proxy.passed.length = 0
  charts.watch(task_id)
  charts.watchMessage(message_id)
  await new Promise(resolve => setImmediate(resolve))
  t.same(proxy.passed, [])
})

t.test('a slow reader skips states, but not the last', async t => {
  const { charts, host, proxy } = await serveClient(t)
  const { task_id } = await charts.create({ message_id })
  const watch = charts.watch(task_id)
  const opened = proxy.next(isStream)
  await watch.next()
  const stream = await opened
  for (let i = 1; i <= 20; i++) await host.progress(task_id, { progress: i })
  await host.finish(task_id, { content: 1 })
  // What has been told is not read yet, but the connection is not needed any more.
  await stream.closed
  t.match(await readAll(watch), [{ status: 'COMPLETED' }])
})

t.test('a message: its tasks, new ones too', async t => {
  const { charts, host, proxy } = await serveClient(t)
  const { task_id: old } = await host.as('ada').finished({ content: 1 }, { message_id })
  const { task_id } = await charts.create({ message_id, adjustment_query: 'a' })
  const abort = new AbortController()
  const watch = charts.watchMessage(message_id.toUpperCase(), { signal: abort.signal })
  const seen = new Set<string>()
  await readUntil(watch, task => seen.add(task.task_id).size === 2)
  t.same(seen, new Set([old, task_id]))
  const { task_id: added } = await host.as('ada').create({ message_id, adjustment_query: 'b' })
  t.match((await readUntil(watch, task => task.task_id === added)).at(-1), { status: 'PENDING' })
  // Of what the stream has told, the client knows the message.
  proxy.passed.length = 0
  const card = charts.watch(added)
  t.equal((await card.next()).value?.task_id, added)
  t.same(proxy.passed, [])
  await charts.cancel(task_id)
  t.ok((await readUntil(watch, task => task.status === 'CANCELLED')).length > 0)
  const rest = readAll(watch)
  abort.abort()
  await rest
  await card.return!()
})

t.test('a batch: all tasks, until the last has ended', async t => {
  const { charts, host, proxy } = await serveClient(t)
  const { batch_id, tasks } = await charts.createBatch(['a', 'b', 'c'].map(adjustment_query => ({ message_id, adjustment_query })))
  const opened = proxy.next(isStream)
  const watched = readAll(charts.watchBatch(batch_id))
  await opened
  for (const { task_id } of tasks) await host.finish(task_id, { content: 1 })
  const states = await watched
  for (const { task_id } of tasks) {
    const own = states.filter(state => state.task_id === task_id)
    t.equal(own.at(-1)!.status, 'COMPLETED')
    t.ok(isIncreasing(own.map(({ version }) => version)))
  }
  t.equal((await readAll(charts.watchBatch(batch_id))).length, 3, 'one that has ended already')
})

t.test('what cannot be watched says so', async t => {
  const { charts, client, host } = await serveClient(t)
  const unknown = crypto.randomUUID()
  for (const options of [{}, { signal: new AbortController().signal }]) {
    await t.rejects(readAll(charts.watch(unknown, options)), { status: 404, code: 'CHARTS_ERR_TASK_NOT_FOUND' })
  }
  await t.rejects(readAll(charts.watchBatch(unknown)), { status: 404, code: 'CHARTS_ERR_BATCH_NOT_FOUND' })
  await t.rejects(readAll(client({ headers: () => ({}) }).watchMessage(unknown)), { status: 401, code: 'CHARTS_ERR_UNAUTHENTICATED' })
  const { task_id } = await host.as('eve').create({ message_id })
  await t.rejects(readAll(charts.watch(task_id)), { code: 'CHARTS_ERR_TASK_NOT_FOUND' })
  await t.rejects(readAll(client({ headers: () => { throw new Error('signed out') } }).watchMessage(unknown)), { message: 'signed out' })
})

t.test('a task that is no longer kept ends its watch, and no other', async t => {
  let now = Date.now()
  const { charts, host, proxy } = await serveClient(t, { now: () => now })
  const old = await Promise.all(['a', 'b'].map(adjustment_query => charts.create({ message_id, adjustment_query })))
  for (const { task_id } of old) await host.finish(task_id, { content: 1 })
  now += 2 * 86_400_000
  await host.service.cleanupExpiredTasks()
  const { task_id } = await charts.create({ message_id, adjustment_query: 'c' })
  const opened = proxy.next(isStream)
  const watch = charts.watch(task_id)
  const together = readAll(charts.watch(old[0]!.task_id))
  await watch.next()
  await t.rejects(together, { code: 'CHARTS_ERR_TASK_NOT_FOUND' })
  await opened
  await t.rejects(readAll(charts.watch(old[1]!.task_id)), { status: 404, code: 'CHARTS_ERR_TASK_NOT_FOUND' }, 'one that comes later')
  await host.finish(task_id, { content: 1 })
  t.equal((await readAll(watch)).at(-1)!.status, 'COMPLETED')
  t.equal(proxy.passed.filter(isStream).length, 1)
})

t.test('the signal is aborted in every phase', async t => {
  const { proxy, client } = await serveClient(t)
  const known = await client().create({ message_id })
  const phases: Record<string, (charts: ChartsClient) => Promise<unknown>> = {
    'before it begins': async () => {},
    'while the headers are asked': async () => {},
    'while its state is asked': async () => {
      proxy.fault = () => 'hang'
      await proxy.next(isStatus)
    },
    'while the message is listed': async () => {
      proxy.fault = ({ url }) => url.includes('by-message') ? 'hang' : undefined
      await proxy.next(({ url }) => url.includes('by-message'))
    },
    'while the stream opens': async () => {
      proxy.fault = request => isStream(request) ? 'hang' : undefined
      await proxy.next(isStream)
    },
    'in the stream': () => proxy.next(isStream),
    'in a backoff': async () => {
      proxy.fault = () => ({ status: 503, headers: { 'retry-after': '60' } })
      await proxy.next(() => true)
    },
    'while a request waits': async () => {
      proxy.fault = request => isStream(request) ? 'hang' : undefined
      await proxy.next(({ headers }) => headers['prefer'] !== undefined)
    }
  }
  for (const [phase, reach] of Object.entries(phases)) {
    for (const leave of ['abort', 'return'] as const) {
      proxy.fault = () => undefined
      const abort = new AbortController()
      const reached = reach(client())
      const charts = client(phase === 'while the headers are asked' ? { headers: () => new Promise(() => {}) } : {})
      if (phase === 'before it begins') abort.abort()
      const watch = charts.watch(known.task_id, { signal: abort.signal })
      const reading = readAll(watch)
      await reached
      if (leave === 'abort') abort.abort()
      else await watch.return!()
      const states = await reading
      t.ok(states.every(({ status }) => status === 'PENDING'), `${leave} ${phase}`)
    }
  }
  proxy.fault = () => undefined
  t.equal((await client().status(known.task_id)).status, 'PENDING', 'only cancel cancels')
})

t.test('generate is aborted in every phase', async t => {
  const { proxy, client, host } = await serveClient(t, { generate: async () => 1 })
  const phases: Record<string, (url: string) => boolean> = {
    create: url => url.endsWith('/async'), list: url => url.includes('by-message'), stream: url => url.includes('/stream/'), result: url => url.endsWith('/result')
  }
  for (const [phase, isPhase] of Object.entries(phases)) {
    const abort = new AbortController()
    if (phase !== 'result') await host.service.pauseQueue()
    else await host.service.resumeQueue()
    proxy.fault = ({ url }) => isPhase(url) ? 'hang' : undefined
    const reached = proxy.next(({ url }) => isPhase(url))
    const chart = client().generate({ message_id, force_create: true }, { signal: abort.signal })
    await reached
    abort.abort(new Error('left'))
    await t.rejects(chart, { message: 'left' }, phase)
  }
})

t.test('what onUpdate throws ends generate', async t => {
  const { charts, proxy } = await serveClient(t)
  const opened = proxy.next(isStream)
  let count = 0
  const chart = charts.generate({ message_id }, { onUpdate () { if (++count === 2) throw new Error('mine') } })
  await opened
  const { task_id } = (await charts.byMessage(message_id)).active_tasks[0]!
  await charts.cancel(task_id)
  await t.rejects(chart, { message: 'mine' })
  await (await opened).closed
})

t.test('no warning of a leak', async t => t.same(warnings, []))
