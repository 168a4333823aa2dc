import assert from 'node:assert/strict'
import { ChartPriority, type StoredTask } from '../../task.ts'
import { cases, completion, LEASE, type Scene } from './scene.ts'

const place = async (scene: Scene, task_id: string) => (await scene.read(task_id)).queue_position
const places = async (scene: Scene, ids: readonly string[]) => (await scene.store.read(ids)).map(task => task?.queue_position)

/** Compares every queue position with the order in which the tasks are then claimed. */
async function handedOutAsTold (scene: Scene, ids: readonly string[]): Promise<void> {
  const told = await places(scene, ids)
  const order = await scene.claimIds({ count: ids.length })
  assert.deepEqual(told, ids.map(task_id => order.indexOf(task_id) + 1))
}

export const position = cases('a place in the queue', {
  'is told when a task is accepted, and moves as others go': async scene => {
    const tasks: StoredTask[] = []
    for (let i = 0; i < 4; i++) tasks.push(await scene.enqueue())
    assert.deepEqual(tasks.map(({ queue_position }) => queue_position), [1, 2, 3, 4])
    const ids = tasks.map(({ task_id }) => task_id)
    await scene.claimOne()
    assert.deepEqual(await places(scene, ids), [null, 1, 2, 3])
    await scene.store.cancel(ids[2]!)
    assert.deepEqual(await places(scene, ids), [null, 1, null, 2])
  },

  'is no change of the task': async scene => {
    const [first, second] = await scene.enqueueMany(2)
    const before = await scene.read(second!)
    await scene.store.cancel(first!)
    assert.deepEqual(await scene.read(second!), { ...before, queue_position: 1 })
  },

  'follows the turns of tenants': async scene => {
    const ids: string[] = []
    for (const org_id of ['a', 'a', 'a', 'b', 'c', 'b', 'a']) ids.push((await scene.enqueue({ org_id })).task_id)
    await handedOutAsTold(scene, ids)
  },

  'follows the shares of priorities': async scene => {
    const ids: string[] = []
    for (const priority of Object.values(ChartPriority)) ids.push(...await scene.enqueueMany(25, { priority }))
    for (const count of [0, 5, 12]) {
      const gone = await scene.claimIds({ count })
      for (const id of gone) ids.splice(ids.indexOf(id), 1)
      const late = await scene.enqueue({ priority: 'low' })
      ids.push(late.task_id)
      assert.equal(await place(scene, late.task_id), late.queue_position)
    }
    await handedOutAsTold(scene, ids)
  },

  'is behind all that has run before': async scene => {
    const [fresh] = await scene.enqueueMany(1)
    const others = await scene.enqueueMany(2, { priority: 'high' })
    const { tasks } = await scene.claim({ count: 2 })
    assert.deepEqual(tasks.map(({ task }) => task.task_id).sort(), [...others].sort())
    for (const claimed of tasks) {
      await scene.release(claimed)
      scene.pass(1)
    }
    assert.deepEqual(await places(scene, [...tasks.map(({ task }) => task.task_id), fresh!]), [1, 2, 3])
  },

  'is told of every task of a message and of a batch': async scene => {
    const message_id = '9f0cf2a2-9b5c-4f3e-8f31-6f0f5a3c1d11'
    const batch_id = '9f0cf2a2-9b5c-4f3e-8f31-6f0f5a3c1d12'
    const result = await scene.store.enqueueBatch(batch_id, [scene.draft({ message_id }), scene.draft({ message_id })])
    assert.ok('tasks' in result)
    assert.deepEqual(result.tasks.map(({ task }) => task.queue_position), [1, 2])
    assert.deepEqual((await scene.batch(batch_id)).map(task => task.queue_position), [1, 2])
    assert.deepEqual((await scene.all(await scene.store.readActive({ message_id, user_id: 'ada', limit: 10 }))).map(task => task.queue_position), [2, 1])
    const again = await scene.store.enqueue(scene.draft({ message_id, dedup_key: 'duplicate' }))
    const duplicate = await scene.store.enqueue(scene.draft({ message_id, dedup_key: 'duplicate' }))
    assert.deepEqual([again, duplicate].map(found => 'task' in found && found.task.queue_position), [3, 3])
  },

  'is not told of what waits for a time, for others, or at the cap of its tenant': async scene => {
    const running = await scene.claimed({ org_id: 'acme' })
    const capped = await scene.enqueue({ org_id: 'acme' })
    assert.deepEqual(await scene.claimIds({ runningPerTenant: 1 }), [])
    const scheduled = await scene.enqueue({ run_at: Date.parse(scene.date) + 1_000 })
    const dependent = await scene.enqueue({ depends_on: [running.task.task_id] })
    const ids = [capped, scheduled, dependent].map(({ task_id }) => task_id)
    assert.deepEqual([scheduled, dependent].map(task => task.queue_position), [null, null])
    assert.deepEqual(await places(scene, ids), [null, null, null])
    scene.pass(1_000)
    await scene.store.settleAttempts([completion(running)], scene.wish({ count: 0 }))
    assert.deepEqual((await places(scene, ids)).sort(), [1, 2, 3])
    await handedOutAsTold(scene, ids)
  },

  'is not told of what runs or has ended': async scene => {
    const { task } = await scene.claimed()
    assert.equal(task.queue_position, null)
    assert.equal(await place(scene, task.task_id), null)
    const { queue_position } = await scene.cancelled()
    assert.equal(queue_position, null)
  },

  'comes back with a task whose worker was lost': async scene => {
    const { task: { task_id } } = await scene.claimed()
    const other = await scene.enqueue()
    scene.pass(LEASE)
    assert.deepEqual(await scene.claimIds({ count: 0 }), [])
    assert.deepEqual(await places(scene, [task_id, other.task_id]), [1, 2])
  }
})
