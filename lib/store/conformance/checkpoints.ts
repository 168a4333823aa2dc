import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import type { TakenTask } from '../task-store.ts'
import { cases, LEASE, type Scene } from './scene.ts'

const remember = (scene: Scene, { task: { task_id }, lease }: TakenTask, name: string, value: string, most = 0) =>
  scene.store.checkpoint(task_id, lease, name, value, most)

export const checkpoints = cases('a checkpoint', {
  'is handed to the next take, however the try ended': async scene => {
    const ways: Array<(taken: TakenTask) => Promise<unknown>> = [
      taken => scene.release(taken),
      taken => scene.fail(taken, { delay: 0 }),
      async () => scene.pass(LEASE)
    ]
    for (const way of ways) {
      const taken = await scene.taken()
      assert.deepEqual([...taken.checkpoints], [])
      assert.equal(await remember(scene, taken, 'plan', '{"value":1}'), 'ok')
      assert.equal(await remember(scene, taken, 'ü 2', '"ü"'), 'ok')
      await way(taken)
      const next = await scene.take()
      assert.equal(next.task.task_id, taken.task.task_id)
      assert.deepEqual([...next.checkpoints].sort(), [['plan', '{"value":1}'], ['ü 2', '"ü"']])
      await scene.complete(next)
    }
  },

  'of one try is added to those of earlier ones': async scene => {
    let taken = await scene.taken({ attempts: 5 })
    for (const name of ['a', 'b', 'c']) {
      await remember(scene, taken, name, `"${name}"`)
      await scene.release(taken)
      taken = await scene.take()
    }
    assert.deepEqual([...taken.checkpoints.keys()].sort(), ['a', 'b', 'c'])
  },

  'belongs to its task alone': async scene => {
    const taken = await scene.taken()
    await remember(scene, taken, 'plan', '1')
    const other = await scene.taken()
    await scene.release(other)
    assert.deepEqual([...(await scene.take()).checkpoints], [])
  },

  'is no change of the task': async scene => {
    const taken = await scene.taken()
    await scene.unchanged(taken.task.task_id, () => remember(scene, taken, 'plan', '1'))
  },

  'is refused to a lease that is not current': async scene => {
    const stale = await scene.taken()
    await remember(scene, stale, 'plan', '"first"')
    await scene.release(stale)
    assert.equal(await remember(scene, stale, 'plan', '"late"'), 'stale', 'it is nobody\'s')
    const current = await scene.take()
    assert.equal(await remember(scene, stale, 'plan', '"late"'), 'stale')
    assert.equal(await remember(scene, stale, 'other', '"late"'), 'stale')
    assert.equal(await remember(scene, { ...current, lease: current.lease + 1 }, 'plan', '"early"'), 'stale')
    await scene.release(current)
    assert.deepEqual([...(await scene.take()).checkpoints], [['plan', '"first"']])
  },

  'is refused once the task has ended or where there is none': async scene => {
    const cancelled = await scene.taken()
    await scene.store.cancel(cancelled.task.task_id)
    const completed = await scene.taken()
    await scene.complete(completed)
    const failed = await scene.taken()
    await scene.fail(failed, { delay: 'never' })
    for (const taken of [cancelled, completed, failed]) assert.equal(await remember(scene, taken, 'plan', '1'), 'stale')
    assert.equal(await scene.store.checkpoint(randomUUID(), 1, 'plan', '1', 0), 'stale')
  },

  'may be rewritten by its own lease': async scene => {
    const taken = await scene.taken()
    await remember(scene, taken, 'plan', '1')
    assert.equal(await remember(scene, taken, 'plan', '2'), 'ok')
    await scene.release(taken)
    assert.deepEqual([...(await scene.take()).checkpoints], [['plan', '2']])
  },

  'is bounded in bytes, all of a task together': async scene => {
    const taken = await scene.taken()
    assert.equal(await remember(scene, taken, 'a', 'x'.repeat(60), 100), 'ok')
    assert.equal(await remember(scene, taken, 'b', 'x'.repeat(41), 100), 'too_large')
    assert.equal(await remember(scene, taken, 'b', 'ü'.repeat(21), 100), 'too_large', 'bytes, not characters')
    assert.equal(await remember(scene, taken, 'b', 'ü'.repeat(20), 100), 'ok', 'exactly as much as is allowed')
    assert.equal(await remember(scene, taken, 'a', 'y'.repeat(61), 100), 'too_large')
    assert.equal(await remember(scene, taken, 'a', 'y'.repeat(60), 100), 'ok', 'what it replaces does not count')
    assert.equal(await remember(scene, taken, 'c', 'x'.repeat(10_000), 0), 'ok', 'nought is off')
    await scene.release(taken)
    const { checkpoints } = await scene.take()
    assert.deepEqual([checkpoints.get('a'), checkpoints.get('b')], ['y'.repeat(60), 'ü'.repeat(20)], 'what was refused changed nothing')
  },

  'comes again with a take whose reply was lost': async scene => {
    const taken = await scene.taken()
    await remember(scene, taken, 'plan', '1')
    await scene.release(taken)
    const wish = scene.wish()
    await scene.store.dequeue(wish)
    const { tasks: [again] } = await scene.store.dequeue(wish)
    assert.deepEqual([...again!.checkpoints], [['plan', '1']])
  },

  'may have any name': async scene => {
    const taken = await scene.taken()
    for (const name of ['__proto__', 'constructor', '0', ' ', 'a:b']) assert.equal(await remember(scene, taken, name, `"${name}"`), 'ok')
    await scene.release(taken)
    const { checkpoints } = await scene.take()
    for (const name of ['__proto__', 'constructor', '0', ' ', 'a:b']) assert.equal(checkpoints.get(name), `"${name}"`)
  }
})
