import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { cases, DAY, type Scene, type Wish } from './scene.ts'

const idempotency = { key: 'key', body: 'body' }
const keyed = { idempotency }
const other = { idempotency: { key: 'key', body: 'another body' } }

async function replayed (scene: Scene, task_id: string, wish: Wish): Promise<void> {
  const again = await scene.store.enqueue(scene.draft(wish))
  assert.equal(again.outcome, 'replayed')
  assert.equal('task' in again && again.task.task_id, task_id)
}

export const idempotencyKeys = cases('an Idempotency-Key', {
  'seen before answers with the task as it is now': async scene => {
    const { task_id } = await scene.enqueue(keyed)
    const { task } = await scene.claimOne()
    assert.equal(task.status, 'PROCESSING')
    assert.deepEqual(await scene.store.enqueue(scene.draft(keyed)), { outcome: 'replayed', task, superseded: [] })
    const cancelled = await scene.store.cancel(task_id)
    assert.deepEqual(await scene.store.enqueue(scene.draft(keyed)), { outcome: 'replayed', task: cancelled!.task, superseded: [] })
    assert.equal((await scene.store.stats()).queue_length, 0)
  },

  'goes before force': async scene => {
    const { task_id } = await scene.enqueue({ ...keyed, force: true })
    const again = await scene.store.enqueue(scene.draft({ ...keyed, force: true }))
    assert.equal(again.outcome, 'replayed')
    assert.equal('task' in again && again.task.task_id, task_id)
  },

  'with another body is refused, and changes nothing': async scene => {
    const { task_id } = await scene.enqueue(keyed)
    await scene.unchanged(task_id, async () => {
      assert.deepEqual(await scene.store.enqueue(scene.draft(other)), { outcome: 'key_reused' })
    })
    assert.equal((await scene.store.stats()).queue_length, 1)
  },

  'of another caller is another key': async scene => {
    await scene.enqueue(keyed)
    await scene.enqueue({ idempotency: { key: 'another key', body: 'body' } })
  },

  'belongs to the active task that answered': async scene => {
    const { task_id } = await scene.enqueue({ dedup_key: 'duplicate' })
    const first = await scene.store.enqueue(scene.draft({ dedup_key: 'duplicate', ...keyed }))
    assert.equal(first.outcome, 'already_active')
    const { finished } = await scene.complete(await scene.claimOne())
    assert.equal(finished?.task_id, task_id)
    assert.deepEqual(await scene.store.enqueue(scene.draft({ dedup_key: 'duplicate', ...keyed })), { outcome: 'replayed', task: finished, superseded: [] })
    assert.deepEqual(await scene.store.enqueue(scene.draft({ dedup_key: 'duplicate', ...other })), { outcome: 'key_reused' })
  },

  'belongs to the finished chart that answered': async scene => {
    const task = await scene.completed({ dedup_key: 'duplicate' })
    assert.deepEqual(await scene.store.enqueue(scene.draft({ dedup_key: 'duplicate', ...keyed })), { outcome: 'chart_exists', task, superseded: [] })
    assert.deepEqual(await scene.store.enqueue(scene.draft({ dedup_key: 'duplicate', ...keyed })), { outcome: 'replayed', task, superseded: [] })
    assert.deepEqual(await scene.store.enqueue(scene.draft({ dedup_key: 'duplicate', ...other })), { outcome: 'key_reused' })
  },

  'of more than a hundred that one active task is asked for with is answered, and not remembered': async scene => {
    const { task_id } = await scene.enqueue({ dedup_key: 'duplicate', idempotency: { key: 'first', body: 'body' } })
    const ask = async (n: number) => (await scene.store.enqueue(scene.draft({ dedup_key: 'duplicate', idempotency: { key: `key-${n}`, body: 'body' } }))).outcome
    for (let n = 1; n <= 100; n++) assert.equal(await ask(n), 'already_active')
    assert.equal(await ask(99), 'replayed')
    assert.equal(await ask(100), 'already_active')
    await scene.complete(await scene.claimOne())
    assert.equal(await ask(101), 'chart_exists')
    assert.equal(await ask(101), 'chart_exists', 'nor once it has ended')
    assert.equal(await ask(1), 'replayed')
    assert.equal((await scene.read(task_id)).status, 'COMPLETED')
  },

  'of more than a hundred that one finished chart is asked for with is answered, and not remembered': async scene => {
    await scene.completed({ dedup_key: 'duplicate' })
    const ask = async (n: number) => (await scene.store.enqueue(scene.draft({ dedup_key: 'duplicate', idempotency: { key: `key-${n}`, body: 'body' } }))).outcome
    for (let n = 1; n <= 101; n++) assert.equal(await ask(n), 'chart_exists')
    assert.equal(await ask(100), 'replayed')
    assert.equal(await ask(101), 'chart_exists')
  },

  'is kept as long as its task': async scene => {
    const task = await scene.completed(keyed)
    scene.pass(DAY - 1)
    const replayed = await scene.store.enqueue(scene.draft(keyed))
    assert.equal(replayed.outcome, 'replayed')
    assert.equal('task' in replayed && replayed.task.task_id, task.task_id)
    scene.pass(1)
    await scene.enqueue(keyed)
  },

  'that a new task has taken over is not forgotten with the old task': async scene => {
    await scene.completed(keyed)
    scene.pass(DAY)
    const { task_id } = await scene.enqueue(keyed)
    await scene.store.cleanup()
    await replayed(scene, task_id, keyed)
  },

  'that a new task has taken over is not forgotten with the old batch': async scene => {
    await scene.store.enqueueBatch(randomUUID(), [scene.draft(keyed)])
    await scene.complete(await scene.claimOne())
    scene.pass(DAY)
    const { task_id } = await scene.enqueue(keyed)
    await scene.store.cleanup()
    await replayed(scene, task_id, keyed)
  },

  'is answered even where there is no room for a new task': async scene => {
    const { task_id } = await scene.enqueue(keyed)
    await replayed(scene, task_id, { ...keyed, waitingPerTenant: 1, queueLength: 1 })
  },

  'of a refused task is free': async scene => {
    await scene.enqueue()
    assert.deepEqual(await scene.store.enqueue(scene.draft({ ...keyed, waitingPerTenant: 1 })), { outcome: 'tenant_full', fresh: 1 })
    await scene.enqueue(other)
  }
})
