import t from 'tap'
import { randomUUID } from 'node:crypto'
import type { Chart } from '../../lib/index.ts'
import { hostStore } from '../helpers/chart-store.ts'
import { gate, inTime, until } from '../helpers/gate.ts'
import { startQueue, stores } from '../helpers/queue.ts'
import { recordingLogger } from '../helpers/recording-logger.ts'
import { spyOnStore } from '../helpers/spy-store.ts'

for (const kind of stores) {
  for (const place of ['beside the tasks', 'in a store of the host'] as const) {
    t.test(`a generator finds the charts that it waited for, in the order asked, ${place}, ${kind}`, async t => {
      const queue = await startQueue(t, kind, place === 'beside the tasks' ? {} : { chartStore: hostStore() })
      const given: Array<readonly Chart[]> = []
      await queue.work(async ({ adjustment_query }, { dependencies }) => {
        given.push(dependencies)
        return { made: adjustment_query }
      }, { concurrency: 1 })
      const done = await queue.run({ adjustment_query: 'done' })
      t.strictSame(given.at(-1), [], 'none where none was asked for')
      const message_id = randomUUID()
      const { tasks } = await queue.service.enqueueChartTasks([
        { message_id, adjustment_query: 'last', depends_on: ['b', done.task_id, 'a'] },
        { message_id, adjustment_query: 'a', ref: 'a' },
        { message_id, adjustment_query: 'b', ref: 'b', depends_on: ['a'] }
      ], { user_id: 'ada' })
      const last = await queue.ended(tasks[0]!.task.task_id)
      t.equal(last.status, 'COMPLETED')
      t.strictSame(given.at(-1)!.map(({ content }) => content), [{ made: 'b' }, { made: 'done' }, { made: 'a' }])
      t.match(given.at(-1)![1], { task_id: done.task_id, chart_id: done.chart_id, message_id: done.message_id, user_id: 'ada' }, 'whole charts')
    })
  }

  t.test(`a chart that is no longer there fails the task, and is not tried again, ${kind}`, async t => {
    const chartStore = hostStore()
    const queue = await startQueue(t, kind, { chartStore })
    let runs = 0
    await queue.work(async () => ++runs)
    const done = await queue.run()
    chartStore.charts.clear()
    const task = await queue.run({ depends_on: [done.task_id] })
    t.match(task, { status: 'FAILED', error_code: 'CHARTS_ERR_DEPENDENCY_FAILED', attempt: 1 })
    t.equal(runs, 1, 'the generator was not called')
  })

  t.test(`a task is told at once that what it needs has failed, and onFinished hears of all, ${kind}`, async t => {
    const queue = await startQueue(t, kind, { retry: { attempts: 1 } })
    const ended: string[] = []
    const go = gate()
    let runs = 0
    await queue.work(async () => {
      runs++
      await go.opened
      throw new Error('broken')
    }, { onFinished: ({ task_id }) => { ended.push(task_id) } })
    const ids = [(await queue.enqueue()).task_id]
    for (let i = 0; i < 5; i++) ids.push((await queue.enqueue({ depends_on: [ids.at(-1)!] })).task_id)
    const ends = Promise.all(ids.map(id => queue.ended(id)))
    go.open()
    const tasks = await inTime(ends, 5_000, 'all of them end')
    t.strictSame(tasks.map(({ error_code }) => error_code), ['CHARTS_ERR_GENERATION_FAILED', ...Array(5).fill('CHARTS_ERR_DEPENDENCY_FAILED')])
    t.equal(runs, 1)
    await queue.close()
    t.strictSame([...ended].sort(), [...ids].sort())
  })

  t.test(`dependencies are there again in another attempt, ${kind}`, async t => {
    const queue = await startQueue(t, kind)
    const seen: unknown[] = []
    await queue.work(async (_request, { attempt, dependencies }) => {
      if (dependencies.length === 0) return 'first'
      seen.push(dependencies[0]!.content)
      if (attempt === 1) throw new Error('again')
      return 'second'
    })
    const { task_id } = await queue.enqueue()
    t.match(await queue.run({ depends_on: [task_id] }), { status: 'COMPLETED', attempt: 2 })
    t.strictSame(seen, ['first', 'first'])
  })

  t.test(`a store that does not answer when they are read costs no attempt, ${kind}`, async t => {
    const queue = await startQueue(t, kind, { retry: { attempts: 1 } })
    const { store, lose, restore } = spyOnStore(queue)
    const logger = recordingLogger()
    let runs = 0
    await queue.work(async () => ++runs, { store, logger, leaseDuration: 60_000 })
    const done = await queue.run()
    lose('request', 'read')
    const { task_id } = await queue.enqueue({ depends_on: [done.task_id] })
    await until(() => logger.said(/could not be read/).length > 1)
    restore()
    t.match(await queue.ended(task_id), { status: 'COMPLETED', attempt: 1 })
    t.equal(runs, 2)
  })

  t.test(`a store of the host that throws when they are read costs no attempt, ${kind}`, async t => {
    const charts = hostStore()
    let failing = true
    const chartStore = {
      ...charts,
      get: async (chart_id: string) => {
        if (failing) throw new Error('the database is restarted')
        return charts.get(chart_id)
      }
    }
    const queue = await startQueue(t, kind, { chartStore, retry: { attempts: 1 } })
    const logger = recordingLogger()
    await queue.work(async () => 'chart', { logger })
    const done = await queue.run()
    const { task_id } = await queue.enqueue({ depends_on: [done.task_id] })
    await until(() => logger.said(/could not be read/).length > 0)
    failing = false
    t.match(await queue.ended(task_id), { status: 'COMPLETED', attempt: 1 })
  })

  t.test(`who is cancelled while they are read frees the slot at once, and is not generated, ${kind}`, async t => {
    const charts = hostStore()
    const asked = gate()
    const answer = gate()
    const chartStore = {
      ...charts,
      get: async (chart_id: string) => {
        asked.open()
        await answer.opened
        return charts.get(chart_id)
      }
    }
    const queue = await startQueue(t, kind, { chartStore })
    const logger = recordingLogger()
    const ran: string[] = []
    await queue.work(async ({ task_id }) => {
      ran.push(task_id)
      return 'chart'
    }, { concurrency: 1, logger })
    const done = await queue.run()
    const { task_id } = await queue.enqueue({ depends_on: [done.task_id] })
    await asked.opened
    await queue.service.cancelTask(task_id)
    const next = await queue.run()
    t.equal(next.status, 'COMPLETED', 'the slot is free although the read has not been answered')
    answer.open()
    await queue.run()
    t.notOk(ran.includes(task_id))
    t.same(logger.said(/abandoned/), [], 'nothing ignored its signal')
  })
}
