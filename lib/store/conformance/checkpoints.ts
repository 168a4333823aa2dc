import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import type { ClaimedTask } from '../task-store.ts'
import { cases, LEASE, type Scene } from './scene.ts'

const remember = (scene: Scene, { task: { task_id }, lease }: ClaimedTask, name: string, value: string, most = 0) =>
  scene.store.checkpoint({ task_id, lease, name, value, maxBytes: most })

export const checkpoints = cases('a checkpoint', {
  'is part of the next claim, however the attempt ended': async scene => {
    const ways: Array<(claimed: ClaimedTask) => Promise<unknown>> = [
      claimed => scene.release(claimed),
      claimed => scene.fail(claimed, { delay: 0 }),
      async () => scene.pass(LEASE)
    ]
    for (const way of ways) {
      const claimed = await scene.claimed()
      assert.deepEqual([...claimed.checkpoints], [])
      assert.equal(await remember(scene, claimed, 'plan', '{"value":1}'), 'ok')
      assert.equal(await remember(scene, claimed, 'ü 2', '"ü"'), 'ok')
      await way(claimed)
      const next = await scene.claimOne()
      assert.equal(next.task.task_id, claimed.task.task_id)
      assert.deepEqual([...next.checkpoints].sort(), [['plan', '{"value":1}'], ['ü 2', '"ü"']])
      await scene.complete(next)
    }
  },

  'of one attempt is added to those of earlier ones': async scene => {
    let claimed = await scene.claimed({ attempts: 5 })
    for (const name of ['a', 'b', 'c']) {
      await remember(scene, claimed, name, `"${name}"`)
      await scene.release(claimed)
      claimed = await scene.claimOne()
    }
    assert.deepEqual([...claimed.checkpoints.keys()].sort(), ['a', 'b', 'c'])
  },

  'belongs to its task alone': async scene => {
    const claimed = await scene.claimed()
    await remember(scene, claimed, 'plan', '1')
    const other = await scene.claimed()
    await scene.release(other)
    assert.deepEqual([...(await scene.claimOne()).checkpoints], [])
  },

  'is no change of the task': async scene => {
    const claimed = await scene.claimed()
    await scene.unchanged(claimed.task.task_id, () => remember(scene, claimed, 'plan', '1'))
  },

  'is refused to a lease that is not current': async scene => {
    const stale = await scene.claimed()
    await remember(scene, stale, 'plan', '"first"')
    await scene.release(stale)
    assert.equal(await remember(scene, stale, 'plan', '"late"'), 'stale', 'it is nobody\'s')
    const current = await scene.claimOne()
    assert.equal(await remember(scene, stale, 'plan', '"late"'), 'stale')
    assert.equal(await remember(scene, stale, 'other', '"late"'), 'stale')
    assert.equal(await remember(scene, { ...current, lease: current.lease + 1 }, 'plan', '"early"'), 'stale')
    await scene.release(current)
    assert.deepEqual([...(await scene.claimOne()).checkpoints], [['plan', '"first"']])
  },

  'is refused once the task has ended or where there is none': async scene => {
    const cancelled = await scene.claimed()
    await scene.store.cancel(cancelled.task.task_id)
    const completed = await scene.claimed()
    await scene.complete(completed)
    const failed = await scene.claimed()
    await scene.fail(failed, { delay: 'never' })
    for (const claimed of [cancelled, completed, failed]) assert.equal(await remember(scene, claimed, 'plan', '1'), 'stale')
    assert.equal(await scene.store.checkpoint({ task_id: randomUUID(), lease: 1, name: 'plan', value: '1', maxBytes: 0 }), 'stale')
  },

  'may be rewritten by its own lease': async scene => {
    const claimed = await scene.claimed()
    await remember(scene, claimed, 'plan', '1')
    assert.equal(await remember(scene, claimed, 'plan', '2'), 'ok')
    await scene.release(claimed)
    assert.deepEqual([...(await scene.claimOne()).checkpoints], [['plan', '2']])
  },

  'is bounded in bytes, all of a task together': async scene => {
    const claimed = await scene.claimed()
    assert.equal(await remember(scene, claimed, 'a', 'x'.repeat(60), 100), 'ok')
    assert.equal(await remember(scene, claimed, 'b', 'x'.repeat(41), 100), 'too_large')
    assert.equal(await remember(scene, claimed, 'b', 'ü'.repeat(21), 100), 'too_large', 'bytes, not characters')
    assert.equal(await remember(scene, claimed, 'b', 'ü'.repeat(20), 100), 'ok', 'exactly as much as is allowed')
    assert.equal(await remember(scene, claimed, 'a', 'y'.repeat(61), 100), 'too_large')
    assert.equal(await remember(scene, claimed, 'a', 'y'.repeat(60), 100), 'ok', 'what it replaces does not count')
    assert.equal(await remember(scene, claimed, 'c', 'x'.repeat(10_000), 0), 'ok', 'nought is off')
    await scene.release(claimed)
    const { checkpoints } = await scene.claimOne()
    assert.deepEqual([checkpoints.get('a'), checkpoints.get('b')], ['y'.repeat(60), 'ü'.repeat(20)], 'what was refused changed nothing')
  },

  'comes again with a claim whose reply was lost': async scene => {
    const claimed = await scene.claimed()
    await remember(scene, claimed, 'plan', '1')
    await scene.release(claimed)
    const wish = scene.wish()
    await scene.store.claim(wish)
    const { tasks: [again] } = await scene.store.claim(wish)
    assert.deepEqual([...again!.checkpoints], [['plan', '1']])
  },

  'may have any name': async scene => {
    const claimed = await scene.claimed()
    for (const name of ['__proto__', 'constructor', '0', ' ', 'a:b']) assert.equal(await remember(scene, claimed, name, `"${name}"`), 'ok')
    await scene.release(claimed)
    const { checkpoints } = await scene.claimOne()
    for (const name of ['__proto__', 'constructor', '0', ' ', 'a:b']) assert.equal(checkpoints.get(name), `"${name}"`)
  }
})
