import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import type { StoredTask } from '../../task.ts'
import { cases, DAY, LEASE, type Scene, type Wish } from './scene.ts'

const retention = { task: 100, status: 10, messageIndex: 200 }
const YEARS = 1_000 * DAY

/** Whether a finished task is still known, asked in every way there is. */
async function known (scene: Scene, task: StoredTask): Promise<boolean[]> {
  const { store } = scene
  const { task_id, message_id, user_id } = task
  const { completed, failed } = await store.readMessage({ message_id, user_id, org_id: null, limit: 10 })
  const others = task.status === 'CANCELLED' ? [] : [[...completed, ...failed].some(found => found.task_id === task_id)]
  return [(await store.read([task_id]))[0] !== null, await store.readRequest(task_id) !== null, await store.cancel(task_id) !== null, ...others]
}

export const retained = cases('retention', {
  'a finished task is known until it is over, then nowhere': async scene => {
    const wish: Wish = { retention }
    for (const end of [() => scene.completed(wish), () => scene.failed(wish), () => scene.cancelled(wish)]) {
      const task = await end()
      scene.pass(99_999)
      assert.ok((await known(scene, task)).every(Boolean))
      scene.pass(1)
      assert.ok(!(await known(scene, task)).some(Boolean))
    }
  },

  'a task that nobody has cleaned up is forgotten all the same': async scene => {
    const wish: Wish = { retention, dedup_key: 'duplicate' }
    await scene.completed(wish)
    scene.pass(100_000)
    await scene.enqueue(wish)
  },

  'the steps are over before the task': async scene => {
    const claimed = await scene.claimed({ retention })
    const { task, lease } = claimed
    await scene.store.progress([{ task_id: task.task_id, lease, progress: 80, step: 'rendering', step_progress: { rendering: 50 } }])
    const { finished } = await scene.complete(claimed)
    scene.pass(9_999)
    assert.deepEqual(await scene.read(task.task_id), finished)
    scene.pass(1)
    assert.deepEqual(await scene.read(task.task_id), { ...finished, step_progress: {} })
    const { completed } = await scene.store.readMessage({ message_id: task.message_id, user_id: task.user_id, org_id: null, limit: 1 })
    assert.deepEqual(await scene.all(completed), [{ ...finished, step_progress: {} }])
  },

  'nothing unfinished is ever over': async scene => {
    const short = { retention: { task: 1, status: 1, messageIndex: 1 }, attempts: 100 }
    const message_id = '9f0cf2a2-9b5c-4f3e-8f31-6f0f5a3c1d11'
    const keyed = { ...short, message_id, dedup_key: 'duplicate', idempotency: { key: 'key', body: 'body' } }
    await scene.completed({ ...short, message_id })
    const { task_id } = await scene.enqueue(keyed)
    const stillThere = async () => {
      scene.pass(YEARS)
      await scene.store.cleanup()
      const task = await scene.read(task_id)
      assert.ok(await scene.store.readRequest(task_id))
      assert.deepEqual(await scene.all(await scene.store.readActive({ message_id, user_id: 'ada', limit: 10 })), [task])
      assert.deepEqual(await scene.store.enqueue(scene.draft(keyed)), { outcome: 'replayed', task, superseded: [] })
      assert.deepEqual(await scene.store.enqueue(scene.draft({ ...short, message_id, dedup_key: 'duplicate' })), { outcome: 'already_active', task, superseded: [] })
    }
    await stillThere()
    const { task, lease } = await scene.claimOne()
    assert.equal(task.task_id, task_id)
    await scene.store.progress([{ task_id, lease, progress: 80, step: 'rendering', step_progress: { rendering: 50 } }])
    await stillThere()
    assert.deepEqual((await scene.read(task_id)).step_progress, { rendering: 50 })
    await scene.claim({ count: 0 })
    await stillThere()
    await scene.fail(await scene.claimOne(), { delay: 5 * YEARS })
    await stillThere()
  },

  'a clean-up removes what is over, and says how many that was': async scene => {
    const wish: Wish = { retention }
    const first = await scene.completed(wish)
    scene.pass(50_000)
    const second = await scene.failed(wish)
    await scene.cancelled(wish)
    const { task_id } = await scene.enqueue(wish)
    assert.equal(await scene.store.cleanup(), 0)
    scene.pass(50_000)
    assert.equal(await scene.store.cleanup(), 1)
    assert.equal(await scene.store.readContent(first.chart_id!), null)
    assert.ok((await known(scene, second)).every(Boolean))
    scene.pass(50_000)
    assert.equal(await scene.store.cleanup(), 2)
    assert.equal(await scene.store.cleanup(), 0)
    await scene.read(task_id)
  },

  'a clean-up copes with more than a few': async scene => {
    const { store } = scene
    for (let n = 0; n < 11; n++) {
      const drafts = Array.from({ length: 100 }, () => scene.draft({ retention }))
      await store.enqueueBatch(randomUUID(), drafts)
      await store.cancelAll(drafts.map(({ task_id }) => task_id))
    }
    scene.pass(100_000)
    assert.equal(await store.cleanup(), 1_100)
  },

  'what a lease of a forgotten task says changes nothing': async scene => {
    const claimed = await scene.claimed({ retention })
    await scene.complete(claimed)
    scene.pass(100_000)
    await scene.store.cleanup()
    assert.deepEqual(await scene.complete(claimed), { current: false, finished: null })
    assert.deepEqual(await scene.store.extend([{ task_id: claimed.task.task_id, lease: claimed.lease }], LEASE), ['stale'])
    assert.deepEqual(await scene.store.read([claimed.task.task_id]), [null])
  },

  'each task keeps its own': async scene => {
    const short = await scene.completed({ retention })
    const long = await scene.completed()
    scene.pass(DAY - 1)
    assert.deepEqual((await scene.store.read([short.task_id, long.task_id])).map(task => task?.task_id), [undefined, long.task_id])
  }
})
