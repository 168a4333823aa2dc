import t from 'tap'
import { errors } from '../../lib/index.ts'
import { gate, inTime, until } from '../helpers/gate.ts'
import { startHost, storeKinds, type Host } from '../helpers/app.ts'
import { openSse } from '../helpers/streams.ts'

const ada = { 'x-user': 'ada@acme' }

interface Asked { readonly path: string, readonly prefer?: string, readonly headers?: Record<string, string>, readonly body?: object, readonly signal?: AbortSignal }

/** Asks over a connection, as who waits does. */
async function ask (base: string, { path, prefer, headers = {}, body, signal }: Asked) {
  const response = await fetch(`${base}${path}`, {
    headers: { ...ada, ...(prefer === undefined ? {} : { prefer }), ...(body ? { 'content-type': 'application/json' } : {}), ...headers },
    ...(body ? { method: 'POST', body: JSON.stringify(body) } : {}),
    ...(signal ? { signal } : {})
  })
  const text = await response.text()
  return { status: response.status, headers: response.headers, applied: response.headers.get('preference-applied'), body: text === '' ? null : JSON.parse(text) }
}

/** Resolves when somebody waits for the host's tasks to change. */
async function waited (host: Host, before: number): Promise<void> {
  await until(() => watches(host) > before)
}
const counted = new WeakMap<Host, () => number>()
const watches = (host: Host) => counted.get(host)!()

async function start (t: Parameters<typeof startHost>[0], kind: Parameters<typeof startHost>[1], options: Parameters<typeof startHost>[2] = {}): Promise<[Host, string]> {
  const host = await startHost(t, kind, options)
  let count = 0
  const watch = host.service.watchTask.bind(host.service)
  host.service.watchTask = (...args) => {
    count++
    return watch(...args)
  }
  counted.set(host, () => count)
  return [host, await host.listen()]
}

for (const kind of storeKinds) {
  t.test(`Prefer: wait on ${kind}`, async t => {
    const [host, base] = await start(t, kind)
    const asAda = host.as('ada@acme')
    const create = (prefer: string, body: object = {}) => ask(base, { path: '/async', prefer, body: { message_id: crypto.randomUUID(), ...body } })

    t.test('on create: 200 with the finished task when it ends in time', async t => {
      const seen = watches(host)
      const answer = create('wait=20')
      await waited(host, seen)
      const taken = (await host.service.dequeueChartTask())!
      await host.service.completeTask(taken.task.task_id, taken.lease, { content: 1 })
      const { status, body, applied, headers } = await inTime(answer, 5_000, 'the answer')
      t.equal(status, 200)
      t.equal(applied, 'wait=20')
      t.match(headers.get('vary'), /\bPrefer\b/)
      t.equal(headers.get('retry-after'), null)
      t.match(headers.get('location'), new RegExp(`/async/${taken.task.task_id}/status$`))
      t.match(body, { task_id: taken.task.task_id, status: 'COMPLETED', message: 'Chart generated successfully' })
      t.equal((await asAda.get(`/async/${body.task_id}/result`)).statusCode, 200)
    })

    t.test('on create: also when it fails or is cancelled', async t => {
      for (const status of ['FAILED', 'CANCELLED']) {
        const seen = watches(host)
        const answer = create('wait=20')
        await waited(host, seen)
        const taken = (await host.service.dequeueChartTask())!
        const { task_id } = taken.task
        if (status === 'CANCELLED') await asAda.delete(`/async/${task_id}`)
        else await host.service.completeTask(task_id, taken.lease, { error: Object.assign(new Error('No rows'), { name: 'ChartGenerationError', code: 'NO_DATA' }) })
        t.match(await inTime(answer, 5_000, 'the answer'), { status: 200, body: { task_id, status } })
      }
    })

    t.test('on create: 202 after the time', async t => {
      const start = performance.now()
      const { status, body, applied, headers } = await create('wait=1')
      t.ok(performance.now() - start >= 990, 'it has waited')
      t.match({ status, body, applied }, { status: 202, applied: 'wait=1', body: { status: 'PENDING', message: 'Chart generation queued successfully' } })
      t.ok(headers.get('retry-after'))
    })

    t.test('at most 30 seconds; a finished task is not waited for', async t => {
      const { task_id } = await asAda.finished({ content: 1 })
      for (const [prefer, applied] of [['wait=31', 'wait=30'], ['wait=99999999999', 'wait=30'], [`wait=${'9'.repeat(400)}`, 'wait=30'], ['wait=30', 'wait=30'], ['wait=7', 'wait=7']] as const) {
        const answer = await inTime(ask(base, { path: `/async/${task_id}/status`, prefer }), 2_000, prefer)
        t.match(answer, { status: 200, applied, body: { status: 'COMPLETED' } }, prefer)
      }
    })

    t.test('wait=0 does not wait', async t => {
      t.match(await inTime(create('wait=0'), 2_000, 'the answer'), { status: 202, applied: 'wait=0' })
    })

    t.test('on status: until it is finished', async t => {
      const { task_id } = await asAda.create()
      const seen = watches(host)
      const answer = ask(base, { path: `/async/${task_id}/status`, prefer: 'wait=20' })
      await waited(host, seen)
      await host.progress(task_id, { progress: 10 })
      await host.finish(task_id, { content: 1 })
      t.match(await inTime(answer, 5_000, 'the answer'), { status: 200, applied: 'wait=20', body: { task_id, status: 'COMPLETED' } })
    })

    t.test('on status with If-None-Match: until it changes', async t => {
      const { task_id } = await asAda.create()
      const path = `/async/${task_id}/status`
      const etag = String((await asAda.get(path)).headers['etag'])
      const seen = watches(host)
      const answer = ask(base, { path, prefer: 'wait=20', headers: { 'if-none-match': etag } })
      await waited(host, seen)
      await host.take(task_id)
      const changed = await inTime(answer, 5_000, 'the answer')
      t.match(changed, { status: 200, applied: 'wait=20', body: { status: 'PROCESSING', version: 2 } })
      t.not(changed.headers.get('etag'), etag)
      const behind = await inTime(ask(base, { path, prefer: 'wait=20', headers: { 'if-none-match': etag } }), 2_000, 'who is behind is told at once')
      t.match(behind, { status: 200, body: { version: 2 } })
      const still = await ask(base, { path, prefer: 'wait=1', headers: { 'if-none-match': changed.headers.get('etag')! } })
      t.match(still, { status: 304, applied: 'wait=1', body: null })
    })

    t.test('on result: the chart when it ends in time, else 409', async t => {
      const { task_id } = await asAda.create()
      const path = `/async/${task_id}/result`
      t.match(await ask(base, { path, prefer: 'wait=1' }), { status: 409, applied: 'wait=1', body: { code: 'CHARTS_ERR_TASK_NOT_FINISHED' } })
      const seen = watches(host)
      const answer = ask(base, { path, prefer: 'wait=20' })
      await waited(host, seen)
      await host.finish(task_id, { content: { svg: 'x' } })
      t.match(await inTime(answer, 5_000, 'the answer'), { status: 200, applied: 'wait=20', body: { task_id, content: { svg: 'x' } } })
    })

    t.test('on result: whoever may not see it is not kept waiting', async t => {
      const { task_id } = await asAda.create({ visibility: 'PUBLIC' })
      const answer = ask(base, { path: `/async/${task_id}/result`, prefer: 'wait=20', headers: { 'x-user': 'bob' } })
      t.equal((await inTime(answer, 2_000, 'the answer')).status, 404)
    })

    t.test('respond-async', async t => {
      t.match(await inTime(create('respond-async'), 2_000, 'the answer'), { status: 202, applied: 'respond-async' })
      t.match(await create('respond-async=""'), { status: 202, applied: 'respond-async' }, 'an empty value is none')
      t.match(await create('respond-async, wait=1'), { status: 202, applied: /respond-async.*wait=1/ })
    })

    t.test('unknown preferences are ignored', async t => {
      for (const prefer of ['', 'wait', 'wait=', 'wait=-1', 'wait=x', 'wait=1e3', 'wait=0x5', 'await=5', 'wait=1.5', 'foo="a, wait=1"', 'foo="a\\", wait=1', 'foo; wait=1', 'wait 1', 'return=minimal', ';;,,=', 'handling=lenient; wait']) {
        const answer = await inTime(create(prefer), 2_000, prefer)
        t.match(answer, { status: 202, applied: null }, prefer)
      }
      const { task_id } = await asAda.finished({ content: 1 })
      for (const prefer of ['WAIT=3', 'wait = 3', 'wait="3"', 'return=minimal, wait=3', 'foo; bar=1, wait=3; x', 'foo="a, wait=1", wait=3', 'foo="a\\", wait=1",wait=3', 'wait=3, wait=20', 'wait=3;']) {
        t.match(await ask(base, { path: `/async/${task_id}/status`, prefer }), { status: 200, applied: 'wait=3' }, prefer)
      }
    })

    t.test('Vary names Prefer, beside what the host has set', async t => {
      t.match((await ask(base, { path: `/async/${(await asAda.create()).task_id}/status` })).headers.get('vary'), /\bPrefer\b/, 'also without')
    })
  })

  t.test(`a shutdown ends the waits at once, on ${kind}`, async t => {
    const [host, base] = await start(t, kind)
    const { task_id } = await host.as('ada@acme').create()
    const seen = watches(host)
    const answer = ask(base, { path: `/async/${task_id}/status`, prefer: 'wait=30' })
    await waited(host, seen)
    await inTime(host.app.close(), 3_000, 'the close')
    t.match(await answer, { status: 200, body: { status: 'PENDING' } })
  })

  t.test(`a wait counts as a stream, on ${kind}`, async t => {
    const left = gate()
    const [host, base] = await start(t, kind, { stream: { maxPerUser: 1 } })
    const { task_id } = await host.as('ada@acme').create()
    const path = `/async/${task_id}/status`
    const leaving = new AbortController()
    const seen = watches(host)
    const waiting = ask(base, { path, prefer: 'wait=30', signal: leaving.signal })
    waiting.catch(() => left.open())
    await waited(host, seen)
    t.match(await inTime(ask(base, { path, prefer: 'wait=30' }), 2_000, 'one too many is answered at once'), { status: 200, applied: null })
    const refused = await openSse(`${base}/stream/${task_id}`, ada)
    t.match((await refused.rest())[0]!.text, /retry: 5000/)

    leaving.abort()
    await left.opened
    // Who has left gives the place back.
    let reader = await openSse(`${base}/stream/${task_id}`, ada)
    let first = await reader.next()
    for (; first?.retry === '5000'; first = await reader.next()) reader = await openSse(`${base}/stream/${task_id}`, ada)
    t.match(JSON.parse(first!.data!), { data: { task_id } })
    t.match(await inTime(ask(base, { path, prefer: 'wait=30' }), 2_000, 'a stream takes the place of a wait'), { applied: null })
    const other = ask(base, { path: '/async', prefer: 'wait=1', headers: { 'x-user': 'bob' }, body: { message_id: crypto.randomUUID() } })
    t.match(await other, { status: 202, applied: 'wait=1' }, 'others have places of their own')
    reader.destroy()
  })

  t.test(`Vary keeps what the host has set, on ${kind}`, async t => {
    const host = await startHost(t, kind, {
      before: app => app.addHook('onRequest', async (_request, reply) => { reply.header('vary', 'Origin') })
    })
    const { task_id } = await host.as('ada').create()
    t.equal((await host.as('ada').get(`/async/${task_id}/status`)).headers['vary'], 'Origin, Prefer')
  })
}

t.test('a store that is away meanwhile ends a wait with what is known, any other error fails the request', async t => {
  const [host, base] = await start(t, 'memory')
  const { task_id } = await host.as('ada@acme').create()
  let error: Error = new errors.CHARTS_ERR_STORE_UNAVAILABLE()
  host.service.watchTask = async function * () { throw error }
  const status = () => ask(base, { path: `/async/${task_id}/status`, prefer: 'wait=20' })
  t.match(await status(), { status: 200, applied: 'wait=20', body: { task_id, status: 'PENDING' } })
  error = new Error('broken')
  t.match(await status(), { status: 500, body: { message: 'broken' } })
})
