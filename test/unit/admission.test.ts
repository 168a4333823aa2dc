import t from 'tap'
import { randomUUID } from 'node:crypto'
import { memoryStore, type BatchedChartRequest, type ChartStore, type TaskStore } from '../../lib/index.ts'
import { digest } from '../../lib/service/digest.ts'
import type { TaskDraft } from '../../lib/store/task-store.ts'
import { HostCharts } from '../../lib/service/host-charts.ts'
import { Admission, type AdmissionOptions } from '../../lib/service/admission.ts'
import { silentLogger } from '../../lib/silent-logger.ts'
import { hostStore } from '../helpers/chart-store.ts'

const ada = { user_id: 'ada', org_id: null }
const request = (fields: Partial<BatchedChartRequest> = {}): BatchedChartRequest => ({ message_id: randomUUID(), ...fields })

function admissionOver (
  { chartStore, store = memoryStore(), ...options }: Partial<Omit<AdmissionOptions, 'store'>> & { chartStore?: ChartStore, store?: TaskStore } = {}
): { admission: Admission, store: TaskStore, ended: string[] } {
  const ended: string[] = []
  return {
    store,
    ended,
    admission: new Admission({
      store,
      hostCharts: chartStore ? new HostCharts(chartStore, store, silentLogger) : null,
      paramsSchema: undefined,
      tenantWeight: undefined,
      retention: { task: 60, status: 60, messageIndex: 60 },
      retry: { attempts: 3, backoff: { type: 'fixed', delay: 0, max: 0, jitter: 0 } },
      limits: { waitingPerTenant: 0, scheduledPerTenant: 0, queueLength: 0, queueTimeout: 0, requestBytes: 0 },
      endings: { ended: ({ task_id }) => { ended.push(task_id) } },
      deferredWork: { start () {} },
      created () {},
      ...options
    })
  }
}

const idsOf = ({ tasks }: Awaited<ReturnType<Admission['enqueueBatch']>>) => tasks.map(({ task }) => task.task_id)
const take = { worker_id: 'w', claim_id: 't', count: 10, leaseDuration: 10_000, runningPerTenant: 0, beside: 0 }

t.test('one object given several times', async t => {
  const { admission, store } = admissionOver()
  const alike = request()
  const first = await admission.enqueueBatch(Array(3).fill(alike), ada, undefined)
  t.equal(new Set(idsOf(first)).size, 1, 'is one task')
  const forced = await admission.enqueueBatch(Array(3).fill(request({ force_create: true })), ada, undefined)
  t.equal(new Set(idsOf(forced)).size, 3, 'or as many as are forced')
  t.equal((await store.stats()).queue_length, 4)
})

t.test('what is given is not changed', async t => {
  const given = [request({ ref: 'a' }), request({ depends_on: ['a'] })]
  const before = structuredClone(given)
  await admissionOver().admission.enqueueBatch(given, ada, undefined)
  t.strictSame(given, before)
})

t.test('a batch is not what an array of tasks is called', async t => {
  const { admission } = admissionOver()
  for (const tasks of [undefined, null, {}, 'x', [], [null], [request(), 1]]) {
    await t.rejects(admission.enqueueBatch(tasks as never, ada, undefined), { code: 'CHARTS_ERR_INVALID_REQUEST' }, JSON.stringify(tasks))
  }
  await t.rejects(admission.enqueueBatch([request({ params: {} })], ada, undefined), { code: 'CHARTS_ERR_INVALID_REQUEST', message: /paramsSchema/ })
  await t.rejects(admission.enqueueBatch([request()], { user_id: '' }, undefined), { code: 'CHARTS_ERR_INVALID_IDENTITY' })
})

t.test('a ref that looks like a task is a ref', async t => {
  const { admission, store } = admissionOver()
  const ref = randomUUID()
  const [needs, needed] = idsOf(await admission.enqueueBatch([request({ depends_on: [ref] }), request({ ref })], ada, undefined))
  const { tasks: [claimed] } = await store.claim(take)
  t.equal(claimed!.task.task_id, needed)
  await store.settleAttempts([{ task_id: needed!, lease: claimed!.lease, verb: 'complete', chart_id: randomUUID(), content: '1' }], null)
  t.match((await store.claim({ ...take, claim_id: 'next' })).tasks, [{ task: { task_id: needs, depends_on: [needed] } }])
})

t.test('a long chain of refs in the wrong order', async t => {
  const { admission, store } = admissionOver()
  const chain = Array.from({ length: 100 }, (_, i) => request({ ref: `${i}`, ...(i < 99 ? { depends_on: [`${i + 1}`] } : {}) }))
  const ids = idsOf(await admission.enqueueBatch(chain, ada, undefined))
  t.strictSame((await store.claim(take)).tasks.map(({ task }) => task.task_id), [ids[99]])
})

t.test('two batches alike are the same although their refs stand for other ids', async t => {
  const { admission, store } = admissionOver()
  const batch = [request({ ref: 'a' }), request({ depends_on: ['a'] })]
  const first = await admission.enqueueBatch(batch, ada, undefined)
  const again = await admission.enqueueBatch(batch.map(({ ref, depends_on, ...rest }) => ({ ...rest, ...(ref ? { ref: 'b' } : { depends_on: ['b'] }) })), ada, undefined)
  t.strictSame(idsOf(again), idsOf(first))
  t.strictSame(again.tasks.map(({ outcome }) => outcome), ['already_active', 'already_active'])
  t.equal((await store.stats()).queue_length, 2)
})

t.test('two alike but for what they need are not the same', async t => {
  const { admission } = admissionOver()
  const { task } = await admission.enqueue(request(), ada, undefined)
  const { message_id } = request()
  const plain = await admission.enqueue({ message_id }, ada, undefined)
  const needing = await admission.enqueue({ message_id, depends_on: [task.task_id] }, ada, undefined)
  t.equal(needing.outcome, 'queued')
  t.not(plain.task.task_id, needing.task.task_id)
})

t.test('a dependency at fault is named by its ref', async t => {
  const { admission, store } = admissionOver()
  const { task } = await admission.enqueue(request(), ada, undefined)
  await store.cancel(task.task_id)
  await t.rejects(admission.enqueueBatch([request({ depends_on: [task.task_id] })], ada, undefined), { code: 'CHARTS_ERR_DEPENDENCY_FAILED', message: new RegExp(task.task_id) })
})

t.test('a batch in which the host has lost a chart makes that one anew, and the others once', async t => {
  const chartStore = hostStore()
  const { admission, store } = admissionOver({ chartStore })
  const lost = request()
  const { task } = await admission.enqueue(lost, ada, undefined)
  const { tasks: [claimed] } = await store.claim(take)
  await store.settleAttempts([{ task_id: task.task_id, lease: claimed!.lease, verb: 'complete', chart_id: randomUUID(), content: null }], null)

  for (const place of [0, 1, 2]) {
    const others = [request({ force_create: true }), request()]
    const batch = [...others.slice(0, place), lost, ...others.slice(place)]
    const { tasks } = await admission.enqueueBatch(batch, ada, undefined)
    t.strictSame(tasks.map(({ outcome }) => outcome), ['queued', 'queued', 'queued'], `lost at ${place}`)
    t.not(tasks[place]!.task.task_id, task.task_id)
    t.equal((await store.stats()).queue_length, 3)
    const all = (await store.claim({ ...take, claim_id: `${place}` })).tasks
    t.strictSame(all.map(({ task }) => task.task_id).sort(), tasks.map(({ task }) => task.task_id).sort())
    for (const { task: { task_id }, lease } of all) {
      await store.settleAttempts([{ task_id, lease, verb: 'complete', chart_id: randomUUID(), content: null }], null)
    }
  }
})

t.test('of a batch the host is asked for each chart once', async t => {
  const chartStore = hostStore()
  const { admission, store } = admissionOver({ chartStore })
  const [a, b] = [request(), request()]
  for (const asked of [a, b]) {
    const { task } = await admission.enqueue(asked, ada, undefined)
    const { tasks: [claimed] } = await store.claim({ ...take, claim_id: task.task_id })
    const chart_id = randomUUID()
    await chartStore.save({ ...task, chart_id, content: 1 })
    await store.settleAttempts([{ task_id: task.task_id, lease: claimed!.lease, verb: 'complete', chart_id, content: null }], null)
  }
  chartStore.calls.length = 0
  const { tasks } = await admission.enqueueBatch([a, b, a, b, a], ada, undefined)
  t.ok(tasks.every(({ outcome }) => outcome === 'chart_exists'))
  t.strictSame(chartStore.calls.sort(), [...chartStore.charts.keys()].map(chart_id => `get ${chart_id}`).sort())
})

t.test('a store that asks for ever other charts is given up', async t => {
  const chartStore = hostStore()
  const store = memoryStore()
  const { admission } = admissionOver({ chartStore, store })
  store.enqueue = async ({ task_id }) => ({ outcome: 'chart_check_required', charts: [{ task_id, chart_id: randomUUID() }] })
  await t.rejects(admission.enqueue(request(), ada, undefined), { code: 'CHARTS_ERR_STORE_UNAVAILABLE' })
  t.equal(chartStore.calls.length, 10)
})

t.test('a key binds what the version before this one bound, where nothing else is asked for', async t => {
  const bodies: string[] = []
  const inner = memoryStore()
  const store = new Proxy(inner, {
    get: (target, verb: keyof TaskStore) => verb !== 'enqueue'
      ? (target[verb] as () => unknown).bind(target)
      : (draft: TaskDraft) => {
          bodies.push(draft.idempotency!.body)
          plain = digest(draft.dedup_key, draft.force)
          return target.enqueue(draft)
        }
  })
  let plain = ''
  const { admission } = admissionOver({ store })
  const message_id = randomUUID()
  const fields: Array<Partial<BatchedChartRequest>> = [{}, { priority: 'normal', run_at: null, supersede: false, depends_on: [] }, { priority: 'high' }, { supersede: true }]
  for (const [i, more] of fields.entries()) await admission.enqueue({ message_id, force_create: true, ...more }, ada, `key-${i}`)
  t.strictSame(bodies.map(body => body === plain), [true, true, false, false])
  t.equal(new Set(bodies).size, 3)
})

t.test('what a batch supersedes is told once', async t => {
  const { admission, ended } = admissionOver()
  const message_id = randomUUID()
  const { task } = await admission.enqueue({ message_id }, ada, undefined)
  await admission.enqueueBatch([request({ message_id, supersede: true, force_create: true }), request({ message_id, supersede: true, force_create: true })], ada, undefined)
  t.strictSame(ended, [task.task_id])
})

t.test('what needs a chart that the host has lost waits for the one that is made anew', async t => {
  const { admission, store } = admissionOver({ chartStore: hostStore() })
  const lost = request()
  const { task: old } = await admission.enqueue(lost, ada, undefined)
  const { tasks: [claimed] } = await store.claim(take)
  await store.settleAttempts([{ task_id: old.task_id, lease: claimed!.lease, verb: 'complete', chart_id: randomUUID(), content: null }], null)
  const options = { ref: 'lost', supersede: true }
  const [needy, anew] = idsOf(await admission.enqueueBatch([request({ depends_on: ['lost'] }), { ...lost, ...options }], ada, 'key'))
  t.match(await store.read([needy!, anew!]), [{ current_step: 'waiting_for_dependencies', depends_on: [anew] }, { current_step: 'queued' }])
  const again = await admission.enqueueBatch([request({ depends_on: ['lost'] }), { ...lost, ...options }], ada, 'other')
  t.equal(idsOf(again)[1], anew)
})

t.test('a batch that can never fit is not told to come back later', async t => {
  const limits = { waitingPerTenant: 2, scheduledPerTenant: 0, queueLength: 0, queueTimeout: 0, requestBytes: 0 }
  const { admission } = admissionOver({ limits })
  const batch = [request(), request(), request()]
  await t.rejects(admission.enqueueBatch(batch, ada, undefined), { code: 'CHARTS_ERR_INVALID_REQUEST', message: /not make more than 2 new tasks/ })
  await admission.enqueueBatch([batch[0]!, batch[0]!, batch[1]!], ada, undefined)
  await t.rejects(admission.enqueueBatch(batch, ada, undefined), { code: 'CHARTS_ERR_TOO_MANY_TASKS' }, 'one of them is new, and may fit later')
  const { admission: full } = admissionOver({ limits: { ...limits, waitingPerTenant: 0, queueLength: 2 } })
  await t.rejects(full.enqueueBatch(batch, ada, undefined), { code: 'CHARTS_ERR_INVALID_REQUEST' })
  const { admission: later } = admissionOver({ limits: { ...limits, waitingPerTenant: 0, scheduledPerTenant: 2 } })
  const scheduled = [request(), ...Array.from({ length: 3 }, () => request({ run_at: new Date(Date.now() + 60_000).toISOString() }))]
  await t.rejects(later.enqueueBatch(scheduled, ada, undefined), { code: 'CHARTS_ERR_INVALID_REQUEST', message: /not make more than 2 new tasks that wait for a time or for others/ })
  await later.enqueueBatch(scheduled.slice(0, 3), ada, undefined)
  await t.rejects(later.enqueueBatch(scheduled.slice(3), ada, undefined), { code: 'CHARTS_ERR_TOO_MANY_TASKS', message: /wait for a time or for others already/ })
})

t.test('params that JSON cannot hold, or that are too deep for it', async t => {
  const { admission, store } = admissionOver({ paramsSchema: {} })
  const circle: { self?: unknown } = {}
  circle.self = circle
  const deep = JSON.parse('['.repeat(50_000) + ']'.repeat(50_000))
  await t.rejects(admission.enqueue(request({ params: circle as never }), ada, undefined), { code: 'CHARTS_ERR_INVALID_REQUEST', message: 'request must not be nested deeper than 500 levels' })
  await t.rejects(admission.enqueue(request({ params: deep }), ada, undefined), { code: 'CHARTS_ERR_INVALID_REQUEST', message: /must not be nested deeper than 500 levels/ })
  await t.rejects(admission.enqueueBatch([request({ params: deep })], ada, undefined), { code: 'CHARTS_ERR_INVALID_REQUEST', message: /must not be nested deeper than 500 levels/ })
  t.equal((await store.stats()).queue_length, 0)
})

t.test('params of which JSON would lose something are refused, and it is said what', async t => {
  const { admission, store } = admissionOver({ paramsSchema: {} })
  const throwing = { get rows () { throw new Error('not today') } }
  const cases: Array<[params: unknown, said: string]> = [
    [Infinity, ' must be a finite number, not Infinity'],
    [{ from: { year: NaN } }, '/from/year must be a finite number, not NaN'],
    [[1, -Infinity], '/1 must be a finite number, not -Infinity'],
    [() => 1, ' must be JSON, which has no function'],
    [{ 'a/b~': { format () {} } }, '/a~1b~0/format must be JSON, which has no function'],
    [{ kind: Symbol('bar') }, '/kind must be JSON, which has no symbol'],
    [{ n: 1n }, '/n must be JSON, which has no bigint'],
    [[1, undefined], '/1 must be JSON, which has no undefined'],
    // oxlint-disable-next-line no-sparse-arrays
    [[1, , 3], '/1 must be JSON, which has no undefined'],
    [new Map([['a', 1]]), ' must be JSON, which has no Map'],
    [{ only: new Set([1]) }, '/only must be JSON, which has no Set'],
    [{ match: /a/ }, '/match must be JSON, which has no RegExp'],
    [{ why: new TypeError('x') }, '/why must be JSON, which has no Error'],
    [{ bytes: new Uint8Array(2) }, '/bytes must be JSON, which has no Uint8Array'],
    [{ at: new Date(NaN) }, '/at must be a valid date'],
    [{ toJSON () {} }, ' must be JSON: its toJSON returns nothing'],
    [{ toJSON: () => ({ n: NaN }) }, '/n must be a finite number, not NaN'],
    [{ toJSON () { throw new Error('not today') } }, ' must be JSON: it throws when it is read'],
    [{ ok: 1, throwing }, '/throwing must be JSON: it throws when it is read'],
    [{ name: 'a\ud800' }, '/name must be well-formed Unicode: it has half of a surrogate pair'],
    [{ 'a\udfff': 1 }, '/a\ufffd must have keys of well-formed Unicode']
  ]
  for (const [params, said] of cases) {
    await t.rejects(admission.enqueue(request({ params: params as never }), ada, undefined), { code: 'CHARTS_ERR_INVALID_REQUEST', message: `request/params${said}` }, said)
    await t.rejects(admission.enqueueBatch([request(), request({ params: params as never })], ada, undefined), { code: 'CHARTS_ERR_INVALID_REQUEST', message: `request/tasks/1/params${said}` }, said)
  }
  const unreadable = Object.defineProperty(request(), 'params', { enumerable: true, get () { throw new Error('not today') } })
  await t.rejects(admission.enqueueBatch([unreadable], ada, undefined), { code: 'CHARTS_ERR_INVALID_REQUEST', message: 'request/tasks/0 must be JSON: it throws when it is read' })
  for (const asked of [unreadable, request({ adjustment_query: 'half \ud83d' })]) await t.rejects(admission.enqueue(asked, ada, undefined), { code: 'CHARTS_ERR_INVALID_REQUEST' })
  await t.rejects(admission.enqueueBatch([request({ ref: '\ud800' })], ada, undefined), { code: 'CHARTS_ERR_INVALID_REQUEST', message: /^request\/tasks\/0\/ref / })
  t.equal((await store.stats()).queue_length, 0)
})

t.test('params whose JSON says the same are taken', async t => {
  const { admission, store } = admissionOver({ paramsSchema: {} })
  class Range { from = 1 }
  const bare = Object.assign(Object.create(null), { a: 1 })
  const cases: Array<[params: unknown, stored: string]> = [
    [{ at: new Date(0) }, '{"at":"1970-01-01T00:00:00.000Z"}'],
    [{ left: undefined, out: 1 }, '{"out":1}'],
    [{ range: new Range(), bare }, '{"range":{"from":1},"bare":{"a":1}}'],
    [{ url: new URL('https://example.com/') }, '{"url":"https://example.com/"}'],
    [[-0, 1e21, 2 ** 53 + 2, '\u0000 \ud83d\ude00'], '[0,1e+21,9007199254740994,"\\u0000 \ud83d\ude00"]'],
    [Object.defineProperty({ a: 1 }, '__proto__', { enumerable: true, value: 2 }), '{"a":1,"__proto__":2}']
  ]
  for (const [params, stored] of cases) {
    const { task } = await admission.enqueue(request({ params: params as never }), ada, undefined)
    t.match(await store.readRequest(task.task_id), `"params":${stored}}`)
  }
})

t.test('params are the same where what is stored of them is', async t => {
  const { admission } = admissionOver({ paramsSchema: {} })
  const idOf = async (params: unknown) => (await admission.enqueue({ message_id: '9f0cf2a2-9b5c-4f3e-8f31-6f0f5a3c1d11', params: params as never }, ada, undefined)).task.task_id
  const january = await idOf({ from: new Date('2026-01-01') })
  t.not(await idOf({ from: new Date('2026-02-01') }), january)
  t.equal(await idOf({ from: '2026-01-01T00:00:00.000Z', to: undefined }), january)
})

t.test('run_at is a date with time and zone', async t => {
  const { admission } = admissionOver()
  const soon = new Date(Date.now() + 3_600_000).toISOString()
  for (const run_at of ['2030-01-01T00:00:00+05', '2016-12-31T23:59:60Z', soon.replace('T', ' '), soon.replace('T', '\n')]) {
    await t.rejects(admission.enqueue(request({ run_at }), ada, undefined), { code: 'CHARTS_ERR_INVALID_REQUEST', message: /run_at must/ }, run_at)
  }
  for (const run_at of [soon, soon.toLowerCase(), soon.replace('Z', '+00:00')]) t.match(await admission.enqueue(request({ run_at }), ada, undefined), { outcome: 'queued' })
})

t.test('an Idempotency-Key is held to the same rule as in a header', async t => {
  const { admission } = admissionOver()
  for (const key of ['', 5, 'ä', 'x'.repeat(256), null]) {
    await t.rejects(admission.enqueue(request(), ada, key as never), { code: 'CHARTS_ERR_IDEMPOTENCY_KEY_INVALID' })
    await t.rejects(admission.enqueueBatch([request()], ada, key as never), { code: 'CHARTS_ERR_IDEMPOTENCY_KEY_INVALID' })
  }
})

t.test('a paramsSchema may refer to itself', async t => {
  const schemas: Array<[schema: object, good: unknown, bad: unknown]> = [
    [{ type: 'object', properties: { year: { $ref: '#/$defs/Year' } }, $defs: { Year: { type: 'integer' } } }, { year: 2030 }, { year: 'soon' }],
    [{ type: 'object', properties: { parts: { type: 'array', items: { $ref: '#' } } } }, { parts: [{ parts: [] }] }, { parts: [1] }],
    [{ $id: 'https://example.com/params', type: 'object' }, {}, 1]
  ]
  for (const [paramsSchema, good, bad] of schemas) {
    const { admission } = admissionOver({ paramsSchema })
    t.match(await admission.enqueue(request({ params: good as never }), ada, undefined), { outcome: 'queued' })
    t.match(await admission.enqueueBatch([request({ params: good as never })], ada, undefined), { outcome: 'accepted' })
    await t.rejects(admission.enqueue(request({ params: bad as never }), ada, undefined), { code: 'CHARTS_ERR_INVALID_REQUEST', message: /params/ })
  }
})
