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
  assert.deepEqual(await scene.takeIds({ count: 10 }), [], 'it never runs again')
  const { queue_length, processing_count, delayed_count } = await scene.store.stats()
  assert.deepEqual({ queue_length, processing_count, delayed_count }, { queue_length: 0, processing_count: 0, delayed_count: 0 })
}

export const cancel = cases('a cancel', {
  'ends a task that waits': async scene => {
    const { task_id } = await scene.enqueue()
    await ends(scene, task_id)
  },

  'ends a task that runs': async scene => {
    const { task: { task_id }, lease } = await scene.taken()
    await scene.store.progress([{ task_id, lease, progress: 40, step: 'rendering', step_progress: { rendering: 10 } }])
    await ends(scene, task_id)
  },

  'ends a task that waits for another try': async scene => {
    const taken = await scene.taken()
    await scene.fail(taken)
    await ends(scene, taken.task.task_id)
  },

  'ends a task that was handed back': async scene => {
    const taken = await scene.taken()
    await scene.release(taken)
    await ends(scene, taken.task.task_id)
  },

  'ends a task whose lease has passed': async scene => {
    const taken = await scene.taken()
    scene.pass(2 * LEASE)
    await ends(scene, taken.task.task_id)
  },

  'leaves a finished task as it is': async scene => {
    for (const task of [await scene.completed(), await scene.failed()]) {
      await scene.unchanged(task.task_id, async () => assert.deepEqual(await scene.store.cancel(task.task_id), { task, ended: [] }))
    }
  },

  'that comes before the completion wins': async scene => {
    const taken = await scene.taken()
    const { task_id } = taken.task
    const closing = completion(taken)
    await scene.store.cancel(task_id)
    await scene.unchanged(task_id, async () => {
      assert.deepEqual(await scene.close(closing), { current: false, finished: null })
      assert.deepEqual(await scene.fail(taken), { current: false, finished: null })
      assert.deepEqual(await scene.release(taken), { current: false, finished: null })
      assert.deepEqual(await scene.store.progress([{ ...leaseOf(taken), progress: 90, step: null, step_progress: {} }]), [false])
    })
    assert.equal(await scene.store.readContent(closing.chart_id), null, 'no chart is left behind')
  },

  'that comes after the completion loses': async scene => {
    const closing = completion(await scene.taken())
    const { finished } = await scene.close(closing)
    assert.deepEqual(await scene.store.cancel(closing.task_id), { task: finished, ended: [] })
    assert.ok(await scene.store.readContent(closing.chart_id))
  },

  'and a completion at once: one of them wins for good': async scene => {
    for (let i = 0; i < 10; i++) {
      const closing = completion(await scene.taken())
      const calls = [() => scene.close(closing), () => scene.store.cancel(closing.task_id)] as const
      const [closed, cancelled] = i % 2 === 0
        ? await Promise.all([calls[0](), calls[1]()])
        : await Promise.all([calls[1](), calls[0]()]).then(([b, a]) => [a, b] as const)
      assert.equal(closed.current, cancelled!.ended.length === 0)
      assert.equal((await scene.read(closing.task_id)).status, closed.current ? 'COMPLETED' : 'CANCELLED')
    }
  },

  'reaches the worker with its next extension': async scene => {
    const taken = await scene.taken()
    await scene.store.cancel(taken.task.task_id)
    assert.deepEqual(await scene.store.extend([leaseOf(taken)], LEASE), ['cancelled'])
  },

  'lets the task be asked for anew': async scene => {
    const { task_id } = await scene.cancelled({ same: 'alike' })
    const again = await scene.enqueue({ same: 'alike' })
    assert.notEqual(again.task_id, task_id)
    await scene.close(failing(await scene.take(), { delay: 'never' }))
  }
})
