import { randomUUID } from 'node:crypto'
import t from 'tap'
import { queueOf } from '../../lib/chart-queue-service.ts'
import { ChartGenerationError, ChartQueueService, memoryStore, type ChartQueueServiceOptions, type CreateChartRequest, type Identity, type StoredTask } from '../../lib/index.ts'
import { hostStore } from '../helpers/chart-store.ts'
import { gate, inTime } from '../helpers/gate.ts'
import { recordingLogger } from '../helpers/recording-logger.ts'

const message_id = '9F0CF2A2-9b5c-4f3e-8f31-6f0f5a3c1d11'
const ada: Identity = { user_id: 'ada', org_id: 'acme' }

interface Test { teardown (end: () => unknown): unknown }

function start (t: Test, options: Partial<ChartQueueServiceOptions> = {}): ChartQueueService {
  const service = new ChartQueueService({ store: memoryStore(), ...options })
  t.teardown(() => service.close())
  return service
}

t.test('what is asked for is queued, with the defaults filled in and nothing rewritten', async t => {
  const service = start(t)
  const { task, outcome } = await service.enqueueChartTask({ message_id }, ada)
  t.equal(outcome, 'queued')
  t.match(task, { message_id, status: 'PENDING', visibility: 'PRIVATE', adjustment_query: null, user_id: 'ada', org_id: 'acme', max_attempts: 3, version: 1 })
  const taken = await service.dequeueChartTask()
  t.strictSame(taken?.request, {
    task_id: task.task_id, message_id, user_id: 'ada', org_id: 'acme', visibility: 'PRIVATE', force_create: false, adjustment_query: null
  })
  const { task: full } = await service.enqueueChartTask({ message_id, visibility: 'PUBLIC', force_create: true, adjustment_query: ' As a “line” chart\n' }, { user_id: 'bob' })
  t.match(full, { visibility: 'PUBLIC', adjustment_query: ' As a “line” chart\n', org_id: null })
})

t.test('the raw request is given back byte for byte as it was stored', async t => {
  const store = memoryStore()
  const drafts: string[] = []
  const watching = new Proxy(store, {
    get (target, name) {
      if (name !== 'enqueue') return (target[name as keyof typeof target] as () => unknown).bind(target)
      return (draft: Parameters<typeof store.enqueue>[0]) => {
        drafts.push(draft.request)
        return store.enqueue(draft)
      }
    }
  })
  const service = start(t, { store: watching, paramsSchema: {} })
  const params = { größe: [1.50, '😀', null], b: 1, a: 2 }
  const { task } = await service.enqueueChartTask({ message_id, adjustment_query: '\u0000 “日本語”', params }, ada)
  const raw = await service.getTaskData(task.task_id)
  t.equal(raw, drafts[0])
  t.strictSame(JSON.parse(raw!).params, params)
  t.ok(raw!.indexOf('"b"') < raw!.indexOf('"a"'), 'in the order in which it was asked')
  t.equal(await service.getTaskData(task.task_id.toUpperCase()), raw)
  t.equal(await service.getTaskData(randomUUID()), null)
})

const badRequests: Array<[request: unknown, message: RegExp]> = [
  [undefined, /request/],
  [null, /request must be object/],
  ['a chart', /request must be object/],
  [{}, /must have required property 'message_id'/],
  [{ message_id: 'message' }, /request\/message_id/],
  [{ message_id: `urn:uuid:${message_id}` }, /request\/message_id/],
  [{ message_id, visibility: 'SECRET' }, /request\/visibility must be one of PRIVATE, ORGANIZATION, PUBLIC/],
  [{ message_id, force_create: 'true' }, /request\/force_create must be boolean/],
  [{ message_id, force_create: 1 }, /request\/force_create must be boolean/],
  [{ message_id, adjustment_query: 5 }, /request\/adjustment_query/],
  [{ message_id, colour: 'red' }, /request must not have colour/],
  [{ message_id, force_create: 'yes', colour: 'red' }, /colour.*force_create|force_create.*colour/],
  [{ message_id, params: { rows: 5 } }, /params is not accepted/]
]
for (const [request, message] of badRequests) {
  t.test(`refused: ${JSON.stringify(request)}`, async t => {
    const service = start(t)
    await t.rejects(service.enqueueChartTask(request as CreateChartRequest, ada), { code: 'CHARTS_ERR_INVALID_REQUEST', statusCode: 400, message })
    t.equal((await service.getQueueStats()).queue_length, 0)
  })
}

t.test('params are what the host says they are', async t => {
  const paramsSchema = { type: 'object', properties: { rows: { type: 'integer' }, since: { type: 'string', format: 'date' } }, additionalProperties: false }
  const service = start(t, { paramsSchema })
  await t.resolves(service.enqueueChartTask({ message_id }, ada), 'they may be left out')
  const { task, outcome } = await service.enqueueChartTask({ message_id, params: { rows: 5, since: '2015-01-01' } }, ada)
  t.equal(outcome, 'queued', 'other params, another chart')
  const again = await service.enqueueChartTask({ message_id, params: { since: '2015-01-01', rows: 5 } }, ada)
  t.strictSame([again.outcome, again.task.task_id], ['already_active', task.task_id], 'in whatever order')
  for (const params of [{ rows: '5' }, { rows: 5, colour: 'red' }, { since: 'yesterday' }, null, 5]) {
    await t.rejects(service.enqueueChartTask({ message_id, params }, ada), { code: 'CHARTS_ERR_INVALID_REQUEST', message: /request\/params/ })
  }
})

t.test('a request has at most as many bytes as allowed', async t => {
  const service = start(t, { limits: { requestBytes: 500 } })
  await service.enqueueChartTask({ message_id, adjustment_query: 'x'.repeat(100) }, ada)
  await t.rejects(service.enqueueChartTask({ message_id, adjustment_query: 'ü'.repeat(200) }, ada), {
    code: 'CHARTS_ERR_REQUEST_TOO_LARGE', statusCode: 413, message: /at most 500/
  })
})

/** Ids that a store would take for another one, or that make keys too long. */
const UNFIT = ['a\ud800', '\udc00a', 'x'.repeat(513)]

t.test('an identity that is none is refused everywhere', async t => {
  const service = start(t)
  for (const identity of [undefined, null, {}, { user_id: '' }, { user_id: 5 }, { user_id: 'ada', org_id: '' }, { user_id: 'ada', org_id: 5 }, ...UNFIT.flatMap(id => [{ user_id: id }, { user_id: 'ada', org_id: id }])] as never[]) {
    await t.rejects(service.enqueueChartTasks([{ message_id }], identity), { code: 'CHARTS_ERR_INVALID_IDENTITY' })
    await t.rejects(async () => service.watchMessage(message_id, identity, { signal: AbortSignal.abort() }), { code: 'CHARTS_ERR_INVALID_IDENTITY' })
    await t.rejects(service.enqueueChartTask({ message_id }, identity), { code: 'CHARTS_ERR_INVALID_IDENTITY' })
    await t.rejects(async () => service.getMessageCharts(message_id, identity, { limit: 1, content: true }), { code: 'CHARTS_ERR_INVALID_IDENTITY' })
  }
  await t.resolves(service.enqueueChartTask({ message_id }, { user_id: 'ada', org_id: null, roles: ['analyst'] }))
})

t.test('what is no id, no lease or no outcome is refused with a code', async t => {
  const service = start(t)
  const { task: { task_id } } = await service.enqueueChartTask({ message_id }, ada)
  const { lease } = (await service.dequeueChartTask())!
  const refused = (ask: () => Promise<unknown>, message: RegExp) => t.rejects(ask, { code: 'CHARTS_ERR_INVALID_REQUEST', statusCode: 400, message })
  for (const id of [undefined, null, 5, {}, [task_id]] as never[]) {
    for (const verb of ['getTaskStatus', 'getTaskData', 'getTaskDetails', 'cancelTask', 'retryTask'] as const) await refused(async () => service[verb](id), /task_id must be a string/)
    for (const verb of ['extendLease', 'releaseTask'] as const) await refused(async () => service[verb](id, lease), /task_id must be a string/)
    await refused(async () => service.watchTask(id).next(), /task_id/)
    for (const verb of ['getBatch', 'cancelBatch'] as const) await refused(async () => service[verb](id), /batch_id must be a string/)
    await refused(async () => service.getActiveTasksByMessageId(id, 'ada'), /message_id must be a string/)
  }
  for (const none of [undefined, null, '1', [lease], 1.5, NaN] as never[]) {
    for (const verb of ['extendLease', 'releaseTask'] as const) await refused(async () => service[verb](task_id, none), /lease must be a whole number/)
    await refused(async () => service.updateTaskProgress(task_id, none, { progress: 1 }), /lease/)
    await refused(async () => service.completeTask(task_id, none, { content: 1 }), /lease/)
  }
  for (const outcome of [undefined, null, 5, {}, { chart: 1 }] as never[]) await refused(async () => service.completeTask(task_id, lease, outcome), /content or error/)
  for (const id of UNFIT) {
    for (const verb of ['getTaskStatus', 'getTaskData', 'getTaskDetails', 'cancelTask', 'retryTask'] as const) await refused(async () => service[verb](id), /task_id must have at most 512 characters/)
    for (const verb of ['getBatch', 'cancelBatch'] as const) await refused(async () => service[verb](id), /batch_id/)
    await refused(async () => service.watchTask(id).next(), /task_id/)
    await refused(async () => service.getActiveTasksByMessageId(message_id, id), /user_id/)
  }
  for (const id of [...UNFIT, '', 'x', `${message_id}:a`]) {
    const options = { limit: 1, content: true, signal: AbortSignal.abort() }
    await refused(async () => service.getActiveTasksByMessageId(id, 'ada'), /message_id/)
    for (const verb of ['getMessageCharts', 'watchMessage'] as const) await refused(async () => service[verb](id, ada, options), /message_id/)
  }
  for (const worker_id of [null, 5, '', ...UNFIT] as never[]) await refused(async () => service.dequeueChartTask(worker_id), /worker_id/)
  t.match(await service.getTaskStatus(task_id), { status: 'PROCESSING', progress: 0 })
  t.ok(await service.completeTask(task_id.toUpperCase(), lease, { content: 1 }))
})

t.test('who asks for the same is given the same, who is somebody else is not', async t => {
  const service = start(t)
  const ask = async (identity: Identity, request: Partial<CreateChartRequest> = {}) => {
    const { outcome, task } = await service.enqueueChartTask({ message_id, ...request }, identity)
    return { outcome, task_id: task.task_id }
  }
  const { task_id } = await ask(ada)
  const same = { outcome: 'already_active', task_id }
  t.strictSame(await ask(ada, { message_id: message_id.toLowerCase(), adjustment_query: null, visibility: 'PRIVATE', force_create: false }), same)
  for (const [identity, request] of [
    [{ user_id: 'bob', org_id: 'acme' }, {}], [{ user_id: 'ada' }, {}], [{ user_id: 'ada', org_id: 'another' }, {}], [ada, { visibility: 'PUBLIC' }],
    [ada, { adjustment_query: '' }], [ada, { adjustment_query: 'log scale' }], [ada, { adjustment_query: 'Log scale' }], [ada, { message_id: randomUUID() }],
    [ada, { force_create: true }]
  ] as Array<[Identity, Partial<CreateChartRequest>]>) t.equal((await ask(identity, request)).outcome, 'queued')
})

t.test('a chart that exists answers', async t => {
  const service = start(t)
  const { task: { task_id } } = await service.enqueueChartTask({ message_id }, ada)
  await service.completeTask(task_id, 1, { content: 1 }).then(done => t.notOk(done, 'nobody has taken it yet'))
  const { lease } = (await service.dequeueChartTask())!
  t.ok(await service.completeTask(task_id, lease, { content: { mark: 'bar' } }))
  const again = await service.enqueueChartTask({ message_id }, ada)
  t.match(again, { outcome: 'chart_exists', task: { task_id, status: 'COMPLETED' } })
  t.strictSame(Object.keys(again).sort(), ['outcome', 'task'], 'and nothing else')
  t.match(await service.getChart(again.task), { chart_id: again.task.chart_id, task_id, content: { mark: 'bar' } })
})

t.test('an idempotency key is the caller’s own', async t => {
  const service = start(t)
  const keyed = { idempotencyKey: 'one' }
  const { task } = await service.enqueueChartTask({ message_id, force_create: true }, ada, keyed)
  t.strictSame(await service.enqueueChartTask({ message_id, force_create: true }, ada, keyed), { outcome: 'replayed', task })
  await t.rejects(service.enqueueChartTask({ message_id }, ada, keyed), { code: 'CHARTS_ERR_IDEMPOTENCY_KEY_REUSED', statusCode: 422 })
  for (const other of [{ user_id: 'ada' }, { user_id: 'bob', org_id: 'acme' }]) {
    t.equal((await service.enqueueChartTask({ message_id }, other, keyed)).outcome, 'queued')
  }
})

t.test('limits have their errors', async t => {
  const service = start(t, { limits: { waitingPerTenant: 1, queueLength: 2 } })
  await service.enqueueChartTask({ message_id }, ada)
  await t.rejects(service.enqueueChartTask({ message_id: randomUUID() }, { user_id: 'bob', org_id: 'acme' }), { code: 'CHARTS_ERR_TOO_MANY_TASKS', statusCode: 429 })
  await service.enqueueChartTask({ message_id }, { user_id: 'acme' })
  await t.rejects(service.enqueueChartTask({ message_id }, { user_id: 'bob' }), { code: 'CHARTS_ERR_QUEUE_FULL', statusCode: 503 })
})

t.test('the holder of a lease reports, prolongs and completes; nobody else does', async t => {
  const service = start(t)
  const { task: { task_id } } = await service.enqueueChartTask({ message_id }, ada)
  const { lease } = (await service.dequeueChartTask('worker'))!
  t.equal(await service.dequeueChartTask('worker'), null)
  for (const [id, number] of [[task_id, lease + 1], [randomUUID(), lease]] as const) {
    t.equal(await service.updateTaskProgress(id, number, { progress: 50 }), false)
    t.equal(await service.extendLease(id, number), false)
    t.equal(await service.releaseTask(id, number), false)
    t.equal(await service.completeTask(id, number, { content: 1 }), false)
    t.equal(await service.completeTask(id, number, { error: new Error('no') }), false)
  }
  t.equal(await service.updateTaskProgress(task_id, lease, { step: 'rendering', step_progress: 250, progress: 100 }), true)
  t.match(await service.getTaskStatus(task_id), { progress: 99, current_step: 'rendering', step_progress: { rendering: 100 }, version: 3 })
  t.equal(await service.extendLease(task_id, lease), true)
  t.equal(await service.completeTask(task_id, lease, { content: 1 }), true)
  t.equal(await service.completeTask(task_id, lease, { content: 1 }), true, 'its first reply may have been lost')
  t.equal(await service.releaseTask(task_id, lease), false)
  t.equal(await service.extendLease(task_id, lease), false)
  t.match(await service.getTaskStatus(task_id.toUpperCase()), { status: 'COMPLETED', progress: 100, version: 4 })
})

t.test('errors are retried where that may help', async t => {
  const service = start(t, { retry: { attempts: 3, backoff: { delay: 0 } } })
  const { task: { task_id } } = await service.enqueueChartTask({ message_id }, ada)
  const fail = async (error: unknown) => {
    const { lease } = (await service.dequeueChartTask())!
    t.equal(await service.completeTask(task_id, lease, { error }), true)
    return service.getTaskStatus(task_id)
  }
  t.match(await fail(new Error('password=hunter2')), { status: 'PENDING', current_step: 'retrying', attempt: 1, error_code: null, error_message: null })
  const taken = (await service.dequeueChartTask())!
  t.ok(await service.releaseTask(task_id, taken.lease))
  t.match(await service.getTaskStatus(task_id), { status: 'PENDING', current_step: 'queued', attempt: 1 })
  t.match(await fail(new ChartGenerationError('No rows', { code: 'NO_DATA' })), { status: 'FAILED', error_code: 'NO_DATA', error_message: 'No rows', attempt: 2 })
  t.equal(await service.dequeueChartTask(), null)
})

t.test('content that is no chart fails the task at once', async t => {
  const service = start(t)
  for (const [content, code] of [[undefined, 'CHARTS_ERR_INVALID_CHART'], [{ big: 1n }, 'CHARTS_ERR_INVALID_CHART'], ['x'.repeat(1_048_577), 'CHARTS_ERR_CHART_TOO_LARGE']] as const) {
    const { task: { task_id } } = await service.enqueueChartTask({ message_id, force_create: true }, ada)
    const { lease } = (await service.dequeueChartTask())!
    t.equal(await service.completeTask(task_id, lease, { content: content as never }), true)
    t.match(await service.getTaskStatus(task_id), { status: 'FAILED', error_code: code, attempt: 1 })
  }
})

t.test('a cancel answers with the task as it is', async t => {
  const service = start(t)
  const { task: { task_id } } = await service.enqueueChartTask({ message_id }, ada)
  t.match(await service.cancelTask(task_id.toUpperCase()), { task_id, status: 'CANCELLED' })
  t.match(await service.cancelTask(task_id), { task_id, status: 'CANCELLED' })
  t.equal(await service.cancelTask(randomUUID()), null)
  t.equal(await service.getTaskStatus(randomUUID()), null)
})

t.test('active tasks of a message are found, in whatever case it is written', async t => {
  const service = start(t)
  const { task } = await service.enqueueChartTask({ message_id }, ada)
  for (const id of [message_id, message_id.toLowerCase(), message_id.toUpperCase()]) {
    t.strictSame(await service.getActiveTasksByMessageId(id, 'ada'), [task])
    t.strictSame(await service.getActiveTasksByMessageId(id, 'bob'), [])
  }
})

t.test('onFinished is told of every end, and what it throws is only logged', async t => {
  const logger = recordingLogger()
  const told: string[] = []
  const onFinished = (task: { status: string, error_code: string | null }) => {
    told.push(task.error_code ?? task.status)
    if (told.length % 2 === 0) throw new Error('the host has a bug')
    return told.length % 3 === 0 ? Promise.reject(new Error('the host has another')) : undefined
  }
  let now = Date.now()
  const service = start(t, { store: memoryStore({ now: () => now }), retry: { attempts: 1 }, onFinished, logger, leaseDuration: 1_000 })
  const run = async () => {
    const { task } = await service.enqueueChartTask({ message_id, force_create: true }, ada)
    return { task_id: task.task_id, lease: (await service.dequeueChartTask())!.lease }
  }
  const done = await run()
  await service.completeTask(done.task_id, done.lease, { content: 1 })
  const failed = await run()
  await service.completeTask(failed.task_id, failed.lease, { error: new ChartGenerationError('No rows', { code: 'NO_DATA' }) })
  await service.cancelTask((await run()).task_id)
  await service.cancelTask(done.task_id)
  await run()
  now += 1_000
  await service.dequeueChartTask()
  await service.close()
  t.strictSame(told, ['COMPLETED', 'NO_DATA', 'CANCELLED', 'CHARTS_ERR_WORKER_LOST'])
  t.strictSame(logger.said('onFinished failed').map(({ level }) => level), ['error', 'error', 'error'])
})

t.test('closing waits for onFinished and ends the watches, but leaves the host’s store open', async t => {
  const store = memoryStore()
  let told = false
  const service = start(t, {
    store,
    onFinished: async () => {
      await new Promise(resolve => setTimeout(resolve, 20))
      told = true
    }
  })
  const { task } = await service.enqueueChartTask({ message_id }, ada)
  const watch = service.watchTask(task.task_id.toUpperCase())[Symbol.asyncIterator]()
  t.strictSame((await watch.next()).value, task)
  const rest = watch.next()
  const other = await service.enqueueChartTask({ message_id: randomUUID() }, ada)
  await service.cancelTask(other.task.task_id)
  await service.close()
  t.ok(told)
  t.equal((await rest).done, true)
  t.strictSame(await store.read([task.task_id]), [task])
})

t.test('statistics, clean-up and health are the store’s', async t => {
  let now = Date.parse('2030-01-01T00:00:00.000Z')
  const service = start(t, { store: memoryStore({ now: () => now }), retention: { task: 100, status: 50, messageIndex: 100 } })
  const { task } = await service.enqueueChartTask({ message_id }, ada)
  t.match(await service.getQueueStats(), { queue_length: 1, processing_count: 0, updated_at: '2030-01-01T00:00:00.000Z' })
  await service.cancelTask(task.task_id)
  t.equal(await service.cleanupExpiredTasks(), 0)
  now += 100_000
  t.equal(await service.cleanupExpiredTasks(), 1)
  t.equal(await service.getTaskStatus(task.task_id), null)
  t.strictSame(await service.checkHealth(), { store: true, feed: true, writable: true })
})

t.test('a tenantWeight that is none is refused, and nothing is queued', async t => {
  for (const weight of [0, 61, 1.5, NaN, '3', null, -1]) {
    const service = start(t, { tenantWeight: () => weight as number })
    const refused = service.enqueueChartTask({ message_id }, ada)
    if (weight === null) await t.resolves(refused, 'nothing said is 1')
    else await t.rejects(refused, { code: 'CHARTS_ERR_INVALID_TENANT_WEIGHT' }, String(weight))
    t.equal((await service.getQueueStats()).queue_length, weight === null ? 1 : 0)
  }
})

t.test('a wait that is bounded ends also where nobody works', async t => {
  // Nothing of the service keeps a process alive.
  const alive = setInterval(() => {}, 1_000)
  t.teardown(() => clearInterval(alive))
  const ended: string[] = []
  const service = start(t, { limits: { queueTimeout: 200 }, onFinished: ({ task_id, error_code }) => { ended.push(`${task_id} ${error_code}`) } })
  const { task: { task_id } } = await service.enqueueChartTask({ message_id }, ada)
  const states = []
  for await (const { status } of service.watchTask(task_id)) states.push(status)
  t.strictSame(states, ['PENDING', 'FAILED'])
  t.strictSame(ended, [`${task_id} CHARTS_ERR_QUEUE_TIMEOUT`])
})

t.test('operators: what is asked wrongly', async t => {
  const service = start(t)
  for (const cursor of ['', 'x', 'active.1.2', `done.1.${randomUUID()}`]) {
    await t.rejects(service.listTasks({ cursor }), { code: 'CHARTS_ERR_INVALID_REQUEST', message: /cursor/ }, cursor)
  }
  for (const limit of [0, -1, 1.5, NaN, 1_001, '5']) {
    await t.rejects(service.listTasks({ limit: limit as number }), { code: 'CHARTS_ERR_INVALID_REQUEST', message: /limit/ }, String(limit))
  }
  for (const wrong of [{ status: null }, { status: 'DONE' }, { user_id: '' }, { user_id: null }, { org_id: '' }, { org_id: 1 }, ...UNFIT.flatMap(id => [{ user_id: id }, { org_id: id }])]) {
    await t.rejects(service.listTasks(wrong as object), { code: 'CHARTS_ERR_INVALID_REQUEST', message: new RegExp(Object.keys(wrong)[0]!) }, JSON.stringify(wrong))
  }
  t.equal(await service.retryTask(randomUUID()), null)
  t.equal(await service.getTaskDetails(randomUUID()), null)
  const { task } = await service.enqueueChartTask({ message_id }, ada)
  await t.rejects(service.retryTask(task.task_id), { code: 'CHARTS_ERR_TASK_NOT_FAILED' })
})

t.test('a store that does not say what is to come, or not in time, costs the estimates alone', async t => {
  for (const snapshot of [undefined, () => new Promise(() => {}), async () => { throw new Error('no') }]) {
    const store = memoryStore()
    const service = start(t, {
      store: Object.assign(Object.create(store), Object.fromEntries(['enqueue', 'read', 'claim', 'settleAttempts', 'listen', 'close'].map(name =>
        [name, (store[name as keyof typeof store] as () => unknown).bind(store)])), { snapshot })
    })
    const { task } = await service.enqueueChartTask({ message_id }, ada)
    t.match(task, { status: 'PENDING', estimated_completion: null, queue_position: 1 })
    t.match(await service.getTaskStatus(task.task_id), { status: 'PENDING', estimated_completion: null })
    t.equal(await queueOf(service).estimates.retryAfter(task), 1)
  }
})

t.test('what is to come is asked for after a create was sent, and before it is answered', async t => {
  const calls: string[] = []
  const asked = gate()
  const store = memoryStore()
  const [enqueue, snapshot] = [store.enqueue.bind(store), store.snapshot.bind(store)]
  store.enqueue = async draft => {
    // A store may gather what comes in one turn.
    queueMicrotask(() => calls.push('enqueue'))
    await asked.opened
    return enqueue(draft)
  }
  store.snapshot = () => {
    calls.push('snapshot')
    asked.open()
    return snapshot()
  }
  await inTime(start(t, { store }).enqueueChartTask({ message_id }, ada), 5_000, 'the create')
  t.same(calls.slice(0, 2), ['enqueue', 'snapshot'])
})

t.test('a lease is good for its task in any case', async t => {
  const service = start(t)
  const { task: { task_id } } = await service.enqueueChartTask({ message_id }, ada)
  const upper = task_id.toUpperCase()
  const held = (await service.dequeueChartTask())!
  t.equal(await service.updateTaskProgress(upper, held.lease, { progress: 5 }), true)
  t.equal(await service.extendLease(upper, held.lease), true)
  t.equal(await service.releaseTask(upper, held.lease), true)
  const again = (await service.dequeueChartTask())!
  t.equal(await service.completeTask(upper, again.lease, { content: 'a chart' }), true)
})

t.test('what a cancel leaves in the host\'s store is deleted', async t => {
  const chartStore = hostStore()
  const service = start(t, { chartStore })
  const { task: { task_id } } = await service.enqueueChartTask({ message_id }, ada)
  const { task, lease } = (await service.dequeueChartTask())!
  await queueOf(service).settlements.prepare(task as StoredTask, lease, { content: 'a draft' }, new AbortController())
  const deleted = gate()
  const forget = chartStore.delete
  chartStore.delete = async chart_id => { await forget(chart_id); deleted.open() }
  await service.cancelTask(task_id)
  await deleted.opened
  t.equal(chartStore.charts.size, 0)
})

t.test('a stream of a message with more tasks than it lists shows them all', async t => {
  const service = start(t, { limits: { waitingPerTenant: 0 } })
  const requests = Array.from({ length: 75 }, (_, i) => ({ message_id, adjustment_query: `${i}` }))
  for (const half of [0, 1]) await service.enqueueChartTasks(requests.map(request => ({ ...request, adjustment_query: `${half} ${request.adjustment_query}` })), ada)
  const stop = new AbortController()
  const ended = new Set<string>()
  const work = async () => {
    for (let held = await service.dequeueChartTask(); held; held = await service.dequeueChartTask()) {
      await service.completeTask(held.task.task_id, held.lease, { content: 'a chart' })
    }
  }
  let working
  for await (const { task } of service.watchMessage(message_id, ada, { signal: stop.signal })) {
    working ??= work()
    if (task.status === 'COMPLETED') ended.add(task.task_id)
    if (ended.size === 150) break
  }
  await working
  t.equal(ended.size, 150)
})

t.test('a cursor of a time to come is none', async t => {
  const service = start(t)
  const { batch_id, tasks } = await service.enqueueChartTasks([{ message_id }], ada)
  await service.cancelTask(tasks[0]!.task.task_id)
  for (const after of ['undefined', 'zzzzzzzzz']) {
    const states = []
    for await (const { task } of service.watchBatch(batch_id, { after, signal: new AbortController().signal })) states.push(task.status)
    t.strictSame(states, ['CANCELLED'], after)
  }
})

t.test('a watch of an unknown batch ends without a task', async t => {
  const service = start(t)
  const states = service.watchBatch(randomUUID(), { signal: new AbortController().signal })[Symbol.asyncIterator]()
  t.same(await inTime(states.next(), 5_000, 'the end'), { done: true, value: undefined })
})

t.test('a task that ends while active tasks are read is none of them', async t => {
  const store = memoryStore()
  const service = start(t, { store })
  const ids: string[] = []
  for (const adjustment_query of ['a', 'b']) ids.push((await service.enqueueChartTask({ message_id, adjustment_query }, ada)).task.task_id)
  const readActive = store.readActive.bind(store)
  store.readActive = async query => {
    const refs = await readActive(query)
    await service.cancelTask(ids[0]!)
    return refs
  }
  t.same((await service.getActiveTasksByMessageId(message_id, 'ada')).map(({ task_id }) => task_id), [ids[1]])
})

t.test('dependencies that cannot be read cost the estimate alone', async t => {
  const store = memoryStore()
  const service = start(t, { store })
  const { task: { task_id } } = await service.enqueueChartTask({ message_id }, ada)
  store.read = async () => { throw new Error('away') }
  const { task } = await service.enqueueChartTask({ message_id, depends_on: [task_id] }, ada)
  t.match(task, { status: 'PENDING', current_step: 'waiting_for_dependencies', estimated_completion: null })
})
