import assert from 'node:assert/strict'
import type { ProgressReport } from '../task-store.ts'
import { cases, LEASE, type Scene } from './scene.ts'

type Told = Partial<Omit<ProgressReport, 'task_id' | 'lease'>>

async function report (scene: Scene, { task_id, lease }: { task_id: string, lease: number }, told: Told): Promise<void> {
  const answers = await scene.store.progress([{ task_id, lease, progress: null, step: null, step_progress: {}, ...told }])
  assert.deepEqual(answers, [true])
}

async function begun (scene: Scene): Promise<{ task_id: string, lease: number, version: number }> {
  const { task: { task_id, version }, lease } = await scene.claimed()
  return { task_id, lease, version }
}

export const progress = cases('progress', {
  'shows the step, how far it is, and how far the whole is': async scene => {
    const claimed = await begun(scene)
    await report(scene, claimed, { progress: 30, step: 'data_extraction', step_progress: { data_extraction: 90 } })
    await report(scene, claimed, { progress: 50, step: 'rendering', step_progress: { data_extraction: 100, rendering: 10 } })
    const { status, progress, current_step, step_progress } = await scene.read(claimed.task_id)
    assert.deepEqual({ status, progress, current_step, step_progress }, {
      status: 'PROCESSING', progress: 50, current_step: 'rendering', step_progress: { data_extraction: 100, rendering: 10 }
    })
  },

  'leaves alone what it does not mention': async scene => {
    const claimed = await begun(scene)
    await report(scene, claimed, { progress: 30, step: 'rendering', step_progress: { rendering: 10 } })
    await report(scene, claimed, { progress: 40 })
    await report(scene, claimed, { step_progress: { rendering: 20 } })
    await report(scene, claimed, { step: 'finishing' })
    const { progress, current_step, step_progress } = await scene.read(claimed.task_id)
    assert.deepEqual({ progress, current_step, step_progress }, { progress: 40, current_step: 'finishing', step_progress: { rendering: 20 } })
  },

  'as a whole never falls within an attempt': async scene => {
    const claimed = await begun(scene)
    await report(scene, claimed, { progress: 60 })
    await report(scene, claimed, { progress: 20, step: 'rendering' })
    assert.equal((await scene.read(claimed.task_id)).progress, 60)
    await report(scene, claimed, { progress: 61 })
    assert.equal((await scene.read(claimed.task_id)).progress, 61)
  },

  'of a step may fall': async scene => {
    const claimed = await begun(scene)
    await report(scene, claimed, { step: 'fetch', step_progress: { fetch: 60 } })
    await report(scene, claimed, { step: 'fetch', step_progress: { fetch: 10 } })
    assert.deepEqual((await scene.read(claimed.task_id)).step_progress, { fetch: 10 })
  },

  'begins anew with every attempt': async scene => {
    const claimed = await begun(scene)
    await report(scene, claimed, { progress: 60, step: 'rendering', step_progress: { rendering: 10 } })
    scene.pass(LEASE)
    const { task } = await scene.claimOne()
    assert.deepEqual([task.progress, task.step_progress], [0, {}])
    await report(scene, { ...claimed, lease: 2 }, { progress: 5 })
    assert.equal((await scene.read(claimed.task_id)).progress, 5)
  },

  'that says nothing new is no change': async scene => {
    const claimed = await begun(scene)
    const told = { progress: 30, step: 'rendering', step_progress: { rendering: 10 } }
    await report(scene, claimed, told)
    await scene.unchanged(claimed.task_id, async () => {
      await report(scene, claimed, told)
      await report(scene, claimed, {})
      await report(scene, claimed, { progress: 29 })
      await report(scene, claimed, { progress: 0, step: 'rendering' })
    })
  },

  'is one change, however much it says': async scene => {
    const claimed = await begun(scene)
    await report(scene, claimed, { progress: 30, step: 'rendering', step_progress: { fetch: 100, rendering: 10, writing: 0 } })
    assert.equal((await scene.read(claimed.task_id)).version, claimed.version + 1)
  },

  'of several tasks is stored at once, each answered for itself': async scene => {
    const [a, b] = [await begun(scene), await begun(scene)]
    const none = { step: null, step_progress: {} }
    const answers = await scene.store.progress([
      { ...none, task_id: a.task_id, lease: a.lease, progress: 10 },
      { ...none, task_id: b.task_id, lease: b.lease + 1, progress: 20, step: 'late', step_progress: { late: 50, later: 50 } },
      { ...none, task_id: b.task_id, lease: b.lease, progress: 30, step_progress: { one: 1, two: 2 } }
    ])
    assert.deepEqual(answers, [true, false, true])
    const [first, second] = await scene.store.read([a.task_id, b.task_id])
    assert.deepEqual([first?.progress, second?.progress, second?.step_progress], [10, 30, { one: 1, two: 2 }])
    assert.deepEqual(await scene.store.progress([]), [])
  },

  'knows steps of any name': async scene => {
    const claimed = await begun(scene)
    const names = ['__proto__', 'constructor', 'two words', 'größer 日本語 😀', '"', '0']
    const steps = Object.fromEntries(names.map((name, i) => [name, i]))
    await report(scene, claimed, { step: '__proto__', step_progress: steps })
    const { current_step, step_progress } = await scene.read(claimed.task_id)
    assert.equal(current_step, '__proto__')
    assert.deepEqual(Object.entries(step_progress).sort(), Object.entries(steps).sort())
  },

  'is refused where nothing runs': async scene => {
    const { task_id } = await scene.enqueue()
    const told = { task_id, progress: 50, step: 'early', step_progress: { early: 1 } }
    await scene.unchanged(task_id, async () => assert.deepEqual(await scene.store.progress([{ ...told, lease: 0 }, { ...told, lease: 1 }]), [false, false]))
    const claimed = await scene.claimOne()
    await scene.complete(claimed)
    await scene.unchanged(task_id, async () => assert.deepEqual(await scene.store.progress([{ ...told, lease: 1 }]), [false]))
  },

  'the version grows by exactly one with every stored change, from 1 on': async scene => {
    const { task_id } = await scene.enqueue()
    const versions: number[] = []
    const look = async () => { versions.push((await scene.read(task_id)).version) }
    await look()
    const first = await scene.claimOne()
    await look()
    await report(scene, { task_id, lease: 1 }, { progress: 10 })
    await look()
    await scene.store.extend([{ task_id, lease: 1 }], LEASE)
    await scene.release(first)
    await look()
    await scene.fail(await scene.claimOne())
    await look()
    scene.pass(1_000)
    await scene.claimOne()
    await look()
    scene.pass(LEASE)
    await scene.claim({ count: 0 })
    await look()
    await scene.complete(await scene.claimOne())
    await look()
    assert.deepEqual(versions, [1, 2, 3, 4, 6, 7, 8, 10])
  }
})
