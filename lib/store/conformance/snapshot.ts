import assert from 'node:assert/strict'
import type { ClaimedTask } from '../task-store.ts'
import { cases, DAY, LEASE, type Scene } from './scene.ts'

const at = (scene: Scene) => Date.parse(scene.date)

async function reports (scene: Scene, { task: { task_id }, lease }: Pick<ClaimedTask, 'task' | 'lease'>, step: string, progress: number | null = null): Promise<void> {
  assert.deepEqual(await scene.store.progress([{ task_id, lease, progress, step, step_progress: {} }]), [true])
}

export const snapshot = cases('the queue snapshot', {
  'of an empty queue': async scene => {
    assert.deepEqual(await scene.store.snapshot(), {
      now: at(scene), paused: false, waiting_since: null, processing_count: 0, running: [], completed: []
    })
  },

  'tells where running attempts are, and since when': async scene => {
    const first = await scene.claimed()
    scene.pass(1_000)
    const second = await scene.claimed()
    const start = at(scene)
    scene.pass(500)
    await reports(scene, first, 'rendering')
    scene.pass(500)
    await reports(scene, first, 'rendering')
    const { running, processing_count } = await scene.store.snapshot()
    assert.equal(processing_count, 2)
    assert.deepEqual(running, [{ step: 'rendering', at: start + 500 }, { step: 'started', at: start }])
    assert.equal((await scene.read(first.task.task_id)).step_at, start + 500)
    assert.equal((await scene.read(second.task.task_id)).step_at, start)
  },

  'a task knows when its step began, from where, and when it last moved': async scene => {
    const { task: { task_id }, lease } = await scene.claimed()
    const start = at(scene)
    const timing = async () => {
      const { step_at, step_from, progress_at } = await scene.read(task_id)
      return [step_at! - start, step_from, progress_at && progress_at - start]
    }
    const report = (step: string | null, progress: number | null, step_progress = {}) => {
      scene.pass(1_000)
      return scene.store.progress([{ task_id, lease, progress, step, step_progress }])
    }
    assert.deepEqual(await timing(), [0, 0, null])
    await report(null, 10)
    assert.deepEqual(await timing(), [0, 0, 1_000])
    await report('rendering', 40)
    assert.deepEqual(await timing(), [2_000, 40, 2_000])
    await report('rendering', 30)
    assert.deepEqual(await timing(), [2_000, 40, 2_000], 'what falls is no move')
    await report('rendering', null, { rendering: 50 })
    assert.deepEqual(await timing(), [2_000, 40, 4_000])
  },

  'tells what the latest charts took, step by step': async scene => {
    const start = at(scene)
    const claimed = await scene.claimed()
    for (const [i, step] of ['query', 'render', 'query'].entries()) {
      scene.pass(1_000)
      await reports(scene, claimed, step, 10 * (i + 1))
    }
    scene.pass(1_000)
    await scene.complete(claimed)
    scene.pass(1_000)
    await scene.completed()
    assert.deepEqual((await scene.store.snapshot()).completed, [
      { steps: [{ step: 'started', at: start + 5_000, from: 0 }], at: start + 5_000 },
      { steps: ['started', 'query', 'render', 'query'].map((step, i) => ({ step, at: start + i * 1_000, from: i * 10 })), at: start + 4_000 }
    ])
  },

  'tells of the last attempt alone': async scene => {
    const claimed = await scene.claimed()
    await reports(scene, claimed, 'query')
    scene.pass(1_000)
    await scene.fail(claimed, { delay: 0 })
    const again = await scene.claimOne()
    await scene.complete(again)
    assert.deepEqual((await scene.store.snapshot()).completed, [{ steps: [{ step: 'started', at: at(scene), from: 0 }], at: at(scene) }])
  },

  'tells of charts alone': async scene => {
    await scene.failed()
    await scene.cancelled()
    const { completed } = await scene.store.snapshot()
    assert.deepEqual(completed, [])
  },

  'finds charts among much that did not become one': async scene => {
    const { completed_at } = await scene.completed()
    scene.pass(1)
    for (let i = 0; i < 250; i++) await scene.cancelled()
    const { completed } = await scene.store.snapshot()
    assert.deepEqual(completed.map(({ at }) => at), [Date.parse(completed_at!)])
  },

  'tells of a hundred at the most': async scene => {
    for (let i = 0; i < 105; i++) {
      await scene.completed()
      scene.pass(1)
    }
    await scene.enqueueMany(105)
    await scene.claim({ count: 105 })
    const { completed, running, processing_count } = await scene.store.snapshot()
    assert.deepEqual([completed.length, running.length, processing_count], [100, 100, 105])
    assert.equal(completed[0]!.at, at(scene) - 1)
  },

  'forgets with the tasks': async scene => {
    await scene.completed()
    scene.pass(DAY)
    assert.deepEqual((await scene.store.snapshot()).completed, [])
  },

  'tells since when the head of a queue has waited': async scene => {
    const start = at(scene)
    await scene.enqueue({ priority: 'low' })
    scene.pass(1_000)
    await scene.enqueue({ priority: 'high' })
    assert.equal((await scene.store.snapshot()).waiting_since, start)
    const low = await scene.claimOne()
    assert.equal(low.task.created_at, new Date(start + 1_000).toISOString())
    assert.equal((await scene.store.snapshot()).waiting_since, start)
    await scene.claimOne()
    assert.equal((await scene.store.snapshot()).waiting_since, null)
    scene.pass(LEASE)
    await scene.claim({ count: 0 })
    assert.equal((await scene.store.snapshot()).waiting_since, start + 1_000 + LEASE)
  },

  'of a task that waits for its time is when that comes': async scene => {
    const scheduled = await scene.enqueue({ run_at: at(scene) + 5_000 })
    const claimed = await scene.claimed()
    await scene.fail(claimed, { delay: 3_000 })
    const times = await scene.store.read([scheduled.task_id, claimed.task.task_id])
    assert.deepEqual(times.map(task => task!.step_at), [at(scene) + 5_000, at(scene) + 3_000])
    assert.equal((await scene.store.snapshot()).waiting_since, null)
  }
})
