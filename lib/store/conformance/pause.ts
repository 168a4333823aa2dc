import assert from 'node:assert/strict'
import { setTimeout as delay } from 'node:timers/promises'
import { cases, LEASE } from './scene.ts'

export const pause = cases('a paused queue', {
  'hands nothing out until it goes on': async scene => {
    const ids = await scene.enqueueMany(3)
    await scene.store.setPaused(true)
    assert.equal((await scene.store.stats()).paused, true)
    assert.deepEqual(await scene.claimIds({ count: 3 }), [])
    await scene.store.setPaused(false)
    assert.equal((await scene.store.stats()).paused, false)
    assert.deepEqual(await scene.claimIds({ count: 3 }), ids)
  },

  'accepts tasks, and tells their places': async scene => {
    await scene.store.setPaused(true)
    const tasks = [await scene.enqueue(), await scene.enqueue()]
    assert.deepEqual(tasks.map(({ queue_position }) => queue_position), [1, 2])
    assert.equal((await scene.store.snapshot()).paused, true)
  },

  'lets what runs go on to its end': async scene => {
    const claimed = await scene.claimed()
    const next = await scene.enqueue()
    await scene.store.setPaused(true)
    assert.deepEqual(await scene.store.extend([{ task_id: claimed.task.task_id, lease: claimed.lease }], LEASE), ['ok'])
    const { current, finished } = await scene.complete(claimed)
    assert.deepEqual([current, finished?.status], [true, 'COMPLETED'])
    assert.equal((await scene.read(next.task_id)).status, 'PENDING')
  },

  'accepts what was lost, retried or released, and keeps it': async scene => {
    const { tasks: [lost, failed, released] } = await (async () => {
      await scene.enqueueMany(3)
      return scene.claim({ count: 3 })
    })()
    await scene.store.setPaused(true)
    await scene.fail(failed!, { delay: 0 })
    await scene.release(released!)
    scene.pass(LEASE)
    assert.deepEqual(await scene.claimIds({ count: 3 }), [])
    const tasks = await scene.store.read([lost!, failed!, released!].map(({ task }) => task.task_id))
    assert.deepEqual(tasks.map(task => task!.status), ['PENDING', 'PENDING', 'PENDING'])
    await scene.store.setPaused(false)
    assert.equal((await scene.claimIds({ count: 3 })).length, 3)
  },

  'returns again what a claim has got already': async scene => {
    await scene.enqueueMany(2)
    const wish = scene.wish()
    const first = await scene.store.claim(wish)
    await scene.store.setPaused(true)
    assert.deepEqual((await scene.store.claim(wish)).tasks, first.tasks)
  },

  'can be paused and go on any number of times': async scene => {
    for (const paused of [true, true, false, false, true, false]) await scene.store.setPaused(paused)
    const { task_id } = await scene.enqueue()
    assert.deepEqual(await scene.claimIds(), [task_id])
  },

  'does not call for work, and calls when it goes on': async scene => {
    await scene.enqueue()
    await scene.store.setPaused(true)
    // What was said before the pause is heard once.
    await scene.store.waitForWork(60_000, new AbortController().signal)
    assert.deepEqual(await scene.claimIds(), [])
    let woken = false
    const waiting = scene.store.waitForWork(10_000, new AbortController().signal).then(() => { woken = true })
    await delay(50)
    assert.equal(woken, false)
    await scene.store.setPaused(false)
    await waiting
    assert.equal((await scene.claimIds()).length, 1)
  }
})
