import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { cases, idsOf, listAll, refOf, type Scene, type Wish } from './scene.ts'

const message_id = '9f0cf2a2-9b5c-4f3e-8f31-6f0f5a3c1d11'
const NOTHING = { active: [], completed: [], failed: [] }

async function find (scene: Scene, user_id = 'ada', org_id: string | null = null, limit = 50) {
  const { active, completed, failed } = await scene.store.readMessage({ message_id, user_id, org_id, limit })
  return { active: idsOf(active), completed: idsOf(completed), failed: idsOf(failed) }
}

async function completedIds (scene: Scene, count: number, wish: Wish = {}): Promise<string[]> {
  const ids: string[] = []
  for (let i = 0; i < count; i++) {
    ids.push((await scene.completed({ message_id, ...wish })).task_id)
    scene.pass(1)
  }
  return ids
}

/** Ids that a host may choose, whatever marks a store sets between them. */
const ODD_IDS = [
  'ada', ':ada', 'ada:', 'ada:ada', '+user:ada', '=user:ada', 'user:ada', 'org:ada', ' ', ' ada', 'ada\n', '\u0000', 'ada\u0000', '{ada}', '*', '-1', '0', '__proto__',
  'constructor', '\ufffd', 'ä', 'a\u0308', '\ud83d\ude00', `${message_id}:ada`, 'x'.repeat(512)
]

export const message = cases('the tasks of a message', {
  'are those of one user, whatever characters ids are made of': async scene => {
    const named = new Map<string, string>()
    for (const id of ODD_IDS) {
      const asks = { message_id, user_id: id, waitingPerTenant: 1 }
      named.set(id, (await scene.enqueue({ ...asks, org_id: id })).task_id)
      assert.equal((await scene.store.enqueue(scene.draft({ ...asks, org_id: id }))).outcome, 'tenant_full')
    }
    for (const id of ODD_IDS) {
      assert.deepEqual(idsOf(await scene.store.readActive({ message_id, user_id: id, limit: 50 })), [named.get(id)], JSON.stringify(id))
      assert.deepEqual(idsOf(await listAll(scene, { user_id: id }, 50)), [named.get(id)], JSON.stringify(id))
      assert.deepEqual(idsOf(await listAll(scene, { tenant: `org:${id}` }, 50)), [named.get(id)], JSON.stringify(id))
    }
    const claimed = await scene.claim({ worker_id: 'a b;c', count: 100, runningPerTenant: 1 })
    assert.deepEqual(idsOf(claimed.tasks), [...named.values()])
    for (const held of claimed.tasks) await scene.complete(held)
    for (const id of ODD_IDS) assert.deepEqual((await find(scene, id, id)).completed, [named.get(id)], JSON.stringify(id))
  },

  'are none where nobody has asked for any': async scene => {
    assert.deepEqual(await find(scene), NOTHING)
    assert.deepEqual(await scene.store.readActive({ message_id, user_id: 'ada', limit: 50 }), [])
  },

  'are each in exactly one list, whatever becomes of them': async scene => {
    const { task_id } = await scene.enqueue({ message_id })
    assert.deepEqual(await find(scene), { ...NOTHING, active: [task_id] })
    const first = await scene.claimOne()
    assert.deepEqual(await find(scene), { ...NOTHING, active: [task_id] })
    await scene.fail(first, { delay: 0 })
    assert.deepEqual(await find(scene), { ...NOTHING, active: [task_id] })
    await scene.complete(await scene.claimOne())
    assert.deepEqual(await find(scene), { ...NOTHING, completed: [task_id] })
    const failed = await scene.failed({ message_id })
    assert.deepEqual(await find(scene), { ...NOTHING, completed: [task_id], failed: [failed.task_id] })
    await scene.cancelled({ message_id })
    assert.deepEqual(await find(scene), { ...NOTHING, completed: [task_id], failed: [failed.task_id] })
  },

  'are named with the times of their creation and their end': async scene => {
    const done = await scene.completed({ message_id })
    const failed = await scene.failed({ message_id })
    const cancelled = await scene.cancelled({ message_id })
    await scene.enqueue({ message_id })
    const { task, lease } = await scene.claimOne()
    await scene.store.progress([{ task_id: task.task_id, lease, progress: 40, step: 'rendering', step_progress: { rendering: 10 } }])
    const running = await scene.read(task.task_id)
    const read_at = Date.parse(scene.date)
    const refs = { active: [refOf(running)], completed: [refOf(done)], failed: [refOf(failed)], read_at }
    assert.deepEqual(await scene.store.readMessage({ message_id, user_id: 'ada', org_id: null, limit: 50 }), refs)
    assert.deepEqual(await scene.store.readEnded({ message_id, user_id: 'ada', since: 0, limit: 50 }), { tasks: [cancelled, failed, done].map(refOf), read_at })
    assert.deepEqual(await scene.store.readActive({ message_id, user_id: 'ada', limit: 50 }), [refOf(running)])
  },

  'that have ended since a time are found, whatever their end, the latest first': async scene => {
    const ended: string[] = []
    for (const end of ['completed', 'failed', 'cancelled'] as const) {
      scene.pass(1_000)
      ended.unshift((await scene[end]({ message_id })).task_id)
    }
    await scene.enqueue({ message_id })
    await scene.cancelled({ message_id, user_id: 'bob' })
    const since = async (ago: number, limit = 10) => idsOf((await scene.store.readEnded({ message_id, user_id: 'ada', since: Date.parse(scene.date) - ago, limit })).tasks)
    assert.deepEqual(await since(5_000), ended)
    assert.deepEqual(await since(1_000), ended.slice(0, 2))
    assert.deepEqual(await since(0), ended.slice(0, 1))
    assert.deepEqual(await since(5_000, 2), ended.slice(0, 2))
    assert.deepEqual(await since(-1), [])
  },

  'that have ended all at once have ended then, and not a moment later': async scene => {
    const ids: string[] = []
    for (let i = 0; i < 10; i++) ids.unshift((await scene.cancelled({ message_id })).task_id)
    const ended = Date.parse(scene.date)
    scene.pass(1_000)
    assert.deepEqual(idsOf((await scene.store.readEnded({ message_id, user_id: 'ada', since: ended, limit: 100 })).tasks), ids)
    assert.deepEqual((await scene.store.readEnded({ message_id, user_id: 'ada', since: ended + 1, limit: 100 })).tasks, [])
  },

  'are of this message only': async scene => {
    await scene.enqueue({ message_id: randomUUID() })
    await scene.complete(await scene.claimOne())
    assert.deepEqual(await find(scene), NOTHING)
  },

  'come newest first': async scene => {
    const completed = await completedIds(scene, 3)
    const failed = [await scene.failed({ message_id }), await scene.failed({ message_id })]
    const active = await scene.enqueueMany(3, { message_id })
    assert.deepEqual(await find(scene), { active: active.reverse(), completed: completed.reverse(), failed: idsOf(failed).reverse() })
  },

  'are at most as many of each kind as asked for, the newest of them': async scene => {
    const completed = await completedIds(scene, 4)
    const failed = idsOf([await scene.failed({ message_id }), await scene.failed({ message_id }), await scene.failed({ message_id })])
    const active = await scene.enqueueMany(3, { message_id })
    assert.deepEqual(await find(scene, 'ada', null, 2), {
      active: active.reverse().slice(0, 2), completed: completed.reverse().slice(0, 2), failed: failed.reverse().slice(0, 2)
    })
    assert.deepEqual(idsOf(await scene.store.readActive({ message_id, user_id: 'ada', limit: 2 })), active.slice(0, 2))
  },

  'do not hide behind finished ones of another kind': async scene => {
    const [completed] = await completedIds(scene, 1)
    for (let i = 0; i < 120; i++) await scene.cancelled({ message_id })
    assert.deepEqual((await find(scene, 'ada', null, 1)).completed, [completed])
  },

  'of a private chart are its owner’s alone': async scene => {
    await scene.completed({ message_id, org_id: 'acme' })
    assert.deepEqual(await find(scene, 'bob', 'acme'), NOTHING)
    assert.deepEqual(await find(scene, 'bob', null), NOTHING)
  },

  'of a shared chart are seen by the org, and by nobody else': async scene => {
    const shared = await completedIds(scene, 1, { org_id: 'acme', visibility: 'ORGANIZATION' })
    const open = await completedIds(scene, 1, { org_id: 'acme', visibility: 'PUBLIC' })
    const all = [...open, ...shared]
    assert.deepEqual(await find(scene, 'bob', 'acme'), { ...NOTHING, completed: all })
    assert.deepEqual(await find(scene, 'ada', 'acme'), { ...NOTHING, completed: all }, 'each of them once')
    assert.deepEqual(await find(scene, 'bob', 'another'), NOTHING)
    assert.deepEqual(await find(scene, 'bob', null), NOTHING)
  },

  'of somebody without an org are shared with nobody': async scene => {
    await completedIds(scene, 1, { visibility: 'PUBLIC' })
    await completedIds(scene, 1, { visibility: 'ORGANIZATION' })
    assert.deepEqual(await find(scene, 'bob', null), NOTHING)
    assert.deepEqual(await find(scene, 'bob', ''), NOTHING)
  },

  'that are not finished, or have failed, are the owner’s alone even where shared': async scene => {
    const wish: Wish = { message_id, org_id: 'acme', visibility: 'ORGANIZATION' }
    await scene.failed(wish)
    await scene.enqueue(wish)
    assert.deepEqual(await find(scene, 'bob', 'acme'), NOTHING)
    assert.deepEqual(await scene.store.readActive({ message_id, user_id: 'bob', limit: 50 }), [])
  },

  'of oneself and of the org come as one list': async scene => {
    const wish: Wish = { org_id: 'acme', visibility: 'ORGANIZATION' }
    const ids = [
      ...await completedIds(scene, 1, wish), ...await completedIds(scene, 1, { ...wish, user_id: 'bob' }),
      ...await completedIds(scene, 1, { org_id: 'acme' }), ...await completedIds(scene, 1, { ...wish, user_id: 'cleo' })
    ].reverse()
    assert.deepEqual((await find(scene, 'ada', 'acme')).completed, ids)
    assert.deepEqual((await find(scene, 'ada', 'acme', 3)).completed, ids.slice(0, 3))
  }
})
