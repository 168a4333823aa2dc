import t, { type Test } from 'tap'
import { setTimeout as delay } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { identify, startHost, type Caller, type Host, type HostOptions } from '../helpers/app.ts'
import { startProxy, type Proxy } from '../helpers/proxy.ts'
import { redisUrl, startRedis } from '../helpers/redis.ts'
import { openSse, openWebSocket } from '../helpers/streams.ts'

/** ms within which every route answers, whatever Redis does. */
const DEADLINE = 2_000

const ada = { 'x-user': 'ada' }
const asked: Array<[name: string, ask: (caller: Caller, task_id: string) => ReturnType<Caller['get']>]> = [
  ['create', caller => caller.post({ message_id: crypto.randomUUID() })],
  ['status', (caller, task_id) => caller.get(`/async/${task_id}/status`)],
  ['result', (caller, task_id) => caller.get(`/async/${task_id}/result`)],
  ['cancel', (caller, task_id) => caller.delete(`/async/${task_id}`)],
  ['by-message', (caller, task_id) => caller.get(`/by-message/${task_id}`)],
  ['stats', caller => caller.get('/async/stats')]
]

/** What may happen to the way to Redis. */
const faults: Record<string, (proxy: Proxy) => unknown> = {
  'is cut': proxy => proxy.cut(),
  'answers nothing': proxy => proxy.stall(),
  'hears, and is not heard': proxy => proxy.stallReplies()
}

/** A client whose commands wait until they are answered, however long that takes. */
const PATIENT = { maxRetriesPerRequest: null, enableOfflineQueue: true, retryStrategy: () => 60_000 }

async function startBehindProxy (t: Test, { client = {}, down = false, ...options }: HostOptions & { client?: Partial<typeof PATIENT>, down?: boolean } = {}) {
  const proxy = await startProxy(await redisUrl())
  if (down) await proxy.cut()
  const redis = new Redis(proxy.url, client)
  redis.on('error', () => {})
  t.teardown(async () => {
    redis.disconnect()
    await proxy.stop()
  })
  const host = await startHost(t, 'redis', { redis, authorize: () => true, stream: { pollInterval: 50 }, ...options })
  return { proxy, host, base: await host.listen() }
}

/** ms between two looks at the clock. */
const TICK = 20

/** Says how many ms have passed in which this process could work: that a busy machine holds it up is not the fault of an answer. */
function startStopwatch (): () => number {
  let worked = 0
  let last = performance.now()
  const look = () => {
    const now = performance.now()
    const gap = now - last
    worked += gap > 2 * TICK ? TICK : gap
    last = now
  }
  const ticker = setInterval(look, TICK)
  return () => {
    clearInterval(ticker)
    look()
    return worked
  }
}

async function timed<T> (t: Test, name: string, answer: () => Promise<T>): Promise<T> {
  const stop = startStopwatch()
  const result = await answer()
  const took = stop()
  t.ok(took < DEADLINE, `${name} within two seconds`, { took })
  return result
}

/** Everything at once, as it comes when Redis goes away. */
async function refusesAll (t: Test, host: Host, base: string, task_id: string): Promise<void> {
  await Promise.all([
    ...asked.map(async ([name, ask]) => {
      const response = await timed(t, name, () => ask(host.as('ada'), task_id))
      t.equal(response.statusCode, 503, name)
      t.match(response.headers['retry-after'], /^[1-9]\d*$/)
      t.strictSame(response.json(), {
        statusCode: 503, code: 'CHARTS_ERR_STORE_UNAVAILABLE', error: 'Service Unavailable', message: 'The chart queue is not reachable, try again later'
      })
    }),
    timed(t, 'stream', async () => {
      const reader = await openSse(`${base}/stream/${task_id}`, ada)
      t.equal(reader.status, 200, 'any other status would stop an EventSource for good')
      t.match(await reader.rest(), [{ retry: '5000', comment: /\w/, data: undefined }])
    }),
    timed(t, 'stream of a message', async () => {
      const reader = await openSse(`${base}/stream/by-message/${crypto.randomUUID()}`, ada)
      t.match(await reader.rest(), [{ retry: '5000', comment: /\w/, data: undefined }])
    }),
    timed(t, 'ws', async () => {
      const reader = await openWebSocket(`${base}/ws/${task_id}`, { headers: ada })
      t.match(await reader.closed, { code: 1013 })
    })
  ])
  t.equal((await host.nobody.get('/async/stats')).statusCode, 401, 'who is nobody is told so all the same')
  t.equal((await host.as('ada').post({})).statusCode, 400)
}

async function recovers (host: Host): Promise<void> {
  while ((await host.as('ada').post({ message_id: crypto.randomUUID() })).statusCode !== 202);
}

t.test('Redis is down at the start', async t => {
  const { proxy, host, base } = await startBehindProxy(t, { down: true })
  await refusesAll(t, host, base, crypto.randomUUID())
  t.strictSame(await host.service.checkHealth(), { store: false, feed: false, writable: false })
  await proxy.restore()
  await recovers(host)
  t.match(await host.service.checkHealth(), { store: true })
})

for (const [name, fault] of Object.entries(faults)) {
  for (const client of [{}, PATIENT]) {
    t.test(`Redis ${name}, with ${client === PATIENT ? 'a client that waits for ever' : 'a client as it comes'}`, async t => {
      const { proxy, host, base } = await startBehindProxy(t, { client })
      const { task_id } = await host.as('ada').create()
      await fault(proxy)
      await refusesAll(t, host, base, task_id)
      await proxy.restore()
      await recovers(host)
    })
  }

  t.test(`Redis ${name} while somebody watches`, async t => {
    const { proxy, host, base } = await startBehindProxy(t)
    const workshop = await startHost(t, 'redis', { keyPrefix: host.keyPrefix })
    const { task_id } = await host.as('ada').create()
    const stream = await openSse(`${base}/stream/${task_id}`, ada)
    const socket = await openWebSocket(`${base}/ws/${task_id}`, { headers: ada })
    t.equal((await stream.task())!.version, 1)
    t.equal((await socket.task())!.version, 1)
    await fault(proxy)
    await workshop.progress(task_id, { step: 'rendering', progress: 50 })
    await workshop.finish(task_id, { content: 1 })
    await proxy.restore()
    for (const reader of [stream, socket]) {
      const versions = [1]
      let last
      for (let task = await reader.task(); task; task = await reader.task()) {
        versions.push(task.version)
        last = task
      }
      t.strictSame(last, (await workshop.as('ada').get(`/async/${task_id}/status`)).json(), 'ends on the finished task, without coming back for it')
      t.strictSame(versions, [...new Set(versions)].sort((a, b) => a - b))
    }
    t.match(await socket.closed, { code: 1000 })
  })

  t.test(`app.close() while Redis ${name}`, async t => {
    const { proxy, host, base } = await startBehindProxy(t)
    const { task_id } = await host.as('ada').create()
    const stream = await openSse(`${base}/stream/${task_id}`, ada)
    const socket = await openWebSocket(`${base}/ws/${task_id}`, { headers: ada })
    await Promise.all([stream.task(), socket.task()])
    await fault(proxy)
    await timed(t, 'close', () => host.app.close())
    t.match((await stream.rest()).at(-1), { retry: /^\d+$/ })
    t.match(await socket.closed, { code: 1012 })
  })
}

t.test('a POST that was queued all the same is found by its Idempotency-Key, and without force_create', async t => {
  const { proxy, host } = await startBehindProxy(t)
  const caller = host.as('ada')
  const keyed = { 'idempotency-key': 'once' }
  const forced = { message_id: crypto.randomUUID(), force_create: true }
  const plain = { message_id: crypto.randomUUID() }
  proxy.stallReplies()
  const answers = await Promise.all([caller.post(forced, keyed), caller.post(plain)])
  for (const response of answers) t.equal(response.statusCode, 503)
  await proxy.restore()
  await recovers(host)
  const again = await caller.post(forced, keyed)
  t.equal(again.headers['idempotent-replayed'], 'true')
  t.equal((await caller.post(plain)).json().message, 'Chart generation already in progress')
  for (const { message_id } of [forced, plain]) t.equal((await host.service.getActiveTasksByMessageId(message_id, 'ada')).length, 1)
})

t.test('a task that vanishes ends its streams', async t => {
  const { proxy, host, base } = await startBehindProxy(t)
  const { task_id } = await host.as('ada').create()
  const stream = await openSse(`${base}/stream/${task_id}`, ada)
  const socket = await openWebSocket(`${base}/ws/${task_id}`, { headers: ada })
  await Promise.all([stream.task(), socket.task()])
  await proxy.cut()
  await host.redis!.unlink(`{${host.keyPrefix}}:task:${task_id}`)
  await proxy.restore()
  t.match(await socket.closed, { code: 4404 })
  t.equal(await stream.task(), null)
  t.equal((await openSse(`${base}/stream/${task_id}`, { ...ada, 'last-event-id': '1' })).status, 404, 'which stops an EventSource')
})

t.test('Redis goes silent between two steps of one request', async t => {
  let stalls = false
  const { proxy, host } = await startBehindProxy(t, {
    authorize: () => {
      if (stalls) proxy.stall()
      return true
    }
  })
  const { task_id } = await host.as('ada').finished({ content: 1 })
  for (const [name, ask] of asked.filter(([name]) => ['result', 'cancel', 'by-message'].includes(name))) {
    stalls = true
    const response = await timed(t, name, () => ask(host.as('ada'), task_id))
    t.equal(response.statusCode, 503, name)
    stalls = false
    await proxy.restore()
    await recovers(host)
  }
})

t.test('a Redis that answers late: one deadline for all that a request asks of it', async t => {
  const { proxy, host } = await startBehindProxy(t, { limits: { waitingPerTenant: 6 } })
  const ada = host.as('ada')
  const message_id = crypto.randomUUID()
  const { task_id: finished } = await ada.finished({ content: 1 }, { message_id })
  const { task_id: failed } = await ada.finished({ error: new Error('no') }, { message_id: crypto.randomUUID() })
  const json = { 'content-type': 'application/json' }
  const batch = (size: number) => JSON.stringify({ tasks: Array.from({ length: size }, () => ({ message_id: crypto.randomUUID() })) })
  const { batch_id, tasks } = (await ada.request('POST', '/async/batch', { headers: json, payload: batch(2) })).json()
  const [{ task_id }] = tasks
  const { task_id: waiting } = await ada.create()
  const late: Array<[name: string, ask: () => ReturnType<Caller['get']>]> = [
    ...asked.map(([name, ask]) => [name, () => ask(ada, task_id)] as (typeof late)[number]),
    ['cancel', () => ada.delete(`/async/${waiting}`)],
    ['result', () => ada.get(`/async/${finished}/result`)],
    ['by-message', () => ada.get(`/by-message/${message_id}`)],
    ['batch', () => ada.request('POST', '/async/batch', { headers: json, payload: batch(1) })],
    ['batch that is too much', () => ada.request('POST', '/async/batch', { headers: json, payload: batch(6) })],
    ['batch status', () => ada.get(`/async/batch/${batch_id}`)],
    ['batch cancel', () => ada.delete(`/async/batch/${batch_id}`)],
    ['list', () => ada.get('/admin/tasks')],
    ['inspect', () => ada.get(`/admin/tasks/${task_id}`)],
    ['retry', () => ada.request('POST', `/admin/tasks/${failed}/retry`)],
    ['workers', () => ada.get('/admin/workers')],
    ['history', () => ada.get('/admin/history?minutes=1440')],
    ['failures', () => ada.get('/admin/failures')],
    ['retry many', () => ada.request('POST', '/admin/tasks/retry', { headers: json, payload: '{"filter":{"status":"FAILED"}}' })],
    ['cancel many', () => ada.request('POST', '/admin/tasks/cancel', { headers: json, payload: '{"filter":{"user_id":"bob"}}' })],
    ['pause', () => ada.request('POST', '/admin/pause')],
    ['cancel any', () => ada.delete(`/admin/tasks/${task_id}`)]
  ]
  // A script that Redis has not seen yet takes two answers.
  t.equal((await ada.get('/async/stats')).statusCode, 200)
  proxy.delay(1_100)
  const statuses = await Promise.all(late.map(async ([name, ask]) => {
    const response = await timed(t, name, ask)
    t.ok([200, 202, 404, 409, 429, 503].includes(response.statusCode), name, { status: response.statusCode })
    if ([429, 503].includes(response.statusCode)) t.match(response.headers['retry-after'], /^[1-9]\d*$/, name)
    return [name, response.statusCode] as const
  }))
  t.ok(statuses.some(([name, status]) => name === 'cancel' && status === 503), 'who needs two answers does not get the second')
  t.ok(statuses.some(([name, status]) => name === 'stats' && status === 200), 'who needs one gets it')
  proxy.delay(0)
  await recovers(host)
})

t.test("the host's own time is not the store's", async t => {
  let slow = ''
  const { proxy, host } = await startBehindProxy(t, {
    identify: async request => {
      await delay(request.headers['x-slow'] ? 1_000 : 0)
      return identify(request)
    },
    authorize: async (_identity, { message_id }) => {
      await delay(message_id === slow ? 1_000 : 0)
      return true
    }
  })
  const ada = host.as('ada')
  const { task_id, message_id } = await ada.create()
  const { task_id: other } = await ada.create()
  slow = message_id
  proxy.delay(300)
  const responses = await Promise.all([
    ada.get(`/async/${task_id}/status`, { 'x-slow': '1' }), ada.delete(`/async/${task_id}`), ada.get(`/by-message/${slow}`, { 'x-slow': '1' }),
    ada.get(`/async/${other}/status`, { prefer: 'wait=2' })
  ])
  t.strictSame(responses.map(({ statusCode }) => statusCode), [200, 200, 200, 200])
})

t.test('connections that have died without a word are replaced', { timeout: 30_000 }, async t => {
  const { proxy, host, base } = await startBehindProxy(t)
  const { task_id } = await host.as('ada').create()
  const stream = await openSse(`${base}/stream/${task_id}`, ada)
  await stream.task()
  proxy.abandon()
  const first = await timed(t, 'create', () => host.as('ada').post({ message_id: crypto.randomUUID() }))
  t.equal(first.statusCode, 503)
  await recovers(host)
  await host.finish(task_id, { content: 1 })
  let last
  for (let task = await stream.task(); task; task = await stream.task()) last = task
  t.equal(last!.status, 'COMPLETED', 'and who watches learns of the end')
})

t.test('a full Redis accepts no new task, and lets existing ones end', async t => {
  const server = await startRedis()
  const redis = new Redis(server.url)
  t.teardown(async () => {
    redis.disconnect()
    await server.stop()
  })
  const host = await startHost(t, 'redis', { redis })
  const { task_id } = await host.as('ada').create()
  const other = await host.as('ada').create()
  await host.take(task_id)
  await redis.config('SET', 'maxmemory', '1')
  const response = await timed(t, 'create', () => host.as('ada').post({ message_id: crypto.randomUUID() }))
  t.equal(response.statusCode, 503)
  t.ok(response.headers['retry-after'])
  t.equal(response.json().code, 'CHARTS_ERR_STORE_UNAVAILABLE')
  t.notMatch(response.body, /OOM|maxmemory/)
  t.equal((await host.as('ada').get(`/async/${task_id}/status`)).statusCode, 200)
  t.equal((await host.as('ada').delete(`/async/${other.task_id}`)).json().status, 'CANCELLED')
  await host.finish(task_id, { content: 1 })
  t.strictSame((await host.as('ada').get(`/async/${task_id}/result`)).json().content, 1)
  await redis.config('SET', 'maxmemory', '0')
  t.equal((await host.as('ada').post({ message_id: crypto.randomUUID() })).statusCode, 202)
})

t.test('many requests at once while Redis is away are no leak', async t => {
  const warnings: Error[] = []
  const warn = (warning: Error) => warnings.push(warning)
  process.on('warning', warn)
  t.teardown(() => process.off('warning', warn))
  const { host } = await startBehindProxy(t, { down: true })
  const answers = await Promise.all(Array.from({ length: 30 }, () => host.as('ada').get('/async/stats')))
  for (const response of answers) t.equal(response.statusCode, 503)
  t.strictSame(warnings, [])
})
