import t from 'tap'
import type { TaskStore } from '../../lib/index.ts'
import { memoryStore } from '../../lib/index.ts'
import { sseFrame, webSocketFrame } from '../../lib/http/streams/frames.ts'
import { startHost, type HostOptions } from '../helpers/app.ts'
import { openSse, openWebSocket, tryWebSocket, SocketReader, type SseReader } from '../helpers/streams.ts'

const ada = { 'x-user': 'ada' }

async function start (t: Parameters<typeof startHost>[0], options: HostOptions) {
  const host = await startHost(t, 'memory', options)
  return { host, base: await host.listen() }
}

/** Whether a stream was given, rather than a refusal for now. */
async function isOpen (reader: SseReader): Promise<boolean> {
  const task = await reader.task()
  if (task) reader.destroy()
  return task !== null
}

t.test('too many streams: a refusal that an EventSource survives', async t => {
  const { host, base } = await start(t, { stream: { maxPerUser: 2 } })
  const { task_id } = await host.as('ada').create()
  const { task_id: bobs } = await host.as('bob').create()
  const first = await openSse(`${base}/stream/${task_id}`, ada)
  const second = await openWebSocket(`${base}/ws/${task_id}`, { headers: ada })
  await Promise.all([first.task(), second.task()])

  const refused = await openSse(`${base}/stream/${task_id}`, ada)
  t.equal(refused.status, 200)
  t.match(refused.headers, { 'content-type': /^text\/event-stream/, 'cache-control': 'no-cache, no-transform', 'x-accel-buffering': 'no' })
  const blocks = await refused.rest()
  t.equal(blocks.length, 1, 'and the end')
  t.match(blocks[0], { retry: '5000', comment: /too many/ })
  t.notOk(blocks[0]!.data)
  const socket = await openWebSocket(`${base}/ws/${task_id}`, { headers: ada })
  t.match(await socket.closed, { code: 1013 })
  t.ok(await isOpen(await openSse(`${base}/stream/${bobs}`, { 'x-user': 'bob' })), 'for this user only')
  t.equal((await openSse(`${base}/stream/${bobs}`, ada)).status, 404, 'what is not theirs stays unknown')

  first.destroy()
  let freed = false
  while (!freed) freed = await isOpen(await openSse(`${base}/stream/${task_id}`, ada))
  t.ok(freed, 'who leaves makes room')
  second.socket.terminate()
  await second.closed
  const pair = await openSse(`${base}/stream/${task_id}`, ada)
  await pair.task()
  for (freed = false; !freed;) {
    const again = await openWebSocket(`${base}/ws/${task_id}`, { headers: ada })
    freed = await again.task() !== null
    again.socket.terminate()
    await again.closed
  }
  t.ok(freed, 'by WebSocket too')
  pair.destroy()
})

t.test('0 is off', async t => {
  const { host, base } = await start(t, { stream: { maxPerUser: 0 } })
  const { task_id } = await host.as('ada').create()
  const readers = await Promise.all(Array.from({ length: 30 }, () => openSse(`${base}/stream/${task_id}`, ada)))
  for (const reader of readers) t.equal((await reader.task())!.task_id, task_id)
  for (const reader of readers) reader.destroy()
})

t.test('a sign of life in every heartbeat', async t => {
  const { host, base } = await start(t, { stream: { heartbeat: 50 } })
  const { task_id } = await host.as('ada').create()
  const reader = await openSse(`${base}/stream/${task_id}`, ada)
  await reader.task()
  for (let beats = 0; beats < 3; beats++) {
    const block = (await reader.next())!
    t.match(block.text, /^:/, 'a comment, which no EventSource shows')
  }
  await host.take(task_id)
  t.equal((await reader.task())!.version, 2)
  reader.destroy()
})

t.test('after maxDuration streams end, and their readers come back at different times', async t => {
  const { host, base } = await start(t, { stream: { maxDuration: 150 } })
  const { task_id } = await host.as('ada').create()
  const url = `${base}/stream/${task_id}`
  const readers = await Promise.all(Array.from({ length: 8 }, () => openSse(url, ada)))
  const socket = await openWebSocket(`${base}/ws/${task_id}`, { headers: ada })
  const retries = []
  for (const reader of readers) {
    const last = (await reader.rest()).at(-1)!
    t.notOk(last.data)
    t.match(last.retry, /^\d+$/)
    retries.push(last.retry)
  }
  t.ok(new Set(retries).size > 1, 'jittered', { retries })
  t.match(await socket.closed, { code: 1012 })
  t.equal((await openSse(url, { ...ada, 'last-event-id': '1' })).status, 200, 'who comes back is served')
})

t.test('a reader that has lost access is refused when it reconnects', async t => {
  let allowed = true
  const { host, base } = await start(t, { stream: { maxDuration: 100 }, authorize: () => allowed })
  const { task_id } = await host.as('ada').create()
  const reader = await openSse(`${base}/stream/${task_id}`, ada)
  await reader.task()
  allowed = false
  await reader.rest()
  t.equal((await openSse(`${base}/stream/${task_id}`, ada)).status, 404)
  const refused = await tryWebSocket(`${base}/ws/${task_id}`, { headers: ada })
  t.notOk(refused instanceof SocketReader)
})

t.test('many watchers of one task cost one subscription', async t => {
  const calls: string[] = []
  const store = new Proxy(memoryStore(), {
    get (target, verb: keyof TaskStore) {
      return (...args: unknown[]) => {
        calls.push(verb)
        return (target[verb] as (...args: unknown[]) => unknown)(...args)
      }
    }
  })
  const { host, base } = await start(t, { store, stream: { maxPerUser: 0 } })
  const { task_id } = await host.as('ada').create()
  await host.take(task_id)
  const streams = await Promise.all(Array.from({ length: 40 }, () => openSse(`${base}/stream/${task_id}`, ada)))
  const sockets = await Promise.all(Array.from({ length: 40 }, () => openWebSocket(`${base}/ws/${task_id}`, { headers: ada })))
  const readers = [...streams, ...sockets]
  for (const reader of readers) await reader.task()
  const count = (verb: string) => calls.filter(call => call === verb).length
  t.equal(count('subscribe'), 1)
  const reads = count('read')
  for (const progress of [10, 20]) {
    await host.progress(task_id, { progress })
    for (const reader of readers) t.equal((await reader.task())!.progress, progress)
  }
  t.equal(count('read'), reads, 'hints carry the state: nothing is read again')
  t.equal(count('unsubscribe'), 0)
  await host.finish(task_id, { content: 1 })
  for (const reader of readers) t.equal((await reader.task())!.status, 'COMPLETED')
  for (const reader of readers) t.equal(await reader.task(), null)
  t.equal(count('unsubscribe'), 1, 'the last to leave ends it')
})

t.test('while hints do not arrive, watchers are polled', async t => {
  const inner = memoryStore()
  const store = new Proxy(inner, {
    get (target, verb: keyof TaskStore) {
      if (verb === 'listen') return () => () => {}
      return (target[verb] as (...args: unknown[]) => unknown).bind(target)
    }
  })
  const { host, base } = await start(t, { store, stream: { pollInterval: 50 } })
  const { task_id } = await host.as('ada').create()
  const readers = [await openSse(`${base}/stream/${task_id}`, ada), await openWebSocket(`${base}/ws/${task_id}`, { headers: ada })]
  for (const reader of readers) await reader.task()
  await host.take(task_id)
  for (const reader of readers) t.equal((await reader.task())!.version, 2)
  await host.finish(task_id, { content: 1 })
  for (const reader of readers) t.equal((await reader.task())!.status, 'COMPLETED')
})

t.test('a frame is made once for all', async t => {
  const host = await startHost(t, 'memory')
  const { task_id } = await host.as('ada').create()
  const task = (await host.service.getTaskStatus(task_id))!
  t.equal(sseFrame(task), sseFrame(task))
  t.equal(webSocketFrame(task), webSocketFrame(task))
})
