import t from 'tap'
import { Forecast } from '../../lib/service/forecast.ts'
import type { QueueSnapshot, StepEntry } from '../../lib/store/task-store.ts'
import type { StoredTask } from '../../lib/task.ts'
import { someTask } from '../helpers/scripted-store.ts'

const NOW = Date.parse('2030-01-01T00:00:00.000Z')
const nobody = () => undefined

/** A chart whose steps began after so many seconds, the first of them `started`; it was there after the last number. */
function chart (...seconds: number[]): QueueSnapshot['completed'][number] {
  const begun = NOW - 3_600_000
  const names = ['started', 'query', 'render']
  const steps = seconds.slice(0, -1).map((second, i): StepEntry => ({ step: names[i]!, at: begun + second * 1_000, from: i * 40 }))
  return { steps, at: begun + seconds.at(-1)! * 1_000 }
}

const after = (seconds: number[], snapshot: Partial<QueueSnapshot> = {}) => forecast({ completed: seconds.map(second => chart(0, second)), ...snapshot })
const forecast = (snapshot: Partial<QueueSnapshot> = {}) =>
  new Forecast({ now: NOW, paused: false, waiting_since: null, processing_count: 0, running: [], completed: [], ...snapshot })

/** A task in a step that began so many seconds ago. */
const running = (elapsed: number, task: Partial<StoredTask> = {}) =>
  someTask({ step_at: NOW - elapsed * 1_000, progress_at: NOW - elapsed * 1_000, started_at: new Date(NOW - elapsed * 1_000).toISOString(), ...task })
const waiting = (task: Partial<StoredTask> = {}) =>
  someTask({ status: 'PENDING', current_step: 'queued', queue_position: 1, attempt: 0, started_at: null, step_at: NOW, ...task })

const secondsUntil = (forecast: Forecast, task: StoredTask, find: (task_id: string) => StoredTask | undefined = nobody) => {
  const completion = forecast.completionOf(task, find)
  return completion === null ? null : (completion - NOW) / 1_000
}

/** One task runs, since so many seconds, and something waits. */
const busySince = (seconds: number): Partial<QueueSnapshot> =>
  ({ processing_count: 1, running: [{ step: 'started', at: NOW - seconds * 1_000 }], waiting_since: NOW - 5_000 })

t.test('a task that runs', async t => {
  t.equal(secondsUntil(forecast(), running(1)), null, 'nobody knows before the first chart')
  t.equal(secondsUntil(after([10]), running(4)), 6)
  t.equal(secondsUntil(after([10, 30, 20]), running(0)), 20, 'the median')
  t.equal(secondsUntil(after([10, 30, 20, 40, 50]), running(25)), 15, 'of those that took longer than it has taken')
  t.equal(secondsUntil(after([10, 30, 20, 40, 50]), running(0)), secondsUntil(after([10, 30, 20, 40, 50]), running(9))! + 9, 'time alone changes nothing')
})

t.test('an overrun is widened, and then given up', async t => {
  const known = after([8, 10])
  t.strictSame([10, 14, 15, 22, 23, 33, 34].map(elapsed => secondsUntil(known, running(elapsed))), [5, 1, 7.5, 0.5, 10.75, 0.75, null])
})

t.test('what is over in less than a second is taken to last one', async t => {
  const known = after([0.01, 0.02])
  t.strictSame([0, 0.5, 1.2, 3.4].map(elapsed => secondsUntil(known, running(elapsed))), [1, 0.5, 0.3, null])
})

t.test('a step that has begun is judged by what followed that step', async t => {
  const known = forecast({ completed: [chart(0, 2, 12, 15), chart(0, 3, 13, 16), chart(0, 4, 14, 18)] })
  t.equal(secondsUntil(known, running(0)), 16)
  t.equal(secondsUntil(known, running(1, { current_step: 'query' })), 12)
  t.equal(secondsUntil(known, running(1, { current_step: 'render' })), 2)
  t.equal(secondsUntil(known, running(10, { current_step: 'unheard of', step_at: NOW - 1_000 })), 6, 'a new one by the whole')
  t.equal(secondsUntil(known, running(10, { current_step: 'unheard of', attempt: 2 })), null, 'of which nobody knows when it began in a later try')
})

t.test('the further a step is, the more its own pace counts', async t => {
  // Usually 10 s of query, from 40 to 80, and 3 s of rendering.
  const known = forecast({ completed: [chart(0, 2, 12, 15)] })
  const query = (elapsed: number, progress: number, step_progress = {}) =>
    secondsUntil(known, running(elapsed, { current_step: 'query', step_from: 40, progress, step_progress, progress_at: NOW }))
  t.equal(query(5, 40), 8, 'no progress, no pace')
  t.equal(query(5, 60), 8, 'at the usual pace')
  t.equal(query(2.5, 60), 5.5, 'twice as fast')
  t.equal(query(10, 60), 13, 'half as fast')
  t.equal(query(2.5, 40, { query: 50 }), 5.5, 'by its own figure')
  t.ok(Math.abs(query(1, 44)! - (0.3 * 12 + 0.7 * 12)) < 0.1, 'a tenth of it does not say much')
  const fast = query(0.5, 44)!
  t.ok(fast > 7.5 && fast < 12.5, `between its own pace and the usual: ${fast}`)
  const stuck = secondsUntil(known, running(12, { current_step: 'query', step_from: 40, progress: 78, progress_at: NOW - 11_000 }))
  t.equal(stuck, 1, 'a pace that has been overrun is none')
})

t.test('a task that waits', async t => {
  t.equal(secondsUntil(forecast(), waiting()), null, 'nobody knows before the first chart')
  t.equal(secondsUntil(after([10]), waiting()), 10, 'goes at once where nothing runs')
  t.equal(secondsUntil(after([10]), waiting({ queue_position: 3 })), 30, 'one after the other, as far as anybody has seen')
  t.equal(secondsUntil(after([10, 10]), waiting({ queue_position: 3 })), 20, 'two at a time where two were seen')
  const two = { processing_count: 2, running: [{ step: 'started', at: NOW - 4_000 }, { step: 'started', at: NOW - 9_000 }] }
  const busy = after([10], two)
  t.strictSame([1, 2, 3, 4].map(queue_position => secondsUntil(busy, waiting({ queue_position }))), [11, 16, 21, 26], 'after what runs')
  t.equal(secondsUntil(after([10], { paused: true }), waiting()), null, 'for ever, while the queue is paused')
  t.equal(secondsUntil(after([10], busySince(60)), waiting()), null, 'behind one that has overrun everything')
})

t.test('a task that waits where nobody works', async t => {
  const since = (ms: number, processing_count = 0) => after([10, 10, 10, 10], {
    waiting_since: NOW - ms, processing_count, running: Array(processing_count).fill({ step: 'started', at: NOW })
  })
  t.equal(secondsUntil(since(500), waiting()), 10, 'may be taken in a moment')
  t.equal(secondsUntil(since(1_001), waiting()), null, 'or nobody knows')
  t.equal(secondsUntil(since(1_001, 1), waiting({ queue_position: 4 })), 50, 'one works, whatever was seen before')
})

t.test('a long queue', async t => {
  const known = after([10], { processing_count: 1, running: [{ step: 'started', at: NOW }], waiting_since: NOW - 5_000 })
  t.strictSame([1, 2_000, 2_001, 9_999].map(position => known.waitOf(position)! / 1_000), [10, 20_000, 20_010, 99_990])
  const many = after([10], { processing_count: 300, running: Array(100).fill({ step: 'started', at: NOW - 5_000 }), waiting_since: NOW - 5_000 })
  const waits = [1, 100, 300, 301].map(position => many.waitOf(position)! / 1_000)
  const stuck = after([10], { ...busySince(60), processing_count: 2, running: [0, 60].map(seconds => ({ step: 'started', at: NOW - seconds * 1_000 })) })
  t.strictSame([1, 2_000, 2_001].map(position => stuck.waitOf(position)! / 1_000), [10, 20_000, 20_010], 'one slot is stuck')
  t.ok(waits[0]! < 0.1 && waits[3]! > 9 && waits.every((wait, i) => i === 0 || wait >= waits[i - 1]!), `those that are not shown end evenly: ${waits}`)
})

t.test('a task that waits for a time', async t => {
  const known = after([10])
  t.equal(secondsUntil(known, waiting({ current_step: 'scheduled', queue_position: null, step_at: NOW + 60_000 })), 70)
  t.equal(secondsUntil(known, waiting({ current_step: 'retrying', queue_position: null, step_at: NOW + 5_000 })), 15)
  const due = (ms: number) => waiting({ current_step: 'retrying', queue_position: null, step_at: NOW - ms })
  t.equal(secondsUntil(known, due(500)), 10)
  t.equal(secondsUntil(known, due(5_000)), null, 'nobody has come for it')
  t.equal(secondsUntil(after([10], busySince(4)), due(5_000)), 16, 'whoever is busy will')
  t.equal(secondsUntil(after([10], busySince(60)), due(5_000)), null, 'nobody knows when')
  t.equal(secondsUntil(known, waiting({ queue_position: null })), null, 'for a place of its tenant: nobody knows')
})

t.test('a task that waits for others', async t => {
  const known = after([10])
  const blocked = (...needs: StoredTask[]) => waiting({ current_step: 'waiting_for_dependencies', queue_position: null, depends_on: needs.map(({ task_id }) => task_id) })
  const among = (...tasks: StoredTask[]) => (task_id: string) => tasks.find(task => task.task_id === task_id)
  const first = running(4)
  const second = waiting({ queue_position: 1 })
  t.equal(secondsUntil(known, blocked(first, second), among(first, second)), 20, 'begins when the last of them is there')
  t.equal(secondsUntil(known, blocked(first), nobody), null, 'not where one of them is not known')
  t.equal(secondsUntil(after([10], { paused: true }), blocked(first), among(first)), null, 'nor while the queue is paused')
  const third = blocked(first)
  t.equal(secondsUntil(known, blocked(third), among(first, third)), 26, 'however deep')
  t.equal(secondsUntil(known, blocked(someTask({ status: 'COMPLETED' })), () => someTask({ status: 'COMPLETED' })), 10)
})

t.test('what has ended has nothing to come', async t => {
  for (const status of ['FAILED', 'CANCELLED'] as const) t.equal(secondsUntil(after([10]), someTask({ status })), null)
})

t.test('a task of which it is not known when its step began has no estimate', async t => {
  t.equal(secondsUntil(after([10]), running(4, { step_at: null })), null)
})
