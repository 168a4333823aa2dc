import Fastify from 'fastify'
import t from 'tap'
import asyncCharts, { memoryStore, type AsyncChartsOptions, type ChartTask } from '../../lib/index.ts'
import { gate, until } from '../helpers/gate.ts'

const ada = { user_id: 'ada' }
const HOUR = 3_600_000
const url = '/api/v1/analytics/charts/async'

/** A host that tests with a clock of its own, which stands still until it is moved. */
async function start (t: { teardown (end: () => Promise<void>): void }, options: Partial<Omit<AsyncChartsOptions, 'prefix'>> = {}) {
  const clock = { ms: Date.parse('2040-01-01T00:00:00.000Z') }
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(asyncCharts, { store: memoryStore({ now: () => clock.ms }), identify: () => ada, generate: async () => 'chart', ...options })
  const post = async (body: object = {}) => {
    const response = await app.inject({ method: 'POST', url, payload: { message_id: crypto.randomUUID(), ...body } })
    return { statusCode: response.statusCode, task: response.json() as ChartTask }
  }
  const state = async (task_id: string, wanted: (task: ChartTask) => boolean) => {
    for await (const task of app.asyncCharts.watchTask(task_id)) if (wanted(task)) return task
    throw new Error('it has ended otherwise')
  }
  const ended = (task_id: string) => state(task_id, ({ completed_at }) => completed_at !== null)
  return { app, clock, post, state, ended }
}

t.test('a scheduled task runs when the clock of the host comes to its time, and not before', async t => {
  const { clock, post, ended, app } = await start(t)
  const { task } = await post({ run_at: new Date(clock.ms + HOUR).toISOString() })
  clock.ms += HOUR - 1
  // One that runs at once: the worker has looked.
  await ended((await post()).task.task_id)
  t.match(await app.asyncCharts.getTaskStatus(task.task_id), { status: 'PENDING', current_step: 'scheduled' })
  clock.ms += 1
  t.match(await ended(task.task_id), { status: 'COMPLETED', completed_at: '2040-01-01T01:00:00.000Z' })
})

t.test('the limit of 30 days is counted by the clock of the host', async t => {
  const { clock, post } = await start(t)
  const ahead = async (days: number) => (await post({ run_at: new Date(clock.ms + days * 24 * HOUR).toISOString() })).statusCode
  t.same([await ahead(30), await ahead(31)], [202, 400])
})

t.test('a failed attempt is followed by another when its backoff is over', async t => {
  let attempts = 0
  const { clock, post, state, ended } = await start(t, {
    retry: { backoff: { delay: 30_000, jitter: 0 } },
    generate: async () => {
      if (++attempts === 1) throw new Error('again')
      return 'chart'
    }
  })
  const { task: { task_id } } = await post()
  await state(task_id, ({ current_step }) => current_step === 'retrying')
  clock.ms += 30_000
  t.match(await ended(task_id), { status: 'COMPLETED', attempt: 2 })
})

t.test('a lease that expires lets the task run here', async t => {
  const busy = gate()
  const { clock, post, state, ended, app } = await start(t, { worker: { concurrency: 1 }, generate: () => busy.opened.then(() => 'chart') })
  const first = await post()
  await state(first.task.task_id, ({ status }) => status === 'PROCESSING')
  const { task: { task_id } } = await post()
  t.equal((await app.asyncCharts.dequeueChartTask('another'))?.task.task_id, task_id)
  busy.open()
  await ended(first.task.task_id)
  clock.ms += 10_000
  t.match(await ended(task_id), { status: 'COMPLETED', attempt: 2 })
})

t.test('a task that has waited too long fails, and is removed after its retention', async t => {
  const { clock, post, ended, app } = await start(t, { limits: { queueTimeout: 60_000 } })
  await app.asyncCharts.pauseQueue()
  const { task: { task_id } } = await post()
  clock.ms += 60_000
  t.match(await ended(task_id), { status: 'FAILED', error_code: 'CHARTS_ERR_QUEUE_TIMEOUT' })
  clock.ms += 24 * HOUR
  await until(async () => await app.asyncCharts.getTaskStatus(task_id) === null)
  t.equal(await app.asyncCharts.cleanupExpiredTasks(), 1)
})
