import assert from 'node:assert/strict'
import { cases, completion, failing, LEASE, leaseOf, type Scene } from './scene.ts'

async function ends (scene: Scene, task_id: string): Promise<void> {
  const before = await scene.read(task_id)
  const cancelled = await scene.store.cancel(task_id)
  const after = { ...before, status: 'CANCELLED', current_step: 'cancelled', queue_position: null, completed_at: scene.date, version: before.version + 1 }
  assert.deepEqual(cancelled, { task: after, ended: [after] })
  assert.deepEqual(await scene.read(task_id), cancelled?.task)
  await scene.unchanged(task_id, async () => assert.deepEqual(await scene.store.cancel(task_id), { task: cancelled?.task, ended: [] }))
  scene.pass(LEASE)
  assert.deepEqual(await scene.claimIds({ count: 10 }), [], 'it never runs again')
  const { queue_length, processing_count, delayed_count } = await scene.store.stats()
  assert.deepEqual({ queue_length, processing_count, delayed_count }, { queue_length: 0, processing_count: 0, delayed_count: 0 })
}

export const cancel = cases('a cancel', {
  'ends a task that waits': async scene => {
    const { task_id } = await scene.enqueue()
    await ends(scene, task_id)
  },

  'ends a task that runs': async scene => {
    const { task: { task_id }, lease } = await scene.claimed()
    await scene.store.progress([{ task_id, lease, progress: 40, step: 'rendering', step_progress: { rendering: 10 } }])
    await ends(scene, task_id)
  },

  'ends a task that waits for another attempt': async scene => {
    const claimed = await scene.claimed()
    await scene.fail(claimed)
    await ends(scene, claimed.task.task_id)
  },

  'ends a task that was released': async scene => {
    const claimed = await scene.claimed()
    await scene.release(claimed)
    await ends(scene, claimed.task.task_id)
  },

  'ends a task whose lease has passed': async scene => {
    const claimed = await scene.claimed()
    scene.pass(2 * LEASE)
    await ends(scene, claimed.task.task_id)
  },

  'leaves a finished task as it is': async scene => {
    for (const task of [await scene.completed(), await scene.failed()]) {
      await scene.unchanged(task.task_id, async () => assert.deepEqual(await scene.store.cancel(task.task_id), { task, ended: [] }))
    }
  },

  'that comes before the completion wins': async scene => {
    const claimed = await scene.claimed()
    const { task_id } = claimed.task
    const settlement = completion(claimed)
    await scene.store.cancel(task_id)
    await scene.unchanged(task_id, async () => {
      assert.deepEqual(await scene.settle(settlement), { current: false, finished: null })
      assert.deepEqual(await scene.fail(claimed), { current: false, finished: null })
      assert.deepEqual(await scene.release(claimed), { current: false, finished: null })
      assert.deepEqual(await scene.store.progress([{ ...leaseOf(claimed), progress: 90, step: null, step_progress: {} }]), [false])
    })
    assert.equal(await scene.store.readContent(settlement.chart_id), null, 'no chart is left behind')
  },

  'that comes after the completion loses': async scene => {
    const settlement = completion(await scene.claimed())
    const { finished } = await scene.settle(settlement)
    assert.deepEqual(await scene.store.cancel(settlement.task_id), { task: finished, ended: [] })
    assert.ok(await scene.store.readContent(settlement.chart_id))
  },

  'and a completion at once: one of them wins for good': async scene => {
    for (let i = 0; i < 10; i++) {
      const settlement = completion(await scene.claimed())
      const calls = [() => scene.settle(settlement), () => scene.store.cancel(settlement.task_id)] as const
      const [settled, cancelled] = i % 2 === 0
        ? await Promise.all([calls[0](), calls[1]()])
        : await Promise.all([calls[1](), calls[0]()]).then(([b, a]) => [a, b] as const)
      assert.equal(settled.current, cancelled!.ended.length === 0)
      assert.equal((await scene.read(settlement.task_id)).status, settled.current ? 'COMPLETED' : 'CANCELLED')
    }
  },

  'reaches the worker with its next extension': async scene => {
    const claimed = await scene.claimed()
    await scene.store.cancel(claimed.task.task_id)
    assert.deepEqual(await scene.store.extend([leaseOf(claimed)], LEASE), ['cancelled'])
  },

  'lets the task be asked for anew': async scene => {
    const { task_id } = await scene.cancelled({ dedup_key: 'duplicate' })
    const again = await scene.enqueue({ dedup_key: 'duplicate' })
    assert.notEqual(again.task_id, task_id)
    await scene.settle(failing(await scene.claimOne(), { delay: 'never' }))
  }
})
