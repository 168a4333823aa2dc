import t from 'tap'
import type { BatchedChartRequest, PublicChartTask } from '../../lib/index.ts'
import { startHost, storeKinds, type Caller, type Host } from '../helpers/app.ts'
import { inTime, until } from '../helpers/gate.ts'
import { seeded } from '../helpers/random.ts'
import { openSse, type SseReader } from '../helpers/streams.ts'

const ada = { 'x-user': 'ada@acme' }
const SEED = Number(process.env['SEED'] ?? 20_260_101)
const isFinal = ({ status }: PublicChartTask) => ['COMPLETED', 'FAILED', 'CANCELLED'].includes(status)

interface Event { readonly id: string, readonly task: PublicChartTask }

/** The next event of a stream of many; null at its end. */
async function next (reader: SseReader): Promise<Event | null> {
  for (let block = await reader.next(); block; block = await reader.next()) {
    if (!block.data) continue
    const { type, data } = JSON.parse(block.data)
    if (type !== 'status_update') throw new Error(`not the usual envelope: ${block.data}`)
    return { id: block.id!, task: data }
  }
  return null
}

async function reach (reader: SseReader, wanted: (event: Event) => boolean): Promise<Event> {
  for (let event = await next(reader); event; event = await next(reader)) if (wanted(event)) return event
  throw new Error('the stream has ended before')
}

async function batch (caller: Caller, tasks: Array<Partial<BatchedChartRequest>>): Promise<{ batch_id: string, ids: string[] }> {
  const response = await caller.request('POST', '/async/batch', {
    headers: { 'content-type': 'application/json' }, payload: JSON.stringify({ tasks: tasks.map(task => ({ message_id: crypto.randomUUID(), ...task })) })
  })
  const body = response.json()
  return { batch_id: body.batch_id, ids: body.tasks.map(({ task_id }: PublicChartTask) => task_id) }
}

const fail = (host: Host, task_id: string) => host.finish(task_id, { error: Object.assign(new Error('no'), { name: 'ChartGenerationError' }) })
const status = async (caller: Caller, task_id: string): Promise<PublicChartTask> => (await caller.get(`/async/${task_id}/status`)).json()

for (const kind of storeKinds) {
  t.test(`the stream of a message on ${kind}`, async t => {
    const host = await startHost(t, kind)
    const base = await host.listen()
    const asAda = host.as('ada@acme')
    const open = (message_id: string, cursor?: string) =>
      openSse(`${base}/stream/by-message/${message_id}`, { ...ada, ...(cursor === undefined ? {} : { 'last-event-id': cursor }) })

    t.test('carries all its tasks, each frame one task as everywhere', async t => {
      const message_id = crypto.randomUUID()
      const [first, second] = [await asAda.create({ message_id }), await asAda.create({ message_id, force_create: true })]
      await asAda.create()
      const reader = await open(message_id)
      t.equal(reader.status, 200)
      t.match(reader.headers, { 'content-type': /^text\/event-stream/, 'cache-control': 'no-cache, no-transform', 'x-accel-buffering': 'no' })
      const events = [(await next(reader))!, (await next(reader))!]
      for (const [i, { message, ...created }] of [first, second].entries()) t.strictSame(events[i]!.task, created)
      t.ok(events.every(({ id }) => /^\S+$/.test(id)), 'each with a cursor')
      await host.take(second.task_id)
      const changes = [(await next(reader))!.task, (await next(reader))!.task]
      t.strictSame(new Set(changes.map(({ task_id }) => task_id)), new Set([first.task_id, second.task_id]), 'whoever is taken on the way')
      await host.finish(second.task_id, { content: 1 })
      t.match(await next(reader), { task: { task_id: second.task_id, status: 'COMPLETED', progress: 100 } })
      reader.destroy()
    })

    t.test('new ones appear by themselves, also where there was none', async t => {
      const message_id = crypto.randomUUID()
      const reader = await open(message_id.toUpperCase())
      for (let i = 0; i < 5; i++) {
        const { task_id } = await asAda.create({ message_id, force_create: true })
        t.match(await inTime(reach(reader, ({ task }) => task.task_id === task_id), 2_000, 'the new one'), { task: { status: 'PENDING' } })
      }
      const { ids } = await batch(asAda, [{ message_id }, { message_id, force_create: true }])
      const seen = new Set<string>()
      while (ids.slice(1).some(id => !seen.has(id))) seen.add((await next(reader))!.task.task_id)
      t.pass('those of a batch too')
      reader.destroy()
    })

    t.test('does not end with its tasks', async t => {
      const message_id = crypto.randomUUID()
      await asAda.finished({ content: 1 }, { message_id })
      const reader = await open(message_id)
      t.match(await next(reader), { task: { status: 'COMPLETED' } })
      const { task_id } = await asAda.create({ message_id, force_create: true })
      t.match(await next(reader), { task: { task_id } })
      reader.destroy()
    })

    t.test("carries the caller's own only", async t => {
      const message_id = crypto.randomUUID()
      const bob = host.as('bob@acme')
      await bob.create({ message_id, visibility: 'ORGANIZATION' })
      const done = await bob.finished({ content: 1 }, { message_id, visibility: 'PUBLIC', adjustment_query: 'x' })
      const reader = await open(message_id)
      const later = await bob.create({ message_id, adjustment_query: 'y' })
      const { task_id } = await asAda.create({ message_id })
      t.match(await next(reader), { task: { task_id } }, 'the first that comes is the own one')
      await host.take(later.task_id)
      t.not(done.task_id, task_id)
      await host.finish(task_id, { content: 1 })
      const end = await reach(reader, ({ task }) => { t.equal(task.task_id, task_id); return isFinal(task) })
      t.equal(end.task.task_id, task_id)
      reader.destroy()
    })

    t.test('goes on from the cursor of by-message without a gap', async t => {
      const message_id = crypto.randomUUID()
      const ids = []
      for (let i = 0; i < 4; i++) ids.push((await asAda.create({ message_id, force_create: true })).task_id)
      await host.finish(ids[0]!, { content: 1 })
      const page = await asAda.get(`/by-message/${message_id}`)
      const cursor = String(page.headers['stream-cursor'])
      t.match(cursor, /^\S+$/)
      await host.finish(ids[1]!, { content: 1 })
      await fail(host, ids[2]!)
      await asAda.delete(`/async/${ids[3]}`)
      const { task_id } = await asAda.create({ message_id, force_create: true })
      for (const reader of [await open(message_id, cursor), await openSse(`${base}/stream/by-message/${message_id}?last_event_id=${cursor}`, ada)]) {
        const states = new Map<string, string>()
        while (![...ids.slice(1), task_id].every(id => states.has(id))) {
          const { task } = (await inTime(next(reader), 3_000, `all that has changed since; until now ${[...states.values()]}`))!
          states.set(task.task_id, task.status)
        }
        t.strictSame([...ids.slice(1), task_id].map(id => states.get(id)), ['COMPLETED', 'FAILED', 'CANCELLED', 'PENDING'])
        reader.destroy()
      }
    })

    t.test('of more tasks than it watches at once none is missed, neither in one go nor after a while', async t => {
      const message_id = crypto.randomUUID()
      const ids = (await Promise.all([100, 50].map(count => batch(asAda, Array.from({ length: count }, () => ({ message_id, force_create: true })))))).flatMap(({ ids }) => ids)
      const seen = async (reader: SseReader, wanted: (event: Event) => boolean, count: number) => {
        const ids = new Set<string>()
        let id = ''
        while (ids.size < count) {
          const event = (await inTime(next(reader), 10_000, `the ${ids.size + 1}th of ${count}`))!
          if (wanted(event)) ids.add(event.task.task_id)
          id = event.id
        }
        return { ids, id }
      }
      const stays = await open(message_id)
      const leaves = await open(message_id)
      const { id: cursor } = await seen(leaves, () => true, 100)
      leaves.destroy()
      for (const task_id of ids) await host.finish(task_id, { content: 1 })
      for (const reader of [stays, await open(message_id, cursor)]) {
        t.strictSame((await seen(reader, ({ task }) => task.status === 'COMPLETED', 150)).ids, new Set(ids))
        reader.destroy()
      }
    })

    t.test('finished tasks beyond the latest 100 are not sent later either', async t => {
      const message_id = crypto.randomUUID()
      for (let i = 0; i < 2; i++) {
        const { batch_id } = await batch(asAda, Array.from({ length: 60 }, () => ({ message_id, force_create: true })))
        await asAda.delete(`/async/batch/${batch_id}`)
      }
      const reader = await open(message_id)
      for (let i = 0; i < 100; i++) t.match(await next(reader), { task: { status: 'CANCELLED' } })
      const { task_id } = await asAda.create({ message_id, force_create: true })
      t.match(await next(reader), { task: { task_id } })
      reader.destroy()
    })

    t.test('a cursor that is none is no cursor', async t => {
      const message_id = crypto.randomUUID()
      const { task_id } = await asAda.finished({ content: 1 }, { message_id })
      for (const cursor of ['x'.repeat(50), '-1', '%', 'end', '1 2', '0x']) {
        const reader = await openSse(`${base}/stream/by-message/${message_id}?last_event_id=${encodeURIComponent(cursor)}`, ada)
        t.match(await next(reader), { task: { task_id } }, cursor)
        reader.destroy()
      }
    })

    t.test('a permanent refusal has a status code', async t => {
      const id = crypto.randomUUID()
      for (const [message_id, headers, expected] of [[id, {}, 401], ['x', ada, 400]] as const) {
        t.equal((await openSse(`${base}/stream/by-message/${message_id}`, headers)).status, expected)
      }
      t.equal((await fetch(`${base}/stream/by-message/${id}`, { method: 'HEAD', headers: ada })).status, 404)
    })

    t.test(`a reader that reconnects with Last-Event-ID misses nothing (SEED=${SEED})`, async t => {
      const random = seeded(SEED)
      const message_id = crypto.randomUUID()
      const ids: string[] = []
      const shown = new Map<string, PublicChartTask>()
      let cursor: string | undefined
      let cuts = 0
      const over = new AbortController()
      const read = async () => {
        while (!over.signal.aborted) {
          const reader = await open(message_id, cursor)
          const stay = random.between(1, ids.length + 6)
          for (let frames = 0; frames < stay; frames++) {
            const event = await Promise.race([next(reader), ended.then(() => null)])
            if (!event) break
            shown.set(event.task.task_id, event.task)
            cursor = event.id
          }
          reader.destroy()
          cuts++
          // Away for a while, in which more happens.
          await new Promise(resolve => setTimeout(resolve, random.between(0, 15)))
        }
      }
      const ended = new Promise<void>(resolve => over.signal.addEventListener('abort', () => resolve()))
      const reading = read()
      for (let i = 0; i < 60; i++) {
        const { task_id } = await asAda.create({ message_id, force_create: true, supersede: random.next() < 0.05 })
        ids.push(task_id)
        const open = []
        for (const id of ids) if (!isFinal(await status(asAda, id))) open.push(id)
        const target = random.pick(open)
        const act = random.between(1, 5)
        if (act === 1) await asAda.delete(`/async/${target}`)
        else if (act === 2) await host.finish(target, { content: i })
        else if (act === 3) await fail(host, target)
        else if (act === 4) await host.progress(target, { progress: random.between(1, 99), step: `step ${i}` })
      }
      for (const id of ids) if (!isFinal(await status(asAda, id))) await host.finish(id, { content: 1 })
      const wanted = new Map<string, PublicChartTask>()
      for (const id of ids) wanted.set(id, await status(asAda, id))
      await until(() => ids.every(id => shown.get(id)?.version === wanted.get(id)!.version), 10_000).catch(() => {})
      over.abort()
      await reading
      t.ok(cuts >= 5, `${cuts} connections`)
      const missed = ids.filter(id => shown.get(id)?.version !== wanted.get(id)!.version)
      t.strictSame(missed.map(id => `${wanted.get(id)!.status}, shown as ${shown.get(id)?.status}`), [], 'nothing was missed')
      for (const id of ids) t.strictSame(shown.get(id), wanted.get(id))
    })
  })

  t.test(`the stream of a batch on ${kind}`, async t => {
    const host = await startHost(t, kind)
    const base = await host.listen()
    const asAda = host.as('ada@acme')
    const open = (batch_id: string, cursor?: string) =>
      openSse(`${base}/stream/batch/${batch_id}`, { ...ada, ...(cursor === undefined ? {} : { 'last-event-id': cursor }) })

    t.test('ends after the last of its tasks; a reader that has seen that gets 204', async t => {
      const { batch_id, ids } = await batch(asAda, [{}, { ref: 'a' }, { depends_on: ['a'] }, {}])
      const reader = await open(batch_id.toUpperCase())
      t.equal(reader.status, 200)
      const ends = new Map<string, string>()
      const reading = (async () => {
        let last = ''
        for (let event = await next(reader); event; event = await next(reader)) {
          if (isFinal(event.task)) ends.set(event.task.task_id, event.task.status)
          last = event.id
        }
        return last
      })()
      await host.finish(ids[3]!, { content: 1 })
      await asAda.delete(`/async/${ids[0]}`)
      await fail(host, ids[1]!)
      const last = await inTime(reading, 3_000, 'the end')
      t.strictSame(ids.map(id => ends.get(id)), ['CANCELLED', 'FAILED', 'FAILED', 'COMPLETED'])
      t.equal(last, 'end')
      const again = await open(batch_id, last)
      t.equal(again.status, 204)
      t.strictSame(await again.rest(), [])
    })

    t.test('of a finished batch: all tasks, then the end', async t => {
      const { batch_id, ids } = await batch(asAda, [{}, {}, {}])
      for (const id of ids) await host.finish(id, { content: 1 })
      const events = []
      const reader = await open(batch_id)
      for (let event = await next(reader); event; event = await next(reader)) events.push(event)
      t.strictSame(events.map(({ task }) => [task.task_id, task.status]), ids.map(id => [id, 'COMPLETED']))
      t.strictSame(events.map(({ id }) => id === 'end'), [false, false, true])
    })

    t.test('goes on where it was cut', async t => {
      const { batch_id, ids } = await batch(asAda, Array.from({ length: 6 }, () => ({})))
      let cursor: string | undefined
      const shown = new Map<string, string>()
      for (const id of ids) {
        const reader = await open(batch_id, cursor)
        await host.finish(id, { content: 1 })
        const event = await reach(reader, ({ task }) => { shown.set(task.task_id, task.status); return task.task_id === id && isFinal(task) })
        cursor = event.id
        reader.destroy()
      }
      t.strictSame([...shown.values()], ids.map(() => 'COMPLETED'))
      const reader = await open(batch_id, cursor)
      if (reader.status === 200) t.equal((await reader.rest()).at(-1)?.id, 'end', 'the end may come once more')
      else t.equal(reader.status, 204)
    })

    t.test("unknown and somebody else's are the same 404", async t => {
      const { batch_id } = await batch(host.as('bob@acme'), [{}])
      const bodies = []
      for (const id of [batch_id, crypto.randomUUID()]) {
        const response = await fetch(`${base}/stream/batch/${id}`, { headers: ada })
        t.equal(response.status, 404)
        bodies.push(await response.text())
      }
      t.equal(bodies[0], bodies[1])
      t.match(bodies[0], /CHARTS_ERR_BATCH_NOT_FOUND/)
      for (const [id, headers, expected] of [[batch_id, {}, 401], ['x', ada, 400]] as const) {
        t.equal((await openSse(`${base}/stream/batch/${id}`, headers)).status, expected)
      }
    })
  })

  t.test(`a cursor leaves nothing behind it, on ${kind}`, async t => {
    let now = Date.UTC(2030, 0, 1)
    const host = await startHost(t, kind, { now: () => now })
    const base = await host.listen()
    const asAda = host.as('ada@acme')
    const message_id = crypto.randomUUID()
    const { ids, batch_id } = await batch(asAda, (['low', 'normal', 'high'] as const).map(priority => ({ message_id, priority, force_create: true })))
    // The one that is told first ends last.
    for (const id of [...ids].reverse()) {
      await host.finish(id, { content: 1 })
      now += 3_600_000
    }
    for (const path of [`by-message/${message_id}`, `batch/${batch_id}`]) {
      const seen = new Set<string>()
      for (let cursor; seen.size < 3;) {
        const reader: SseReader = await openSse(`${base}/stream/${path}`, { ...ada, ...(cursor === undefined ? {} : { 'last-event-id': cursor }) })
        let event: Event | null
        do event = await inTime(next(reader), 3_000, `what is new, after ${seen.size}`)
        while (event && seen.has(event.task.task_id))
        if (!event) break
        seen.add(event.task.task_id)
        cursor = event.id
        reader.destroy()
      }
      t.strictSame([...seen].sort(), [...ids].sort(), path)
    }
  })

  t.test(`of a batch that ended before the cursor nothing follows: 204, on ${kind}`, async t => {
    let now = Date.now() - 3_600_000
    const host = await startHost(t, kind, { now: () => now })
    const asAda = host.as('ada@acme')
    const { batch_id, ids } = await batch(asAda, [{}, {}])
    await host.finish(ids[0]!, { content: 1 })
    now = Date.now()
    const cursor = (await asAda.get(`/by-message/${crypto.randomUUID()}`)).headers['stream-cursor'] as string
    const base = await host.listen()
    const stream = () => openSse(`${base}/stream/batch/${batch_id}`, { ...ada, 'last-event-id': cursor })
    const open = await stream()
    t.match(await next(open), { task: { task_id: ids[1] } }, 'one has not ended')
    open.destroy()
    now -= 600_000
    await host.finish(ids[1]!, { content: 1 })
    now = Date.now()
    t.equal((await stream()).status, 204, 'an EventSource stops')
    const all = await openSse(`${base}/stream/batch/${batch_id}`, ada)
    t.equal((await all.rest()).filter(({ data }) => data).length, 2, 'without a cursor it is all there')
  })

  t.test(`a shutdown ends the streams of many at once, on ${kind}`, async t => {
    const host = await startHost(t, kind)
    const base = await host.listen()
    const message_id = crypto.randomUUID()
    const { batch_id } = await batch(host.as('ada@acme'), [{ message_id }])
    const readers = [await openSse(`${base}/stream/by-message/${message_id}`, ada), await openSse(`${base}/stream/batch/${batch_id}`, ada)]
    for (const reader of readers) t.match(await next(reader), { task: { status: 'PENDING' } })
    await inTime(host.app.close(), 3_000, 'the close')
    for (const reader of readers) t.match((await reader.rest()).at(-1)?.retry, /^\d+$/, 'with when to come back')
  })
}
