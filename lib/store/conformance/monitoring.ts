import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import type { HistoryAddition, HistoryMinute, WorkerRegistration } from '../task-store.ts'
import { cases, LEASE, type Scene } from './scene.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE

const worker = (scene: Scene, fields: Partial<WorkerRegistration> = {}): WorkerRegistration => ({
  worker_id: randomUUID(), host: 'host', pid: 4711, version: '1.2.3', concurrency: 4, state: 'running', started_at: scene.date, ...fields
})

const minuteOf = (scene: Scene, fields: Partial<HistoryMinute> = {}): HistoryMinute => ({
  at: Math.floor(Date.parse(scene.date) / MINUTE) * MINUTE,
  created: 0,
  started: 0,
  completed: 0,
  cancelled: 0,
  failed: {},
  latest: {},
  wait: { sum: 0, counts: {} },
  run: { sum: 0, counts: {} },
  ...fields
})

const addition = (...minutes: HistoryMinute[]): HistoryAddition => ({ process_id: randomUUID(), addition_id: randomUUID(), minutes })

async function minutes (scene: Scene, count: number): Promise<readonly HistoryMinute[]> {
  return (await scene.store.readHistory(count, { latest: true })).minutes
}

export const workers = cases('workers', {
  'are there from their registration to their removal': async scene => {
    assert.deepEqual(await scene.store.readWorkers(10), { workers: [], complete: true, updated_at: scene.date })
    const one = worker(scene)
    await scene.store.registerWorker(one)
    const { workers } = await scene.store.readWorkers(10)
    assert.deepEqual(workers, [{ ...one, last_seen_at: scene.date, running: [], running_count: 0 }])
    await scene.store.removeWorker(one.worker_id)
    await scene.store.removeWorker(one.worker_id)
    await scene.store.removeWorker(randomUUID())
    assert.deepEqual((await scene.store.readWorkers(10)).workers, [])
  },

  'say again what has changed of them': async scene => {
    const one = worker(scene)
    await scene.store.registerWorker(one)
    await scene.store.registerWorker({ ...one, state: 'draining' })
    const { workers } = await scene.store.readWorkers(10)
    assert.deepEqual(workers.map(({ worker_id, state }) => [worker_id, state]), [[one.worker_id, 'draining']])
  },

  'are told by host and by when they started, as many as are asked for': async scene => {
    const later = worker(scene, { host: 'a', started_at: '2030-01-01T00:00:02.000Z' })
    const earlier = worker(scene, { host: 'a', started_at: '2030-01-01T00:00:01.000Z' })
    const other = worker(scene, { host: 'b', started_at: '2030-01-01T00:00:00.000Z', worker_id: 'a worker, by hand;100%' })
    for (const one of [other, later, earlier]) await scene.store.registerWorker(one)
    const all = await scene.store.readWorkers(3)
    assert.deepEqual([all.workers.map(({ worker_id }) => worker_id), all.complete], [[earlier, later, other].map(({ worker_id }) => worker_id), true])
    const some = await scene.store.readWorkers(2)
    assert.deepEqual([some.workers.length, some.complete], [2, false])
  },

  'have the attempts of which they hold the leases': async scene => {
    const [busy, idle] = [worker(scene, { worker_id: 'busy worker' }), worker(scene, { worker_id: 'idle' })]
    await scene.store.registerWorker(busy)
    await scene.store.registerWorker(idle)
    await scene.enqueueMany(3)
    const { tasks } = await scene.claim({ worker_id: busy.worker_id, count: 2 })
    await scene.claim({ worker_id: 'nobody knows it', count: 1 })
    const [reported, ended] = tasks
    const started_at = scene.date
    scene.pass(1_000)
    await scene.store.progress([{ task_id: reported!.task.task_id, lease: reported!.lease, progress: 40, step: 'a step', step_progress: {} }])
    await scene.complete(ended!)
    const { workers } = await scene.store.readWorkers(10)
    const { task_id, message_id } = reported!.task
    const byId = new Map(workers.map(({ worker_id, running, running_count }) => [worker_id, { running, running_count }]))
    assert.deepEqual(byId.get(busy.worker_id), {
      running: [{ task_id, message_id, attempt: 1, current_step: 'a step', progress: 40, started_at }], running_count: 1
    })
    assert.deepEqual(byId.get(idle.worker_id), { running: [], running_count: 0 })
  },

  'have an attempt until its lease has been collected': async scene => {
    await scene.store.registerWorker(worker(scene, { worker_id: 'first' }))
    await scene.store.registerWorker(worker(scene, { worker_id: 'second' }))
    const { task_id } = await scene.enqueue()
    await scene.claimIds({ worker_id: 'first' })
    scene.pass(LEASE)
    assert.deepEqual(await scene.claimIds({ worker_id: 'second' }), [task_id])
    const { workers } = await scene.store.readWorkers(10)
    const counts = Object.fromEntries(workers.map(({ worker_id, running_count }) => [worker_id, running_count]))
    assert.deepEqual(counts, { first: 0, second: 1 })
    assert.equal(workers.find(({ worker_id }) => worker_id === 'second')!.running[0]!.attempt, 2)
  },

  'show a hundred attempts, and count them all': async scene => {
    await scene.store.registerWorker(worker(scene, { worker_id: 'worker' }))
    await scene.enqueueMany(620)
    await scene.claimIds({ count: 500 })
    await scene.claimIds({ count: 120 })
    const { workers: [one], complete } = await scene.store.readWorkers(10)
    assert.deepEqual([one!.running.length, one!.running_count, complete], [100, 620, true])
  }
})

export const history = cases('the history', {
  'is empty where nothing was counted': async scene => {
    assert.deepEqual(await scene.store.readHistory(1_440, { latest: true }), { now: Date.parse(scene.date), minutes: [] })
  },

  'adds what processes have counted, minute by minute': async scene => {
    const task_id = randomUUID()
    const first = minuteOf(scene, {
      created: 3, started: 2, wait: { sum: 700, counts: { 500: 1, 1000: 1 } }, failed: { NO_DATA: 1 }, latest: { NO_DATA: [{ task_id, at: Date.parse(scene.date) }] }
    })
    await scene.store.addHistory(addition(first))
    scene.pass(MINUTE)
    const second = minuteOf(scene, { completed: 1, cancelled: 2, run: { sum: 5_000_000, counts: { inf: 1 } } })
    await scene.store.addHistory(addition(second, minuteOf(scene, { at: first.at, created: 1, wait: { sum: 40, counts: { 50: 1, 500: 2 } } })))
    assert.deepEqual(await scene.store.readHistory(60, { latest: true }), {
      now: Date.parse(scene.date), minutes: [{ ...first, created: 4, wait: { sum: 740, counts: { 50: 1, 500: 3, 1000: 1 } } }, second]
    })
  },

  'adds nothing twice': async scene => {
    const once = addition(minuteOf(scene, { created: 1, failed: { NO_DATA: 1 } }))
    const other = addition(minuteOf(scene, { created: 1 }))
    for (const added of [once, other, once, other]) await scene.store.addHistory(added)
    await scene.store.addHistory({ ...once, addition_id: randomUUID() })
    const [minute] = await minutes(scene, 1)
    assert.deepEqual([minute!.created, minute!.failed], [3, { NO_DATA: 2 }])
  },

  'of a range, the current minute included': async scene => {
    const created: number[] = []
    for (let i = 0; i < 25; i++) {
      await scene.store.addHistory(addition(minuteOf(scene, { created: i + 1 })))
      created.push(i + 1)
      scene.pass(MINUTE)
    }
    scene.pass(-MINUTE + 59_999)
    for (const range of [1, 2, 10, 11, 25, 60, 1_440]) {
      assert.deepEqual((await minutes(scene, range)).map(minute => minute.created), created.slice(-range), `${range} minutes`)
    }
  },

  'goes back a day': async scene => {
    await scene.store.addHistory(addition(minuteOf(scene, { created: 1 })))
    scene.pass(24 * HOUR - MINUTE)
    assert.equal((await minutes(scene, 1_440)).length, 1)
    scene.pass(MINUTE)
    assert.equal((await minutes(scene, 1_440)).length, 0)
  },

  'keeps twenty error codes of a minute apart': async scene => {
    const failed = (from: number, to: number) => Object.fromEntries(Array.from({ length: to - from }, (_, i) => [`CODE_${from + i}`, 1]))
    await scene.store.addHistory(addition(minuteOf(scene, { failed: failed(0, 15) })))
    await scene.store.addHistory(addition(minuteOf(scene, { failed: failed(10, 30) })))
    const [minute] = await minutes(scene, 1)
    const codes = Object.entries(minute!.failed)
    assert.equal(codes.length, 21)
    assert.equal(minute!.failed['CODE_12'], 2)
    assert.equal(minute!.failed['other'], 10)
    assert.equal(codes.reduce((sum, [, count]) => sum + count, 0), 35)
  },

  'has the latest five tasks of each error code': async scene => {
    const tasks: Array<{ task_id: string, at: number }> = []
    for (let i = 0; i < 4; i++) {
      const [a, b] = [0, 1].map(ms => ({ task_id: randomUUID(), at: Date.parse(scene.date) + ms }))
      tasks.unshift(b!, a!)
      await scene.store.addHistory(addition(minuteOf(scene, { failed: { NO_DATA: 2, OTHER: 1 }, latest: { NO_DATA: [b!, a!], OTHER: [a!] } })))
      scene.pass(1_000)
    }
    const [minute] = await minutes(scene, 1)
    assert.deepEqual(minute!.latest['NO_DATA'], tasks.slice(0, 5))
    assert.equal(minute!.latest['OTHER']!.length, 4)
  }
})
