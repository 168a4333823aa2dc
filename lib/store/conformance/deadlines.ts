import assert from 'node:assert/strict'
import { cases, idsOf, LEASE } from './scene.ts'

const patient = { queueTimeout: 30_000 }

export const deadlines = cases('a wait that is bounded', {
  'ends a task that was not claimed in time': async scene => {
    const { task_id, version } = await scene.enqueue(patient)
    scene.pass(29_999)
    assert.deepEqual((await scene.claim({ count: 0 })).lost, [])
    scene.pass(1)
    const { tasks, lost, due } = await scene.claim()
    assert.deepEqual([tasks, idsOf(lost), due], [[], [task_id], null])
    const task = await scene.read(task_id)
    assert.deepEqual([task.status, task.error_code, task.error_message, task.attempt, task.started_at, task.version],
      ['FAILED', 'CHARTS_ERR_QUEUE_TIMEOUT', 'The chart has waited too long for its turn', 0, null, version + 1])
    assert.equal(task.completed_at, scene.date)
    const { queue_length, oldest_waiting_at } = await scene.store.stats()
    assert.deepEqual([queue_length, oldest_waiting_at], [0, null])
  },

  'says when it is over': async scene => {
    await scene.enqueue(patient)
    assert.equal((await scene.claim({ count: 0 })).due, 30_000)
    scene.pass(10_000)
    assert.equal((await scene.claim({ count: 0 })).due, 20_000)
  },

  'is over once the task is claimed: later attempts may wait as long as they must': async scene => {
    await scene.enqueue(patient)
    const claimed = await scene.claimOne()
    await scene.fail(claimed, { delay: 60_000 })
    scene.pass(60_000)
    assert.deepEqual((await scene.claim({ count: 0 })).lost, [])
    scene.pass(60_000)
    const again = await scene.claimOne()
    await scene.release(again)
    scene.pass(60_000)
    assert.deepEqual(await scene.claimIds(), [claimed.task.task_id])
  },

  'counts from when the task could run': async scene => {
    const first = await scene.claimed()
    const scheduled = await scene.enqueue({ ...patient, run_at: Date.parse(scene.date) + 60_000 })
    const dependent = await scene.enqueue({ ...patient, depends_on: [first.task.task_id] })
    scene.pass(60_000)
    await scene.store.extend([{ task_id: first.task.task_id, lease: first.lease }], LEASE)
    assert.deepEqual((await scene.claim({ count: 0 })).lost, [])
    scene.pass(1_000)
    await scene.complete(first)
    scene.pass(29_000)
    assert.deepEqual(idsOf((await scene.claim({ count: 0 })).lost), [scheduled.task_id])
    scene.pass(1_000)
    assert.deepEqual(idsOf((await scene.claim({ count: 0 })).lost), [dependent.task_id])
  },

  'ends what waits at the cap of its tenant, and what needs it': async scene => {
    await scene.claimed()
    const capped = await scene.enqueue(patient)
    assert.deepEqual(await scene.claimIds({ runningPerTenant: 1 }), [])
    const dependent = await scene.enqueue({ depends_on: [capped.task_id] })
    scene.pass(30_000)
    const { lost } = await scene.claim({ count: 0, runningPerTenant: 1 })
    assert.deepEqual(lost.map(task => [task.task_id, task.error_code]),
      [[capped.task_id, 'CHARTS_ERR_QUEUE_TIMEOUT'], [dependent.task_id, 'CHARTS_ERR_DEPENDENCY_FAILED']])
  },

  'is nothing to a task that was cancelled': async scene => {
    const { task_id } = await scene.enqueue(patient)
    await scene.store.cancel(task_id)
    assert.equal((await scene.claim()).due, null)
    scene.pass(30_000)
    assert.deepEqual((await scene.claim()).lost, [])
  },

  'does not stop while the queue is paused': async scene => {
    const { task_id } = await scene.enqueue(patient)
    await scene.store.setPaused(true)
    scene.pass(30_000)
    assert.deepEqual(idsOf((await scene.claim()).lost), [task_id])
  }
})
