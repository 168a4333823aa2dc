import t from 'tap'
import websocket from '@fastify/websocket'
import { queueOf } from '../../lib/chart-queue-service.ts'
import { startHost, storeKinds, type HostOptions } from '../helpers/app.ts'
import { openSse, openWebSocket } from '../helpers/streams.ts'

const ada = { 'x-user': 'ada' }

/** ms within which a host with open streams has to be closed: they end at once, the rest is Fastify's. */
const SOON = 2_000

for (const kind of storeKinds) {
  t.test(`app.close() with open streams, on ${kind}`, async t => {
    const open = async (options: HostOptions = {}) => {
      const host = await startHost(t, kind, { stream: { maxPerUser: 0 }, ...options })
      const base = await host.listen()
      const { task_id } = await host.as('ada').create()
      const streams = await Promise.all(Array.from({ length: 20 }, () => openSse(`${base}/stream/${task_id}`, ada)))
      const sockets = await Promise.all(Array.from({ length: 20 }, () => openWebSocket(`${base}/ws/${task_id}`, { headers: ada })))
      for (const reader of [...streams, ...sockets]) await reader.task()
      return { host, task_id, streams, sockets }
    }
    const close = async ({ host }: Awaited<ReturnType<typeof open>>) => {
      const begin = performance.now()
      await host.app.close()
      const took = performance.now() - begin
      t.ok(took < SOON, 'ends soon', { took })
    }

    await t.test('tells every reader to come back, but not all at once', async t => {
      const opened = await open()
      const closing = close(opened)
      const retries = []
      for (const stream of opened.streams) {
        const rest = await stream.rest()
        t.equal(rest.length, 1)
        t.match(rest[0], { retry: /^\d+$/ })
        retries.push(Number(rest[0]!.retry))
      }
      t.ok(new Set(retries).size > 5, 'jittered', { retries })
      t.ok(Math.min(...retries) > 0)
      for (const socket of opened.sockets) t.match(await socket.closed, { code: 1012 })
      await closing
    })

    await t.test('while states are on their way', async t => {
      const opened = await open()
      const { host, task_id } = opened
      await host.take(task_id)
      const updating = Promise.allSettled(Array.from({ length: 20 }, (_, i) => host.progress(task_id, { progress: i })))
      await close(opened)
      await updating
      for (const stream of opened.streams) t.match((await stream.rest()).at(-1), { retry: /^\d+$/ })
      for (const socket of opened.sockets) t.match(await socket.closed, { code: 1012 })
    })

    await t.test("where the host's own @fastify/websocket closes first", async t => {
      const opened = await open({ before: app => app.register(websocket) })
      await close(opened)
      for (const stream of opened.streams) t.match((await stream.rest()).at(-1), { retry: /^\d+$/ })
      for (const socket of opened.sockets) t.match((await socket.closed).code, /^10(05|12)$/)
    })
  })
}

t.test('a stream that was injected ends, too', async t => {
  const host = await startHost(t, 'memory')
  const ada = host.as('ada')
  const { task_id } = await ada.create()
  let watched = () => {}
  const watching = new Promise<void>(resolve => { watched = resolve })
  const { watches } = queueOf(host.service)
  const follow = watches.follow.bind(watches)
  watches.follow = (id, options, deliver) => follow(id, options, state => {
    watched()
    return deliver(state)
  })
  const answer = ada.get(`/stream/${task_id}`)
  await watching
  await host.app.close()
  t.match((await answer).body, /"version":1[^]*retry: \d+\n$/)
})

t.test('the service ends its watches when it is closed', async t => {
  const host = await startHost(t, 'memory')
  const { task_id } = await host.as('ada').create()
  const versions = []
  for await (const task of host.service.watchTask(task_id)) {
    versions.push(task.version)
    host.service.close()
  }
  t.strictSame(versions, [1])
})
