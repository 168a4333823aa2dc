import t from 'tap'
import { EventSource } from 'eventsource'
import { startHost, storeKinds } from '../helpers/app.ts'
import { openSse } from '../helpers/streams.ts'

const ada = { 'x-user': 'ada@acme' }

for (const kind of storeKinds) {
  t.test(`SSE on ${kind}`, async t => {
    const host = await startHost(t, kind)
    const base = await host.listen()
    const asAda = host.as('ada@acme')

    t.test('the current state at once, every state as it comes, the finished one last', async t => {
      const { message, ...created } = await asAda.create()
      const { task_id } = created
      const reader = await openSse(`${base}/stream/${task_id}`, ada)
      t.equal(reader.status, 200)
      t.match(reader.headers, {
        'content-type': /^text\/event-stream/, 'cache-control': 'no-cache, no-transform', 'x-accel-buffering': 'no'
      })
      const first = (await reader.next())!
      t.match(first.retry, /^[1-9]\d*$/)
      t.equal(first.text, `retry: ${first.retry}\nid: 1\ndata: ${first.data}`, 'the default event, its id the version')
      t.strictSame(JSON.parse(first.data!), { type: 'status_update', data: created })
      t.ok(first.data!.startsWith('{"type":"status_update","data":{'), 'the very envelope of the spec')

      await host.take(task_id)
      const second = (await reader.next())!
      t.equal(second.id, '2')
      t.match(JSON.parse(second.data!).data, { status: 'PROCESSING', current_step: 'started', version: 2 })
      await host.progress(task_id, { step: 'rendering', step_progress: 50, progress: 60 })
      t.match(await reader.task(), { version: 3, current_step: 'rendering', step_progress: { rendering: 50 }, progress: 60 })
      await host.finish(task_id, { content: 'the chart' })
      const rest = await reader.rest()
      t.equal(rest.length, 1, 'then the server closes')
      t.strictSame(JSON.parse(rest[0]!.data!).data, (await asAda.get(`/async/${task_id}/status`)).json())
    })

    t.test('a finished task is one frame', async t => {
      const task = await asAda.finished({ content: 1 })
      const blocks = await (await openSse(`${base}/stream/${task.task_id}`, ada)).rest()
      t.strictSame(blocks.filter(block => block.data).map(block => JSON.parse(block.data!)), [{ type: 'status_update', data: task }])
    })

    t.test('a cancelled and a failed task end their streams', async t => {
      for (const status of ['CANCELLED', 'FAILED']) {
        const { task_id } = await asAda.create()
        const reader = await openSse(`${base}/stream/${task_id}`, ada)
        await reader.task()
        if (status === 'CANCELLED') await asAda.delete(`/async/${task_id}`)
        else await host.finish(task_id, { error: Object.assign(new Error('no'), { name: 'ChartGenerationError' }) })
        const tasks = []
        for (let task = await reader.task(); task; task = await reader.task()) tasks.push(task)
        t.equal(tasks.at(-1)!.status, status)
      }
    })

    t.test('Last-Event-ID: nothing that was seen already', async t => {
      const { task_id } = await asAda.create()
      await host.take(task_id)
      await host.progress(task_id, { progress: 10 })
      // Version 3 now.
      const ways: Array<[string, string, Record<string, string>]> = [
        ['the header', '', { 'last-event-id': '3' }],
        ['the query', '?last_event_id=3', {}],
        ['the header goes before the query', '?last_event_id=1', { 'last-event-id': '3' }]
      ]
      const readers = await Promise.all(ways.map(([, query, headers]) => openSse(`${base}/stream/${task_id}${query}`, { ...ada, ...headers })))
      const behind = await openSse(`${base}/stream/${task_id}`, { ...ada, 'last-event-id': '2' })
      t.equal((await behind.task())!.version, 3, 'who is behind is told at once')
      await host.progress(task_id, { progress: 20 })
      for (const [i, reader] of readers.entries()) t.equal((await reader.task())!.version, 4, ways[i]![0])
      for (const reader of [...readers, behind]) reader.destroy()
    })

    t.test('a cursor at the finished state: 204', async t => {
      const { task_id, version } = await asAda.finished({ content: 1 })
      for (const [query, headers] of [['', { 'last-event-id': String(version) }], [`?last_event_id=${version}`, {}]] as const) {
        const reader = await openSse(`${base}/stream/${task_id}${query}`, { ...ada, ...headers })
        t.equal(reader.status, 204)
        t.strictSame(await reader.rest(), [])
      }
      const behind = await openSse(`${base}/stream/${task_id}`, { ...ada, 'last-event-id': String(version - 1) })
      t.equal(behind.status, 200)
      t.equal((await behind.task())!.version, version)
    })

    t.test('a cursor above the stored version: the current state', async t => {
      for (const { task_id, version } of [await asAda.finished({ content: 1 }), await asAda.create()]) {
        const reader = await openSse(`${base}/stream/${task_id}`, { ...ada, 'last-event-id': '999' })
        t.equal(reader.status, 200)
        t.equal((await reader.task())!.version, version)
        reader.destroy()
      }
    })

    t.test('a cursor that is none is no cursor', async t => {
      const { task_id, message_id } = await asAda.create()
      for (const cursor of ['', 'x', '-1', '1.0', '0x1', '1e0', '١', '1'.repeat(40), 'NaN', "1'--"]) {
        const reader = await openSse(`${base}/stream/${task_id}?last_event_id=${encodeURIComponent(cursor)}`, ada)
        t.equal(reader.status, 200, cursor)
        t.equal((await reader.task())!.version, 1, cursor)
        reader.destroy()
      }
      for (const path of [task_id, `by-message/${message_id}`]) {
        const twice = await openSse(`${base}/stream/${path}?last_event_id=1&last_event_id=1`, ada)
        t.match(await twice.task(), { task_id, version: 1 }, 'two are none')
        twice.destroy()
      }
    })

    t.test('an id in any case', async t => {
      const { task_id } = await asAda.create()
      const reader = await openSse(`${base}/stream/${task_id.toUpperCase()}`, ada)
      t.equal((await reader.task())!.task_id, task_id)
      reader.destroy()
    })

    t.test('a permanent refusal has a status code', async t => {
      const { task_id } = await asAda.create({ visibility: 'PUBLIC' })
      const refused: Array<[string, Record<string, string>, number]> = [
        [task_id, {}, 401], ['x', {}, 401], ['x', ada, 400], [crypto.randomUUID(), ada, 404], [task_id, { 'x-user': 'bob@acme' }, 404]
      ]
      for (const [id, headers, status] of refused) t.equal((await openSse(`${base}/stream/${id}`, headers)).status, status)
    })

    t.test('HEAD opens nothing', async t => {
      const { task_id } = await asAda.create()
      const response = await fetch(`${base}/stream/${task_id}`, { method: 'HEAD', headers: ada })
      t.equal(response.status, 404)
    })

    t.test('an EventSource follows, and stops for good once it has seen the end', async t => {
      const { task_id } = await asAda.create()
      const source = new EventSource(`${base}/stream/${task_id}`, {
        fetch: (url, init) => fetch(url, { ...init, headers: { ...init!.headers, ...ada } })
      })
      t.teardown(() => source.close())
      const statuses: string[] = []
      const opened = new Promise<void>(resolve => source.addEventListener('open', () => resolve(), { once: true }))
      source.onmessage = event => statuses.push(JSON.parse(event.data).data.status)
      await opened
      const stopped = new Promise<void>(resolve => {
        source.onerror = () => { if (source.readyState === source.CLOSED) resolve() }
      })
      await host.finish(task_id, { content: 1 })
      await stopped
      t.equal(statuses[0], 'PENDING')
      t.equal(statuses.at(-1), 'COMPLETED')
      t.equal(statuses.filter(status => status === 'COMPLETED').length, 1, 'the reconnect brought nothing twice')
    })
  })
}
