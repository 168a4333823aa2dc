import t from 'tap'
import type { ChartRequest, GenerateContext } from '../../lib/index.ts'
import { silentLogger } from '../../lib/silent-logger.ts'
import { openGenerator } from '../../lib/worker/open-generator.ts'
import generate, { returned } from '../fixtures/generator-module.js'
import { hostStore } from '../helpers/chart-store.ts'
import { until } from '../helpers/gate.ts'
import { startQueue } from '../helpers/queue.ts'
import { recordingLogger } from '../helpers/recording-logger.ts'

const url = new URL('../fixtures/generator-module.js', import.meta.url)
const limits = { chartBytes: 1_000, checkpointBytes: 1_000 }

t.test('what is returned is the same chart, or the same failure, as without a thread', async t => {
  const [here, threads] = await Promise.all([{}, { generate: url }].map(async options => {
    const queue = await startQueue(t, 'memory', { limits })
    await queue.work(generate, options)
    return async (adjustment_query: string) => {
      const task = await queue.run({ adjustment_query })
      const { status, error_code, error_message, attempt } = task
      return { status, error_code, error_message, attempt, content: await queue.content(task) }
    }
  }))
  for (const kind of ['return', 'step-return', 'step-again']) {
    for (const name of Object.keys(returned)) {
      const what = `${kind} ${name}`
      t.strictSame(await threads!(what), await here!(what), what)
    }
  }
})

t.test('a step fails with the very error that its function threw, and a name that is none with a TypeError', async t => {
  const queue = await startQueue(t, 'memory')
  await queue.work(generate, { generate: url })
  for (const what of ['own-error', 'text-error', 'bad-name']) t.equal(await queue.content(await queue.run({ adjustment_query: what })), true, what)
})

t.test('what a generator logs last arrives, with its error', async t => {
  const queue = await startQueue(t, 'memory')
  const logger = recordingLogger()
  await queue.work(generate, { generate: url, logger })
  const { task_id } = await queue.run({ adjustment_query: 'log' })
  t.match(logger.said('the last word'), [{
    level: 'warn', details: { task_id, part: 'query', err: { name: 'TypeError', message: 'no such table', stack: /generator-module/ } }
  }])
})

t.test('dependencies are passed on, whatever a store of the host makes of them', async t => {
  const charts = hostStore()
  const chartStore = { ...charts, get: async (chart_id: string) => ({ ...charts.charts.get(chart_id)!, save () {} }) }
  const queue = await startQueue(t, 'memory', { chartStore })
  await queue.work(generate, { generate: url })
  const { task_id } = await queue.run()
  const task = await queue.run({ depends_on: [task_id] })
  t.match([...charts.charts.values()].find(chart => chart.task_id === task.task_id)?.content, { dependencies: 1 })
})

t.test('what is aborted before a thread has started uses none', async t => {
  const threads = await openGenerator(url, { concurrency: 1, threadMemory: 0, chartBytes: 0, logger: silentLogger })
  t.teardown(() => threads.close())
  const call = (signal: AbortSignal, adjustment_query: string) =>
    threads.generate({ adjustment_query } as ChartRequest, { signal, attempt: 1, dependencies: [] } as unknown as GenerateContext)
  const reason = Object.assign(new Error('cancelled'), { code: 'CANCELLED' })
  await t.rejects(call(AbortSignal.abort(reason), 'spin 60000'), reason)
  const { json } = await call(new AbortController().signal, 'next') as { json: string }
  t.match(JSON.parse(json), { dependencies: 0 })
})

t.test('a thread whose lease is lost is ended at once: another may start', async t => {
  const threads = await openGenerator(url, { concurrency: 2, threadMemory: 0, chartBytes: 0, logger: silentLogger })
  t.teardown(() => threads.close())
  const ended: string[] = []
  const spin = async (code: string) => {
    const abort = new AbortController()
    const spinning = new Promise<void>(resolve => {
      const context = { signal: abort.signal, attempt: 1, dependencies: [], progress: () => resolve() }
      threads.generate({ adjustment_query: 'spin 60000' } as ChartRequest, context as unknown as GenerateContext).catch(() => {}).finally(() => ended.push(code))
    })
    await spinning
    return () => abort.abort(Object.assign(new Error(code), { code }))
  }
  const aborts = [await spin('CANCELLED'), await spin('LEASE_LOST')]
  for (const abort of aborts) abort()
  await until(() => ended.length === 2)
  t.strictSame(ended, ['LEASE_LOST', 'CANCELLED'], 'the other has its grace')
})
