import { randomUUID } from 'node:crypto'
import pino from 'pino'
import t from 'tap'
import type { ChartRequest, GenerateContext, JsonValue } from '../../lib/index.ts'
import { gate } from '../helpers/gate.ts'
import { startQueue, stores } from '../helpers/queue.ts'
import { recordingLogger } from '../helpers/recording-logger.ts'

for (const kind of stores) {
  t.test(`the request is exactly what was asked, ${kind}`, async t => {
    const queue = await startQueue(t, kind, { paramsSchema: { type: 'object' } })
    const requests: ChartRequest[] = []
    await queue.work(async request => {
      requests.push(request)
      return null
    })
    const message_id = randomUUID().toUpperCase()
    const asked = {
      message_id, visibility: 'ORGANIZATION' as const, force_create: true, adjustment_query: '  Füll \u0000 it ', params: { z: [1, { b: null }], a: '' }
    }
    const { task_id } = await queue.run(asked, { user_id: 'ada', org_id: 'acme' })
    await queue.run({ message_id })
    t.same(requests[0], { task_id, user_id: 'ada', org_id: 'acme', ...asked })
    t.same(Object.keys(requests[1]!).sort(), ['adjustment_query', 'force_create', 'message_id', 'org_id', 'task_id', 'user_id', 'visibility'])
    t.match(requests[1], { org_id: null, visibility: 'PRIVATE', force_create: false, adjustment_query: null })
  })

  t.test(`an attempt that changes its request leaves the next one what was asked, ${kind}`, async t => {
    const queue = await startQueue(t, kind, { paramsSchema: { type: 'object' }, retry: { attempts: 2 } })
    const seen: Array<JsonValue | undefined> = []
    await queue.work(async (request, { attempt }) => {
      seen.push(structuredClone(request.params))
      Object.assign(request.params as object, { columns: [] })
      Object.assign(request, { adjustment_query: 'changed' })
      if (attempt === 1) throw new Error('once more')
      return request.message_id
    })
    const task = await queue.run({ params: { columns: ['a'] } })
    t.same(seen, [{ columns: ['a'] }, { columns: ['a'] }])
    t.match(task, { status: 'COMPLETED', adjustment_query: null })
    t.match(JSON.parse((await queue.service.getTaskData(task.task_id))!), { params: { columns: ['a'] }, adjustment_query: null })
  })

  t.test(`the signal comes whatever the declared number of parameters, ${kind}`, async t => {
    const queue = await startQueue(t, kind)
    const arity = {
      none: async function () { return arguments[1].signal instanceof AbortSignal },
      one: async function (_request: ChartRequest) { return arguments[1].signal instanceof AbortSignal },
      rest: async (...all: [ChartRequest, GenerateContext]) => all[1].signal instanceof AbortSignal,
      default: async (_request?: ChartRequest, context?: GenerateContext) => context!.signal instanceof AbortSignal
    }
    for (const [name, generate] of Object.entries(arity)) {
      const worker = await queue.work(generate)
      t.equal(await queue.content(await queue.run()), true, `${name}: ${generate.length} declared`)
      await worker.stop()
    }
  })

  t.test(`attempt counts the attempts, and log carries whose line it is, ${kind}`, async t => {
    const queue = await startQueue(t, kind)
    const logger = recordingLogger()
    const attempts: number[] = []
    await queue.work(async (_request, { attempt, log, signal }) => {
      attempts.push(attempt)
      log.info({ rows: 3, aborted: signal.aborted }, 'from the generator')
      if (attempt < 3) throw new Error('again')
      return 'chart'
    }, { logger })
    const { task_id, message_id, ...ended } = await queue.run()
    t.match(ended, { status: 'COMPLETED', attempt: 3 })
    t.same(attempts, [1, 2, 3])
    t.same(logger.said('from the generator').map(({ details }) => details),
      [1, 2, 3].map(attempt => ({ task_id, message_id, attempt, rows: 3, aborted: false })))
  })

  t.test(`a logger that cannot write what was thrown changes nothing, ${kind}`, async t => {
    const queue = await startQueue(t, kind, { retry: { attempts: 1 } })
    const error = new Error('secret')
    for (const name of ['stack', 'message']) Object.defineProperty(error, name, { get () { throw new Error('unreadable') } })
    const lines: string[] = []
    await queue.work(async ({ adjustment_query }) => {
      if (adjustment_query) throw error
      return 'next'
    }, { concurrency: 1, logger: pino({ level: 'trace' }, { write: line => lines.push(line) }) })
    t.match(await queue.run({ adjustment_query: 'break' }), { status: 'FAILED', error_code: 'CHARTS_ERR_GENERATION_FAILED' })
    t.equal(await queue.content(await queue.run()), 'next', 'the worker goes on')
    t.ok(lines.length > 0)
  })

  t.test(`nothing of an attempt reaches the task once it is over, ${kind}`, async t => {
    const queue = await startQueue(t, kind)
    const over = gate<GenerateContext>()
    await queue.work(async (_request, context) => {
      over.open(context)
      return 'chart'
    })
    const task = await queue.run()
    const { progress, log } = await over.opened
    progress({ step: 'late', progress: 10 })
    log.info({}, 'late')
    await queue.run()
    t.same(await queue.service.getTaskStatus(task.task_id), task)
  })
}
