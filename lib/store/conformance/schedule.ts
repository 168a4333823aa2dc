import assert from 'node:assert/strict'
import { cases, DAY, LEASE, type Scene } from './scene.ts'

const inMs = (scene: Scene, ms: number) => ({ run_at: Date.parse(scene.date) + ms })

export const schedule = cases('a task for later', {
  'is scheduled, and not claimed before its time': async scene => {
    const { task_id, status, current_step, version } = await scene.enqueue(inMs(scene, 60_000))
    assert.deepEqual({ status, current_step, version }, { status: 'PENDING', current_step: 'scheduled', version: 1 })
    assert.deepEqual(await scene.read(task_id), await scene.read(task_id))
    assert.equal((await scene.read(task_id)).current_step, 'scheduled')
    scene.pass(59_999)
    assert.deepEqual(await scene.claimIds(), [])
    scene.pass(1)
    const { task } = await scene.claimOne()
    assert.deepEqual([task.task_id, task.attempt, task.started_at], [task_id, 1, scene.date])
  },

  'says when it is due': async scene => {
    await scene.enqueue(inMs(scene, 60_000))
    await scene.enqueue(inMs(scene, 20_000))
    assert.equal((await scene.claim()).due, 20_000)
    scene.pass(5_000)
    assert.equal((await scene.claim()).due, 15_000)
  },

  'is due at the sooner of its time and the end of a lease': async scene => {
    await scene.claimed()
    await scene.enqueue(inMs(scene, LEASE + 1))
    assert.equal((await scene.claim()).due, LEASE)
    await scene.enqueue(inMs(scene, LEASE - 1))
    assert.equal((await scene.claim()).due, LEASE - 1)
  },

  'whose time has passed already runs at once': async scene => {
    for (const ms of [0, -1, -DAY]) {
      const task = await scene.enqueue(inMs(scene, ms))
      assert.equal(task.current_step, 'queued')
      assert.deepEqual(await scene.claimIds(), [task.task_id])
    }
  },

  'queues by its priority when its time has come, and says so': async scene => {
    const later = await scene.enqueue({ ...inMs(scene, 1_000), priority: 'low' })
    const urgent = await scene.enqueue({ ...inMs(scene, 1_000), priority: 'high' })
    const normal = await scene.enqueue()
    scene.pass(1_000)
    assert.deepEqual(await scene.claimIds({ count: 0 }), [])
    const { status, current_step, version } = await scene.read(later.task_id)
    assert.deepEqual({ status, current_step, version }, { status: 'PENDING', current_step: 'queued', version: 2 })
    assert.deepEqual(await scene.claimIds({ count: 3 }), [urgent.task_id, normal.task_id, later.task_id])
  },

  'waits behind those of its tenant that were there before it': async scene => {
    const later = await scene.enqueue(inMs(scene, 1_000))
    const now = await scene.enqueueMany(3)
    scene.pass(1_000)
    assert.deepEqual(await scene.claimIds({ count: 4 }), [...now, later.task_id])
  },

  'can be cancelled meanwhile': async scene => {
    const { task_id } = await scene.enqueue(inMs(scene, 60_000))
    const cancelled = await scene.store.cancel(task_id)
    assert.equal(cancelled?.task.status, 'CANCELLED')
    assert.equal((await scene.claim()).due, null)
    scene.pass(60_000)
    assert.deepEqual(await scene.claimIds(), [])
    const { queue_length, delayed_count } = await scene.store.stats()
    assert.deepEqual([queue_length, delayed_count], [0, 0])
  },

  'counts as scheduled': async scene => {
    const wish = { ...inMs(scene, 60_000), scheduledPerTenant: 1 }
    await scene.enqueue(wish)
    const { queue_length, delayed_count, oldest_waiting_at } = await scene.store.stats()
    assert.deepEqual({ queue_length, delayed_count, oldest_waiting_at }, { queue_length: 1, delayed_count: 1, oldest_waiting_at: null })
    assert.deepEqual(await scene.store.enqueue(scene.draft(wish)), { outcome: 'scheduled_full', fresh: 1 })
  },

  'is the task of whoever asks for the same meanwhile': async scene => {
    const { task_id } = await scene.enqueue({ ...inMs(scene, 60_000), dedup_key: 'duplicate' })
    const again = await scene.store.enqueue(scene.draft({ dedup_key: 'duplicate' }))
    assert.ok('task' in again)
    assert.deepEqual([again.outcome, again.task.task_id, again.task.current_step], ['already_active', task_id, 'scheduled'])
  },

  'is retried like any other': async scene => {
    const { task_id } = await scene.enqueue(inMs(scene, 60_000))
    scene.pass(60_000)
    const claimed = await scene.claimOne()
    await scene.fail(claimed)
    assert.equal((await scene.read(task_id)).current_step, 'retrying')
    scene.pass(1_000)
    assert.deepEqual(await scene.claimIds(), [task_id])
  },

  'is never forgotten while it waits': async scene => {
    const { task_id } = await scene.enqueue(inMs(scene, 30 * DAY))
    scene.pass(30 * DAY)
    assert.equal(await scene.store.cleanup(), 0)
    assert.deepEqual(await scene.claimIds(), [task_id])
  }
})
