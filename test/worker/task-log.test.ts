import t from 'tap'
import { ChartGenerationError, type ChartTask } from '../../lib/index.ts'
import { gate, until } from '../helpers/gate.ts'
import { startQueue, stores } from '../helpers/queue.ts'
import { recordingLogger, type LogLine, type RecordingLogger } from '../helpers/recording-logger.ts'

const RETRIED = 'chart attempt failed, it will be retried'
const about = ({ lines }: RecordingLogger, { task_id }: Pick<ChartTask, 'task_id'>): LogLine[] =>
  lines.filter(({ details, message }) => details['task_id'] === task_id && message?.startsWith('chart '))
const isMs = (value: unknown) => Number.isInteger(value) && Number(value) >= 0

for (const kind of stores) {
  t.test(`one line for each task that a worker ends, and one for each attempt that will be retried, ${kind}`, async t => {
    const queue = await startQueue(t, kind)
    const logger = recordingLogger()
    await queue.work(async ({ adjustment_query: what }, { attempt }) => {
      if (what === 'no chart') return undefined as never
      if (what === 'refused') throw new ChartGenerationError('No rows', { code: 'NO_DATA' })
      if (what === 'never' || (what === 'twice' && attempt < 3)) throw new TypeError('secret')
      return 1
    }, { logger })
    const failed = { message: 'chart failed', level: 'error' }
    const retried = (attempt: number) => ({
      level: 'warn', message: RETRIED, details: { status: 'PENDING', attempt, max_attempts: 3, code: 'CHARTS_ERR_GENERATION_FAILED', err: { message: 'secret', stack: /task-log/ } }
    })
    const cases: Record<string, object[]> = {
      once: [{ level: 'info', message: 'chart completed', details: { status: 'COMPLETED', attempt: 1, max_attempts: 3, code: null, err: undefined } }],
      twice: [retried(1), retried(2), { level: 'info', message: 'chart completed', details: { status: 'COMPLETED', attempt: 3 } }],
      never: [retried(1), retried(2), { ...failed, details: { status: 'FAILED', attempt: 3, code: 'CHARTS_ERR_GENERATION_FAILED', err: { message: 'secret' } } }],
      refused: [{ ...failed, details: { attempt: 1, code: 'NO_DATA', reason: 'No rows', err: undefined } }],
      'no chart': [{ ...failed, details: { attempt: 1, code: 'CHARTS_ERR_INVALID_CHART', err: { message: 'Chart generation gave no usable chart' } } }]
    }
    for (const [adjustment_query, lines] of Object.entries(cases)) {
      const task = await queue.run({ adjustment_query })
      // The end is seen by all before its worker has the store's answer.
      await until(() => about(logger, task).length >= lines.length)
      const told = about(logger, task)
      t.match(told, lines.map(line => ({ ...line, details: { message_id: task.message_id, ...(line as LogLine).details } })), adjustment_query)
      t.equal(told.length, lines.length, adjustment_query)
      for (const { details, message } of told) t.ok(isMs(details['duration']) && (message === RETRIED || isMs(details['waited'])), JSON.stringify(details))
    }
  })

  t.test(`what ends without its worker is told by the process that ended it, ${kind}`, async t => {
    const logger = recordingLogger()
    const queue = await startQueue(t, kind, { logger, leaseDuration: 100, retry: { attempts: 1 } })
    const running = await queue.enqueue()
    await queue.service.dequeueChartTask()
    const needed = await queue.enqueue()
    const dependent = await queue.enqueue({ depends_on: [needed.task_id] })
    const replaced = await queue.enqueue()
    await queue.enqueue({ message_id: replaced.message_id, adjustment_query: 'other', supersede: true })
    await queue.service.cancelTask(needed.task_id)
    t.match(about(logger, needed), [{ level: 'info', message: 'chart cancelled', details: { status: 'CANCELLED', attempt: 0, code: null, duration: 0 } }])
    t.match(about(logger, replaced), [{ level: 'info', message: 'chart cancelled' }])
    t.match(about(logger, dependent), [{ level: 'error', message: 'chart failed', details: { code: 'CHARTS_ERR_DEPENDENCY_FAILED', attempt: 0 } }])
    const lost = queue.ended(running.task_id)
    const collect = setInterval(() => { queue.service.dequeueChartTask().catch(() => {}) }, 50)
    t.teardown(() => clearInterval(collect))
    await lost
    await until(() => about(logger, running).length > 0)
    t.match(about(logger, running), [{ level: 'error', message: 'chart failed', details: { code: 'CHARTS_ERR_WORKER_LOST', attempt: 1 } }])
    for (const task of [running, needed, replaced, dependent]) t.equal(about(logger, task).length, 1)
  })
}

t.test('what is logged of an error is cut, its class kept, and nothing throws', async t => {
  const queue = await startQueue(t, 'memory', { retry: { attempts: 1 } })
  const logger = recordingLogger()
  const long = 'x'.repeat(1_000_000)
  class QueryError extends Error { rows = [long]; sql = long }
  const broken = Object.defineProperty(new Error('secret'), 'message', { get () { throw new Error('no message for you') } })
  const thrown: Record<string, unknown> = { error: new QueryError(long, { cause: new Error(long) }), text: long, object: { long }, broken, told: new ChartGenerationError(long) }
  await queue.work(async ({ adjustment_query: what }) => { throw thrown[what!] }, { logger })
  for (const what of Object.keys(thrown)) {
    const task = await queue.run({ adjustment_query: what })
    await until(() => about(logger, task).length > 0)
    const [line] = about(logger, task)
    const { err, reason } = line!.details as { err?: Error & { cause?: Error }, reason?: string }
    const texts = [err?.message, err?.stack, err?.cause?.message, err?.cause?.stack, reason, JSON.stringify(err)]
    for (const text of texts) t.ok((text ?? '').length < 8_400, what)
    if (what === 'error') {
      t.ok(err instanceof QueryError)
      t.match(err?.stack, /at .*task-log/, 'it still says where')
    }
  }
})

t.test('a logger whose level is off is not bothered', async t => {
  const queue = await startQueue(t, 'memory')
  const logger = recordingLogger()
  const children = gate<string>()
  const quiet = {
    ...logger,
    isLevelEnabled: (level: string) => level === 'error',
    child: () => {
      children.open('made')
      return quiet
    }
  }
  await queue.work(async (_request, { attempt }) => {
    if (attempt === 1) throw new Error('secret')
    return 1
  }, { logger: quiet })
  const task = await queue.run()
  t.equal(task.attempt, 2)
  t.strictSame(about(logger, task), [])
  t.equal(await Promise.race([children.opened, 'none']), 'none', 'no logger is made for an attempt that says nothing')
})
