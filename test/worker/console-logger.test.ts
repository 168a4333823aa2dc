import t from 'tap'
import { gate, until } from '../helpers/gate.ts'
import { startQueue } from '../helpers/queue.ts'

t.test('a worker without a logger tells warnings and errors on the console, and nothing else', async t => {
  const warn = t.capture(console, 'warn')
  const error = t.capture(console, 'error')
  const quiet = (['log', 'info', 'debug'] as const).map(level => t.capture(console, level))
  const queue = await startQueue(t, 'memory', { retry: { attempts: 3 } })
  const ended = gate()
  const worker = await queue.work(async (_request, { log }) => {
    log.info({}, 'not of interest')
    throw new Error('no such table')
  }, {
    logger: undefined,
    onFinished: () => {
      ended.open()
      throw new Error('the host failed')
    }
  })
  const { task_id } = await queue.run()
  await ended.opened
  const warnings = warn().map(({ args }) => args)
  t.match(warnings, [1, 2, 3].map(attempt => ['the generator failed', { task_id, attempt }, { err: { message: 'no such table', stack: /console-logger/ } }]))
  t.equal(warnings.length, 3)
  const errors: unknown[][] = []
  await until(() => errors.push(...error().map(({ args }) => args)) > 0)
  t.match(errors, [['onFinished failed', { task_id, err: { message: 'the host failed' } }]])
  await worker.stop()
  t.same(quiet.flatMap(calls => calls()), [])
})
