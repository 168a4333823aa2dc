import assert from 'node:assert/strict'
import { cases, failing, type Scene, type Wish } from './scene.ts'

/** ms that a task waits after each of its failures. */
async function waits (scene: Scene, failures: number, wish: Wish, delay: number | null = null): Promise<number[]> {
  await scene.enqueue({ attempts: 100, ...wish })
  const found: number[] = []
  for (let i = 0; i < failures; i++) {
    const { claimed } = await scene.store.settleAttempts([failing(await scene.claimOne(), { delay })], null)
    found.push(claimed.due!)
    scene.pass(claimed.due!)
  }
  return found
}

export const backoff = cases('the wait between two attempts', {
  'fixed is always the same': async scene => {
    assert.deepEqual(await waits(scene, 4, { backoff: { type: 'fixed', delay: 700, jitter: 0 } }), [700, 700, 700, 700])
  },

  'exponential doubles, up to its maximum': async scene => {
    const backoff = { type: 'exponential', delay: 1_000, max: 5_000, jitter: 0 } as const
    assert.deepEqual(await waits(scene, 5, { backoff }), [1_000, 2_000, 4_000, 5_000, 5_000])
  },

  'is never longer than its maximum': async scene => {
    assert.deepEqual(await waits(scene, 2, { backoff: { type: 'fixed', delay: 9_000, max: 4_000, jitter: 0 } }), [4_000, 4_000])
  },

  'does not overflow': async scene => {
    const found = await waits(scene, 70, { backoff: { type: 'exponential', delay: 1_000, max: 60_000, jitter: 0 } })
    assert.equal(found.at(-1), 60_000)
  },

  'loses no more to chance than jitter says': async scene => {
    const found = await waits(scene, 60, { backoff: { type: 'fixed', delay: 1_000, jitter: 0.5 } })
    for (const wait of found) assert.ok(wait >= 500 && wait <= 1_000, `${wait} is from 500 to 1000`)
    assert.ok(new Set(found).size > 5, 'chance has its part')
  },

  'is counted by the attempts that cost one': async scene => {
    await scene.enqueue({ attempts: 100, backoff: { type: 'exponential', delay: 1_000, jitter: 0 } })
    for (let i = 0; i < 3; i++) await scene.release(await scene.claimOne())
    const { claimed } = await scene.store.settleAttempts([failing(await scene.claimOne())], null)
    assert.equal(claimed.due, 1_000)
  },

  'is the one asked for, where one is': async scene => {
    assert.deepEqual(await waits(scene, 2, { backoff: { type: 'fixed', delay: 700, max: 1_000 } }, 12_345), [12_345, 12_345])
  },

  'may be nothing': async scene => {
    await scene.enqueue()
    await scene.fail(await scene.claimOne(), { delay: 0 })
    assert.equal((await scene.claimOne()).task.attempt, 2)
    await scene.store.cancel((await scene.enqueue({ backoff: { delay: 0 } })).task_id)
  },

  'is kept: not a moment earlier': async scene => {
    await scene.enqueue()
    await scene.fail(await scene.claimOne(), { delay: 800 })
    scene.pass(799)
    assert.deepEqual(await scene.claimIds(), [])
    scene.pass(1)
    assert.equal((await scene.claimIds()).length, 1)
  }
})
