import assert from 'node:assert/strict'
import { cases, completion, LEASE, type Scene } from './scene.ts'

/** How many tasks of each priority are claimed. */
async function shares (scene: Scene, claims: number, loaded: Partial<Record<'high' | 'normal' | 'low', number>>): Promise<Record<string, number>> {
  const kinds = new Map<string, string>()
  for (const [priority, count] of Object.entries(loaded) as Array<['high' | 'normal' | 'low', number]>) {
    for (const id of await scene.enqueueMany(count, { priority })) kinds.set(id, priority)
  }
  const claimed = await scene.claimIds({ count: claims })
  assert.equal(claimed.length, claims)
  const counts: Record<string, number> = {}
  for (const id of claimed) counts[kinds.get(id)!] = (counts[kinds.get(id)!] ?? 0) + 1
  return counts
}

export const priority = cases('a priority', {
  'high goes before normal before low': async scene => {
    const low = await scene.enqueueMany(2, { priority: 'low' })
    const normal = await scene.enqueueMany(2)
    const high = await scene.enqueueMany(2, { priority: 'high' })
    assert.deepEqual(await scene.claimIds({ count: 6 }), [...high, ...normal, ...low])
  },

  'low gets one of 17 claims under a steady load of high': async scene => {
    assert.deepEqual(await shares(scene, 170, { high: 200, low: 20 }), { high: 160, low: 10 })
  },

  'normal gets one of 5 claims under a steady load of high': async scene => {
    assert.deepEqual(await shares(scene, 100, { high: 100, normal: 40 }), { high: 80, normal: 20 })
  },

  'all three loaded share 16 : 4 : 1': async scene => {
    assert.deepEqual(await shares(scene, 210, { low: 20, normal: 60, high: 200 }), { high: 160, normal: 40, low: 10 })
  },

  'low comes within 17 claims though a new high one comes before each': async scene => {
    const low = await scene.enqueue({ priority: 'low' })
    let claims = 0
    for (let done = false; !done; claims++) {
      await scene.enqueue({ priority: 'high' })
      done = (await scene.claimIds())[0] === low.task_id
      assert.ok(claims < 17, 'it has waited for 17 claims')
    }
    assert.ok(claims > 1, 'and yet the high ones went first')
  },

  'low keeps its place in the share while high runs dry and comes back': async scene => {
    const low = await scene.enqueueMany(3, { priority: 'low' })
    const claimed: string[] = []
    for (let i = 0; i < 17; i++) {
      await scene.enqueueMany(3, { priority: 'high' })
      claimed.push(...await scene.claimIds({ count: 3 }))
    }
    assert.deepEqual(claimed.filter(id => low.includes(id)), low, 'three of 51')
  },

  'has no say over what has run before': async scene => {
    const released = await scene.claimed({ priority: 'low' })
    const expired = await scene.claimed({ priority: 'low' })
    const high = await scene.enqueueMany(20, { priority: 'high' })
    await scene.release(released)
    scene.pass(LEASE)
    const ids = [released, expired].map(({ task }) => task.task_id)
    assert.deepEqual((await scene.claimIds({ count: 2 })).sort(), ids.sort())
    assert.deepEqual(await scene.claimIds({ count: 20 }), high)
  },

  'has no say over what is due for another attempt': async scene => {
    const failed = await scene.claimed({ priority: 'low' })
    await scene.fail(failed)
    await scene.enqueueMany(20, { priority: 'high' })
    scene.pass(1_000)
    assert.deepEqual(await scene.claimIds(), [failed.task.task_id])
  },

  'starts afresh once nobody waits': async scene => {
    for (let round = 0; round < 2; round++) {
      await shares(scene, 17, { high: 16, low: 1 })
      assert.deepEqual((await scene.claim()).tasks, [])
    }
  },

  'duplicates with another priority are one task': async scene => {
    const { task_id } = await scene.enqueue({ dedup_key: 'duplicate', priority: 'low' })
    const result = await scene.store.enqueue(scene.draft({ dedup_key: 'duplicate', priority: 'high' }))
    assert.ok(result.outcome === 'already_active' && result.task.task_id === task_id)
    await scene.settle(completion(await scene.claimOne()))
  }
})
