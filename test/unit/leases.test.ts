import { setImmediate } from 'node:timers/promises'
import t from 'tap'
import { memoryStore, type ChartStore } from '../../lib/index.ts'
import { chartIdOf } from '../../lib/service/chart-identity.ts'
import { Endings } from '../../lib/service/endings.ts'
import { CHART_STORE_TIMEOUTS, HostCharts } from '../../lib/service/host-charts.ts'
import { Leases } from '../../lib/service/leases.ts'
import type { Outcome } from '../../lib/service/outcome.ts'
import { Settlements } from '../../lib/service/settlements.ts'
import { LEASE, Scene } from '../../lib/store/conformance/scene.ts'
import type { ClaimedTask, TaskStore } from '../../lib/store/task-store.ts'
import type { ChartTask, StoredTask } from '../../lib/task.ts'
import { QueueTelemetry } from '../../lib/telemetry/queue-telemetry.ts'
import { hostStore } from '../helpers/chart-store.ts'
import { gate, inTime } from '../helpers/gate.ts'
import { recordingLogger } from '../helpers/recording-logger.ts'
import { someTask } from '../helpers/scripted-store.ts'

const never = { signal: new AbortController().signal }

interface Options {
  readonly chartStore?: ChartStore
  readonly limits?: { readonly chartBytes: number, readonly checkpointBytes: number, readonly runningPerTenant: number }
}

/** The parts of a queue that attempts go through, and what was reported of their ends. */
function leasesOver (store: TaskStore, { chartStore, limits = { chartBytes: 1_000, checkpointBytes: 1_000, runningPerTenant: 0 } }: Options = {}) {
  const finished: ChartTask[] = []
  const logger = recordingLogger()
  const hostCharts = chartStore ? new HostCharts(chartStore, store, logger) : null
  const telemetry = new QueueTelemetry({ keyPrefix: 'test', store })
  const settlements = new Settlements({ store, hostCharts, saveTimeout: CHART_STORE_TIMEOUTS.save, limits, logger })
  const finishedHook = { notify: (task: ChartTask) => { finished.push(task) } }
  const endings = new Endings({ hostCharts, history: { ended () {} }, telemetry, finishedHook, settlements, logger })
  const leases = new Leases({ store, limits, endings, telemetry, logger, started () {} })
  return { leases, settlements, endings, finished, logger }
}

const inMemory = (play: (scene: Scene) => Promise<void>) => Scene.play(async ({ now }) => memoryStore({ now }), play)

async function complete ({ leases, settlements }: { leases: Leases, settlements: Settlements }, { task, lease }: ClaimedTask, content = 'a chart') {
  const closing = await settlements.prepare(task, lease, { content }, never)
  const { settled } = await leases.settle([closing], null)
  return settled[0]!
}

/** Everything that was under way without anybody waiting for it. */
const settled = async () => { for (let i = 0; i < 5; i++) await setImmediate() }

t.test('an outcome becomes what ends the lease', () => inMemory(async scene => {
  const { settlements, logger } = leasesOver(scene.store)
  const { task, lease } = await scene.claimed()
  const { task_id } = task
  t.strictSame(await settlements.prepare(task, lease, { content: { mark: 'bar' } }, never), {
    task_id, lease, verb: 'complete', chart_id: chartIdOf(task_id, lease), content: '{"mark":"bar"}', claimed: task
  })
  t.strictSame(await settlements.prepare(task, lease, { error: new Error('secret') }, never), {
    task_id, lease, verb: 'fail', code: 'CHARTS_ERR_GENERATION_FAILED', message: null, delay: null
  })
  t.strictSame(await settlements.prepare(task, lease, { content: undefined }, never), {
    task_id, lease, verb: 'fail', code: 'CHARTS_ERR_INVALID_CHART', message: null, delay: 'never'
  })
  t.match(await settlements.prepare(task, lease, { content: 'x'.repeat(1_000) }, never), { verb: 'fail', code: 'CHARTS_ERR_CHART_TOO_LARGE', delay: 'never' })
  t.strictSame(logger.lines, [], 'nothing is logged until the store has said what becomes of the task')
}))

t.test('what was thrown is told with the end of the task, or logged where the task goes on', () => inMemory(async scene => {
  const { leases, settlements, logger } = leasesOver(scene.store)
  const end = async ({ task, lease }: ClaimedTask, outcome: Outcome) => leases.settle([await settlements.prepare(task, lease, outcome, never, performance.now() - 50)], null)
  const first = await scene.claimed()
  const { task_id } = first.task
  await end(first, { error: new Error('secret') })
  const attempts = () => logger.said(/chart attempt/)
  t.match(logger.lines, [{
    level: 'warn', message: 'chart attempt failed, it will be retried', details: { task_id, status: 'PENDING', attempt: 1, code: 'CHARTS_ERR_GENERATION_FAILED', err: { message: 'secret' } }
  }])
  t.ok(Number(logger.lines[0]!.details['duration']) >= 50)
  scene.pass(LEASE)
  const second = await scene.claimOne()
  await end(first, { content: undefined })
  t.match(attempts().slice(1), [{ level: 'info', message: 'chart attempt failed after it had lost its lease', details: { task_id, code: 'CHARTS_ERR_INVALID_CHART' } }])
  await end(second, { content: undefined })
  await end(await scene.claimed(), { content: 1 })
  const ended = logger.said(/chart (?:failed|completed)/)
  t.match(ended.map(({ details }) => details['err']), [{ code: 'CHARTS_ERR_INVALID_CHART' }, undefined])
  t.equal(attempts().length, 2)
}))

t.test('whatever ends here is told, once for each', () => inMemory(async scene => {
  const { leases, settlements, finished } = leasesOver(scene.store)
  const done = await scene.claimed()
  await complete({ leases, settlements }, done)
  const lost = await scene.claimed({ attempts: 1 })
  scene.pass(LEASE)
  await leases.claim({ worker_id: 'worker', claim_id: 'take', count: 1, leaseDuration: LEASE })
  const back = await scene.claimed()
  await leases.settle([{ task_id: back.task.task_id, lease: back.lease, verb: 'release' }], null)
  t.strictSame(finished.map(({ task_id, status }) => [task_id, status]), [[done.task.task_id, 'COMPLETED'], [lost.task.task_id, 'FAILED']])
}))

t.test('the cap of a tenant goes along with every take', () => inMemory(async scene => {
  const { leases, settlements } = leasesOver(scene.store, { limits: { chartBytes: 0, checkpointBytes: 0, runningPerTenant: 1 } })
  await scene.enqueueMany(3)
  const take = { worker_id: 'worker', count: 3, leaseDuration: LEASE }
  const { tasks } = await leases.claim({ ...take, claim_id: 'one' })
  t.equal(tasks.length, 1)
  const { claimed } = await leases.settle([await settlements.prepare(tasks[0]!.task, tasks[0]!.lease, { content: 1 }, never)], { ...take, claim_id: 'two' })
  t.equal(claimed.tasks.length, 1)
}))

t.test("a chart goes to the host's store before its task names it", () => inMemory(async scene => {
  const chartStore = hostStore()
  const { leases, settlements } = leasesOver(scene.store, { chartStore })
  const { task, lease } = await scene.claimed({ org_id: 'acme', visibility: 'ORGANIZATION', adjustment_query: 'log scale' })
  const closing = await settlements.prepare(task, lease, { content: { rows: [1] } }, never)
  const { task_id, message_id } = task
  const chart_id = chartIdOf(task_id, lease)
  t.strictSame(closing, { task_id, lease, verb: 'complete', chart_id, content: null, claimed: task })
  t.match(chartStore.charts.get(chart_id), {
    chart_id, task_id, message_id, user_id: 'ada', org_id: 'acme', visibility: 'ORGANIZATION', adjustment_query: 'log scale', created_at: /^\d{4}-.*Z$/, content: { rows: [1] }
  })
  t.equal((await scene.read(task_id)).status, 'PROCESSING')
  const { settled: [first] } = await leases.settle([closing], null)
  t.equal(first?.finished?.chart_id, chart_id)
  await settled()
  t.strictSame(chartStore.calls, [`save ${chart_id}`], 'and nothing is deleted')
}))

t.test('a save that fails is tried again with the content at hand', () => inMemory(async scene => {
  const chartStore = hostStore()
  chartStore.troubles.push(
    () => { throw new Error('deadlock') },
    () => Promise.reject(new Error('connection lost')))
  const { settlements, logger } = leasesOver(scene.store, { chartStore })
  const claimed = await scene.claimed()
  const content: { rows: number[] } = { rows: [1] }
  const preparing = settlements.prepare(claimed.task, claimed.lease, { content }, never)
  // What the generator does with its own object afterwards must not reach the chart.
  content.rows.push(2)
  t.match(await preparing, { verb: 'complete' })
  t.equal(chartStore.saved.length, 3)
  t.strictSame(chartStore.saved.map(chart => chart.content), Array.from({ length: 3 }, () => ({ rows: [1] })))
  t.strictSame(chartStore.saved[2], chartStore.saved[0], 'the very same chart each time')
  t.strictSame(logger.said(/could not be saved/).map(({ details }) => (details['err'] as Error).message), ['deadlock', 'connection lost'])
}))

t.test('what is no usable chart is never saved', () => inMemory(async scene => {
  const chartStore = hostStore()
  const { settlements } = leasesOver(scene.store, { chartStore })
  const { task, lease } = await scene.claimed()
  await settlements.prepare(task, lease, { content: 'x'.repeat(1_000) }, never)
  await settlements.prepare(task, lease, { error: new Error('no') }, never)
  t.strictSame(chartStore.calls, [])
}))

t.test('saving ends when the attempt is aborted', () => inMemory(async scene => {
  const chartStore = hostStore()
  const { settlements } = leasesOver(scene.store, { chartStore })
  const { task, lease } = await scene.claimed()
  const reason = new Error('cancelled')
  for (const trouble of ['a save that fails', 'a save that never answers']) {
    const tried = gate()
    const abort = new AbortController()
    chartStore.saved.length = 0
    chartStore.troubles.push(() => {
      tried.open()
      return trouble === 'a save that fails' ? Promise.reject(new Error('deadlock')) : new Promise(() => {})
    })
    const preparing = settlements.prepare(task, lease, { content: 1 }, { signal: abort.signal })
    const rejected = t.rejects(inTime(preparing, 1_000, trouble), trouble)
    await tried.opened
    await settled()
    abort.abort(reason)
    await rejected
    t.equal(chartStore.saved.length, 1, 'it is not tried again')
  }
  t.equal(chartStore.charts.size, 0)
}))

t.test('what earlier leases have left is deleted once a later one has completed', () => inMemory(async scene => {
  const chartStore = hostStore()
  const { leases, settlements } = leasesOver(scene.store, { chartStore })
  const first = await scene.claimed()
  const { task_id } = first.task
  const late = await settlements.prepare(first.task, first.lease, { content: 'first' }, never)
  scene.pass(LEASE)
  const second = await scene.claimOne()
  await settled()
  t.strictSame([...chartStore.charts.keys()], [chartIdOf(task_id, 1)], 'not before')
  await complete({ leases, settlements }, second)
  await settled()
  t.strictSame([...chartStore.charts.keys()], [chartIdOf(task_id, 2)])
  t.strictSame((await leases.settle([late], null)).settled, [{ current: false, finished: null }])
  await settled()
  t.strictSame([...chartStore.charts.keys()], [chartIdOf(task_id, 2)], 'the chart that the task names stays')
}))

t.test('what a refused completion has saved is deleted', () => inMemory(async scene => {
  const chartStore = hostStore()
  const { leases, settlements } = leasesOver(scene.store, { chartStore })
  const claimed = await scene.claimed()
  const closing = await settlements.prepare(claimed.task, claimed.lease, { content: 'late' }, never)
  await scene.store.cancel(claimed.task.task_id)
  t.equal((await leases.settle([closing], null)).settled[0]?.current, false)
  await settled()
  t.equal(chartStore.charts.size, 0)
}))

t.test('a chart is deleted only after reading that its task names another', async t => {
  const task = someTask()
  const chart_id = chartIdOf(task.task_id, 1)
  const found: Record<string, () => Promise<Array<StoredTask | null>>> = {
    'the task names this very chart': async () => [{ ...task, status: 'COMPLETED', chart_id }],
    'the task is gone': async () => [null],
    'the store does not answer': async () => { throw new Error('unreachable') }
  }
  for (const [name, read] of Object.entries(found)) {
    const chartStore = hostStore()
    const store = {
      read,
      settleAttempts: async () => ({ settled: [{ current: false, finished: null }], claimed: { tasks: [], lost: [], due: null, expired: [] } })
    } as unknown as TaskStore
    const { leases, settlements } = leasesOver(store, { chartStore })
    await leases.settle([await settlements.prepare(task, 1, { content: 1 }, never)], null)
    await settled()
    t.strictSame([...chartStore.charts.keys()], [chart_id], name)
  }
})

t.test("a host's store that deletes nothing, or fails to, stops nobody", () => inMemory(async scene => {
  const { delete: _delete, ...keeping } = hostStore()
  const failing = { ...hostStore(), delete: () => Promise.reject(new Error('read-only')) }
  for (const chartStore of [keeping, failing]) {
    const { leases, settlements, logger } = leasesOver(scene.store, { chartStore })
    await scene.claimed()
    scene.pass(LEASE)
    t.equal((await complete({ leases, settlements }, await scene.claimOne())).finished?.status, 'COMPLETED')
    await settled()
    t.equal(logger.said(/could not be deleted/).length, chartStore === failing ? 1 : 0)
  }
}))

t.test('what a lease had saved is deleted when its task ends without it', () => inMemory(async scene => {
  const chartStore = hostStore()
  const { leases, settlements, endings } = leasesOver(scene.store, { chartStore })
  const cancelled = await scene.claimed()
  await settlements.prepare(cancelled.task, cancelled.lease, { content: 'a draft' }, never)
  await scene.release(cancelled)
  const again = await scene.claimOne()
  await settlements.prepare(again.task, again.lease, { content: 'another draft' }, never)
  t.equal(chartStore.charts.size, 2)
  const { task, ended } = (await scene.store.cancel(again.task.task_id))!
  t.equal(ended[0], task)
  endings.ended(task)
  await settled()
  t.equal(chartStore.charts.size, 0)

  const lost = await scene.claimed({ attempts: 1 })
  await settlements.prepare(lost.task, lost.lease, { content: 'a draft' }, never)
  scene.pass(LEASE)
  await leases.claim({ worker_id: 'worker', claim_id: 'take', count: 1, leaseDuration: LEASE })
  await settled()
  t.equal(chartStore.charts.size, 0)
}))

t.test('a chart is saved under the message as it is asked for', () => inMemory(async scene => {
  const chartStore = hostStore()
  const { settlements } = leasesOver(scene.store, { chartStore })
  const message_id = '9F0CF2A2-9B5C-4F3E-8F31-6F0F5A3C1D11'
  const { request, requested, ...draft } = scene.draft({ message_id: message_id.toLowerCase() })
  await scene.enqueue({ ...draft, requested: { ...requested, message_id }, request: request.replace(message_id.toLowerCase(), message_id) })
  const claimed = await scene.claimOne()
  t.equal(claimed.task.message_id, message_id)
  await settlements.prepare(claimed.task, claimed.lease, { content: 'a chart' }, never)
  t.equal(chartStore.saved[0]!.message_id, message_id.toLowerCase())
}))
