import t, { type Test } from 'tap'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { errors, memoryStore, type ChartStore, type TaskStore } from '../../lib/index.ts'
import { CHART_STORE_TIMEOUTS } from '../../lib/service/host-charts.ts'
import { startHost, storeKinds, type Host, type HostOptions } from '../helpers/app.ts'
import { hostStore } from '../helpers/chart-store.ts'
import { inTime, until } from '../helpers/gate.ts'

const MiB = 2 ** 20
const unlimited = { limits: { requestBytes: 0, chartBytes: 0 } }

interface Body { charts: Array<{ content?: string }>, content_complete: boolean }

/** A message with charts of so many bytes each, the last one first. */
async function messageWith (host: Host, ...sizes: number[]): Promise<string> {
  const message_id = crypto.randomUUID()
  for (const [n, size] of sizes.entries()) await host.as('ada').finished({ content: `${n}`.padEnd(size, 'ü') }, { message_id, adjustment_query: `${n}` })
  return message_id
}

for (const kind of storeKinds) {
  t.test(`contents have 8 MiB at most, those of the newest charts, ${kind}`, async t => {
    const host = await startHost(t, kind, unlimited)
    const ada = host.as('ada')
    const message_id = await messageWith(host, 10, MiB, 3 * MiB, 10)
    const response = await ada.get(`/by-message/${message_id}`)
    t.equal(response.statusCode, 200)
    const { charts, content_complete } = response.json() as Body
    t.strictSame(charts.map(({ content }) => content?.length), [10, 3 * MiB, undefined, undefined], 'bytes count, not characters; the rest comes without')
    t.equal(content_complete, false)
    const all = (await ada.get(`/by-message/${message_id}?limit=2`)).json() as Body
    t.equal(all.content_complete, true)
    t.equal((await ada.get(`/by-message/${message_id}?content=false`)).json().content_complete, true)
  })

  t.test(`many charts of many sizes come whole and in order, ${kind}`, async t => {
    const host = await startHost(t, kind, unlimited)
    const sizes = [1, 300_000, 20, 70_000, 600_000, 5, 5, 900_000, 40_000, 40_000, 2]
    const message_id = await messageWith(host, ...sizes)
    const { charts, content_complete } = (await host.as('ada').get(`/by-message/${message_id}`)).json() as Body
    t.strictSame(charts.map(({ content }) => content!), sizes.map((size, n) => `${n}`.padEnd(size, 'ü')).reverse())
    t.equal(content_complete, true)
  })

  t.test(`a batch of large requests is answered whole, created, read, replayed and cancelled, ${kind}`, async t => {
    const host = await startHost(t, kind, { authorize: () => true })
    const ada = host.as('ada')
    const message_id = crypto.randomUUID()
    const payload = { tasks: Array.from({ length: 100 }, (_, n) => ({ message_id, adjustment_query: `${n}`.padEnd(60_000, 'x') })) }
    const wanted = payload.tasks.map(({ adjustment_query }) => adjustment_query)
    const post = () => ada.request('POST', '/async/batch', { headers: { 'idempotency-key': 'one' }, payload })
    const created = await post()
    t.equal(created.statusCode, 202)
    const { batch_id, tasks } = created.json()
    const replayed = await post()
    t.equal(replayed.headers['idempotent-replayed'], 'true')
    for (const shown of [tasks, replayed.json().tasks, (await ada.get(`/async/batch/${batch_id}`)).json().tasks]) {
      t.strictSame(shown.map((task: { adjustment_query: string }) => task.adjustment_query), wanted)
    }
    t.equal((await host.service.getActiveTasksByMessageId(message_id, 'ada')).length, 100)
    const listed = (await ada.get(`/by-message/${message_id}?limit=100`)).json()
    t.strictSame(listed.active_tasks.map((task: { adjustment_query: string }) => task.adjustment_query), wanted.reverse())
    const cancelled = (await ada.delete(`/async/batch/${batch_id}`)).json()
    t.match(cancelled, { total: 100, counts: { CANCELLED: 100, PENDING: 0 }, progress: 100 })
  })
}

t.test('active tasks of a message for a program have 8 MiB at most, the newest', async t => {
  const host = await startHost(t, 'memory', unlimited)
  const message_id = crypto.randomUUID()
  for (const letter of ['a', 'b', 'c']) await host.as('ada').create({ message_id, adjustment_query: letter.repeat(3 * MiB) })
  t.strictSame((await host.service.getActiveTasksByMessageId(message_id, 'ada')).map(({ adjustment_query }) => adjustment_query![0]), ['c', 'b'])
})

t.test('an answer that is not large has its length, a large one comes as it is made', async t => {
  const host = await startHost(t, 'memory', unlimited)
  const base = await host.listen()
  const headers = { 'x-user': 'ada' }
  const small = await fetch(`${base}/by-message/${await messageWith(host, 10)}`, { headers })
  t.equal(small.headers.get('content-length'), String((await small.arrayBuffer()).byteLength))
  t.ok(small.headers.get('stream-cursor'))
  const large = await fetch(`${base}/by-message/${await messageWith(host, MiB)}`, { headers })
  t.equal(large.headers.get('content-length'), null)
  t.ok(large.headers.get('stream-cursor'))
  t.equal(((await large.json()) as Body).charts[0]!.content!.length, MiB)
})

/** A memory store whose reads of contents fail once they have been called so often. */
function failingAfter (reads: number): TaskStore {
  let left = reads
  const store = memoryStore()
  const readContents: TaskStore['readContents'] = async (chart_ids, bytes) => {
    if (left-- <= 0) throw new errors.CHARTS_ERR_STORE_UNAVAILABLE()
    return store.readContents(chart_ids, bytes)
  }
  return new Proxy(store, { get: (target, verb: keyof TaskStore) => verb === 'readContents' ? readContents : (target[verb] as () => unknown).bind(target) })
}

t.test('a store that fails before the answer has begun is a 503, later the connection breaks', async t => {
  for (const [reads, broken] of [[0, false], [4, true]] as const) {
    const host = await startHost(t, 'memory', { ...unlimited, store: failingAfter(reads) })
    const base = await host.listen()
    const response = await fetch(`${base}/by-message/${await messageWith(host, ...Array<number>(8).fill(400_000))}`, { headers: { 'x-user': 'ada' } })
    t.equal(response.status, broken ? 200 : 503)
    if (!broken) t.match(await response.json(), { code: 'CHARTS_ERR_STORE_UNAVAILABLE' })
    else await t.rejects(response.text(), 'no half of an answer looks like a whole one')
    t.equal((await host.as('ada').get(`/by-message/${crypto.randomUUID()}`)).statusCode, 200, 'nothing is left behind')
  }
})

/** Connections of one user who asks for a large message and takes nothing of it. */
async function startReaders (t: Test, count: number, options: HostOptions = {}) {
  const host = await startHost(t, 'memory', { ...unlimited, ...options })
  const base = await host.listen()
  const message_id = await messageWith(host, ...Array<number>(7).fill(500_000))
  const { hostname, port, pathname } = new URL(`${base}/by-message/${message_id}`)
  const servers: Socket[] = []
  host.app.server.on('connection', socket => servers.push(socket))
  const readers = Array.from({ length: count }, () => {
    const socket = connect(Number(port), hostname).pause().on('error', () => {})
    socket.write(`GET ${pathname} HTTP/1.1\r\nHost: ${hostname}\r\nx-user: ada\r\n\r\n`)
    t.teardown(() => socket.destroy())
    return socket
  })
  const stuck = () => servers.filter(socket => socket.writableNeedDrain)
  return { host, base, message_id, servers, readers, stuck }
}

t.test('a slow reader delays only the responses to the same user', async t => {
  const { host, message_id, readers, stuck } = await startReaders(t, 10)
  await until(() => stuck().length === 4)
  const own = host.as('ada').get(`/by-message/${message_id}`)
  t.equal((await host.as('bob').get(`/by-message/${message_id}`)).statusCode, 200)
  t.equal((await host.as('ada').get('/async/batch/' + crypto.randomUUID())).statusCode, 404, 'what is not large does not wait')
  t.equal(stuck().length, 4)
  for (const reader of readers) reader.destroy()
  t.equal((await own).statusCode, 200, 'its turn comes when they are gone')
})

t.test('a reader that reads nothing for two heartbeats is disconnected', async t => {
  const { servers } = await startReaders(t, 1, { stream: { heartbeat: 50 } })
  await until(() => servers.length === 1)
  await inTime(once(servers[0]!, 'close'), 15_000, 'the cut')
})

t.test('a reader that reads nothing does not delay a shutdown', async t => {
  const { host, stuck } = await startReaders(t, 2)
  await until(() => stuck().length === 2)
  await inTime(host.app.close(), 5_000, 'close')
})

t.test('a chart store that never answers does not hold a shutdown up: its requests are told in time', async t => {
  t.same(CHART_STORE_TIMEOUTS, { call: 10_000, save: 60_000 })
  let asked = 0
  const nothing = () => {
    asked++
    return new Promise<never>(() => {})
  }
  const chartStore: ChartStore = { ...hostStore(), get: nothing, findByMessage: nothing }
  const host = await startHost(t, 'memory', { chartStore })
  const base = await host.listen()
  const { task_id } = await host.as('ada').finished({ content: 1 })
  const headers = { 'x-user': 'ada', connection: 'close' }
  const answers = [`/by-message/${crypto.randomUUID()}`, `/async/${task_id}/result`].map(path => fetch(`${base}${path}`, { headers }))
  await until(() => asked === 2)
  await inTime(host.app.close(), 3_000, 'close')
  for (const answer of answers) t.match(await (await answer).json(), { statusCode: 503, code: 'CHARTS_ERR_STORE_UNAVAILABLE' })
})
