import { randomUUID } from 'node:crypto'
import t from 'tap'
import { History, HISTORY_BOUNDS } from '../../lib/service/history.ts'
import { Monitoring } from '../../lib/service/monitoring.ts'
import { LargeReads } from '../../lib/service/large-reads.ts'
import { memoryStore } from '../../lib/store/memory.ts'
import type { HistoryAddition, HistoryMinute, TaskStore } from '../../lib/store/task-store.ts'
import { silentLogger } from '../../lib/silent-logger.ts'
import { recordingLogger } from '../helpers/recording-logger.ts'
import { someTask } from '../helpers/scripted-store.ts'

const START = Date.parse('2030-01-01T00:00:00.000Z')
const MINUTE = 60_000
const date = (ms: number) => new Date(START + ms).toISOString()
const taken = (created: number, at: number, lease = 1) =>
  ({ task: someTask({ created_at: date(created), step_at: START + at }), request: null!, lease, checkpoints: new Map(), priority: 'normal' as const, run_at: null, trace: null, lostWorkers: null, alone: false })
const completed = (started: number, at: number) => someTask({ status: 'COMPLETED', started_at: date(started), completed_at: date(at) })
const failed = (error_code: string, at: number) => someTask({ status: 'FAILED', error_code, completed_at: date(at) })

/** A history whose additions are written down, and may be refused. */
function scene () {
  let now = START
  let isRefused = false
  const additions: HistoryAddition[] = []
  const store = memoryStore({ now: () => now })
  const written: TaskStore = Object.assign(Object.create(store) as TaskStore, {
    async addHistory (addition: HistoryAddition) {
      additions.push(addition)
      if (isRefused) throw new Error('not now')
      await store.addHistory(addition)
    },
    readHistory: (minutes: number) => store.readHistory(minutes, { latest: true }),
    read: (ids: string[]) => store.read(ids),
    readWorkers: (limit: number) => store.readWorkers(limit)
  })
  const logger = recordingLogger()
  const history = new History(written, logger)
  return {
    history,
    additions,
    logger,
    monitoring: new Monitoring({ store: written, reads: new LargeReads(written), history }),
    pass: (ms: number) => { now += ms },
    refuse: (refused: boolean) => { isRefused = refused }
  }
}

const only = <T>(items: readonly T[]): T => items[0]!

t.test('counts by the minute of the store in which it was', async t => {
  const { history, monitoring, pass } = scene()
  pass(2 * MINUTE)
  history.created(someTask({ created_at: date(0) }))
  history.started(taken(0, 59_999))
  history.started(taken(0, 60_000, 2))
  history.ended(completed(59_999, 60_001))
  history.ended(someTask({ status: 'CANCELLED', completed_at: date(120_000) }))
  history.ended(failed('NO_DATA', 120_000))
  const { minutes, totals, updated_at } = await monitoring.history({ minutes: 3 })
  t.match(minutes, [
    { at: date(0), created: 1, started: 1, wait: { count: 1, sum: 59_999 } },
    { at: date(MINUTE), started: 1, completed: 1, wait: { count: 0 }, run: { count: 1, sum: 2 } },
    { at: date(2 * MINUTE), cancelled: 1, failed: { NO_DATA: 1 } }
  ])
  t.match(totals, { created: 1, started: 2, completed: 1, cancelled: 1, failed: 1 })
  t.equal(updated_at, date(2 * MINUTE))
  await history.close()
})

t.test('asks for nothing where nothing was counted, and once where much was', async t => {
  const { history, additions } = scene()
  await history.flush()
  t.equal(additions.length, 0)
  for (let i = 0; i < 1_000; i++) history.created(someTask({ created_at: date(i) }))
  await Promise.all([history.flush(), history.flush()])
  t.equal(additions.length, 1)
  await history.close()
  t.equal(additions.length, 1)
})

t.test('writes what it has counted when it closes', async t => {
  const { history, additions } = scene()
  history.created(someTask({ created_at: date(0) }))
  await history.close()
  t.match(additions, [{ minutes: [{ at: START, created: 1 }] }])
})

t.test('does not hold up a close where the store does not answer', async () => {
  const store = { addHistory: () => new Promise(() => {}) } as unknown as TaskStore
  const history = new History(store, silentLogger)
  history.created(someTask())
  await history.close()
})

t.test('does not wait at its close for a store that has not answered before', async t => {
  const { history, additions, refuse } = scene()
  refuse(true)
  history.created(someTask({ created_at: date(0) }))
  await history.flush()
  await history.close()
  t.equal(additions.length, 1)
})

t.test('sends an addition that failed again as it was, and says so once', async t => {
  const { history, additions, refuse, logger, monitoring } = scene()
  refuse(true)
  history.created(someTask({ created_at: date(0) }))
  await history.flush()
  history.created(someTask({ created_at: date(1) }))
  await history.flush()
  t.equal(additions.length, 2)
  t.equal(additions[0], additions[1], 'with its id: what was added although the reply was lost is not added twice')
  t.equal(logger.lines.length, 1)
  refuse(false)
  t.match((await monitoring.history({ minutes: 1 })).totals, { created: 2 })
  t.equal(additions.length, 4)
  await history.close()
})

t.test('keeps an hour for a store that does not answer', async t => {
  const { history, additions, refuse } = scene()
  refuse(true)
  for (let i = 0; i < 100; i++) history.created(someTask({ created_at: date(i * MINUTE) }))
  await history.flush()
  t.equal(only(additions).minutes.length, 60)
  t.equal(Math.max(...only(additions).minutes.map(({ at }) => at)), START + 99 * MINUTE, 'the latest')
  await history.close()
})

t.test('holds few error codes and tasks of a minute', async t => {
  const { history, additions } = scene()
  const ids: string[] = []
  for (let i = 0; i < 40; i++) history.ended(failed(`CODE_${i}`, i))
  for (let i = 0; i < 9; i++) {
    const task = failed('CODE_3', 100 + i)
    ids.unshift(task.task_id)
    history.ended(task)
  }
  await history.flush()
  const minute: HistoryMinute = only(only(additions).minutes)
  t.equal(Object.keys(minute.failed).length, 21)
  t.match(minute.failed, { CODE_3: 10, other: 20 })
  t.strictSame(minute.latest['CODE_3']!.map(({ task_id }) => task_id), ids.slice(0, 5))
  t.equal(minute.latest['other']!.length, 5)
  await history.close()
})

t.test('tells nothing of what has no time, or ended before it began', async t => {
  const { history, monitoring } = scene()
  history.created(someTask({ created_at: 'never' }))
  history.started({ ...taken(0, 0), task: someTask({ step_at: null }) })
  history.started(taken(100, 0))
  history.ended(someTask({ completed_at: null }))
  const { totals } = await monitoring.history({ minutes: 1 })
  t.match(totals, { created: 0, started: 1, completed: 0, wait: { p50: null } })
  await history.close()
})

t.test('percentiles are as good as the buckets', async t => {
  const { history, monitoring } = scene()
  for (let i = 1; i <= 100; i++) history.ended(completed(0, i * 10))
  const { totals: { run }, bounds, minutes } = await monitoring.history({ minutes: 1 })
  t.strictSame(bounds, HISTORY_BOUNDS)
  t.equal(only(minutes).run.buckets.length, bounds.length + 1)
  t.strictSame(run, { p50: 500, p95: 950 })
  await history.close()
})

t.test('what takes longer than the last bound is taken for as long', async t => {
  const { history, monitoring, pass } = scene()
  pass(10 * 3_600_000)
  history.ended(completed(0, 10 * 3_600_000))
  const { totals, minutes } = await monitoring.history({ minutes: 1 })
  t.strictSame(totals.run, { p50: 3_600_000, p95: 3_600_000 })
  t.strictSame(only(minutes).run.buckets.at(-1), 1)
  await history.close()
})

t.test('failures go by how many there are, with the latest that are still kept', async t => {
  const { history, monitoring, pass } = scene()
  for (let i = 0; i < 3; i++) {
    history.ended(failed('RARE', i * MINUTE))
    for (let n = 0; n < 2; n++) history.ended(failed('OFTEN', i * MINUTE + n))
    pass(MINUTE)
  }
  const { failures } = await monitoring.failures()
  t.match(failures, [{ error_code: 'OFTEN', count: 6, last_failed_at: date(2 * MINUTE + 1), tasks: [] }, { error_code: 'RARE', count: 3, last_failed_at: date(2 * MINUTE) }])
  t.match((await monitoring.failures({ minutes: 2 })).failures, [{ error_code: 'OFTEN', count: 2 }, { error_code: 'RARE', count: 1 }])
  await history.close()
})

t.test('bounds of another version are told by ours', async t => {
  const { history, monitoring } = scene()
  const store = memoryStore({ now: () => START })
  const minute = { created: 0, started: 0, completed: 3, cancelled: 0, failed: {}, latest: {}, wait: { sum: 0, counts: {} } }
  await store.addHistory({ process_id: randomUUID(), addition_id: randomUUID(), minutes: [{ at: START, ...minute, run: { sum: 9, counts: { 75: 1, 9999999: 1, inf: 1 } } }] })
  const other = new Monitoring({ store, reads: new LargeReads(store), history })
  const { minutes } = await other.history({ minutes: 1 })
  t.equal(only(minutes).run.buckets[HISTORY_BOUNDS.indexOf(100)], 1)
  t.equal(only(minutes).run.buckets.at(-1), 2)
  t.equal(only(minutes).run.count, 3)
  t.match(await monitoring.workers(), { workers: [], complete: true })
})
