import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { cases, DAY, idsOf, LEASE, leaseOf, propagate, type Scene, type Wish } from './scene.ts'

async function supersede (scene: Scene, wish: Wish) {
  const result = await scene.store.enqueue(scene.draft({ supersede: true, ...wish }))
  assert.ok('task' in result, result.outcome)
  return { ...result, ended: idsOf(result.superseded) }
}

export const supersedes = cases('a task that supersedes', {
  'ends the older ones of its user and message, waiting and running, in the same step': async scene => {
    const message_id = randomUUID()
    const running = await scene.claimed({ message_id })
    const retrying = await scene.claimed({ message_id })
    await scene.fail(retrying, { delay: 60_000 })
    const waiting = await scene.enqueue({ message_id })
    const scheduled = await scene.enqueue({ message_id, run_at: Date.parse(scene.date) + DAY })
    const held = await scene.enqueue({ message_id, depends_on: [running.task.task_id], user_id: 'ada' })
    const older = [running.task, retrying.task, waiting, scheduled, held].map(({ task_id }) => task_id)
    const { outcome, task, superseded, ended } = await supersede(scene, { message_id })
    assert.equal(outcome, 'queued')
    assert.deepEqual([...ended].sort(), [...older].sort(), 'each is reported once')
    for (const { task_id, status, completed_at } of superseded) {
      const stored = await scene.read(task_id)
      assert.deepEqual([stored.status, stored.completed_at], [status, completed_at])
      assert.ok(['CANCELLED', 'FAILED'].includes(status))
    }
    assert.deepEqual(await scene.store.extend([leaseOf(running)], LEASE), ['cancelled'], 'its worker is told')
    assert.deepEqual(idsOf(await scene.store.readActive({ message_id, user_id: 'ada', limit: 10 })), [task.task_id])
    assert.deepEqual(await scene.claimIds({ count: 10 }), [task.task_id])
    scene.pass(DAY)
    await scene.claim({ count: 0 })
    assert.equal((await scene.store.stats()).queue_length, 1)
  },

  "leaves other users' and other messages' alone": async scene => {
    const message_id = randomUUID()
    const others = [
      await scene.enqueue({ message_id, user_id: 'bob' }), await scene.enqueue({ message_id, user_id: 'bob', org_id: 'acme' }), await scene.enqueue()
    ]
    const { superseded, task } = await supersede(scene, { message_id })
    assert.deepEqual(superseded, [])
    for (const other of others) assert.deepEqual(await scene.read(other.task_id), other)
    assert.equal((await scene.claimIds({ count: 10 })).length, 4)
    assert.equal((await scene.read(task.task_id)).status, 'PROCESSING')
  },

  'leaves what has ended as it is': async scene => {
    const message_id = randomUUID()
    const finished = [await scene.completed({ message_id }), await scene.failed({ message_id }), await scene.cancelled({ message_id })]
    assert.deepEqual((await supersede(scene, { message_id })).superseded, [])
    for (const task of finished) assert.deepEqual(await scene.read(task.task_id), task)
  },

  'keeps the duplicate, and ends the others': async scene => {
    const message_id = randomUUID()
    const duplicate = await scene.enqueue({ message_id, dedup_key: 'duplicate' })
    const other = await scene.enqueue({ message_id })
    const { outcome, task, ended } = await supersede(scene, { message_id, dedup_key: 'duplicate' })
    assert.deepEqual([outcome, task.task_id, ended], ['already_active', duplicate.task_id, [other.task_id]])
    assert.deepEqual(await scene.read(duplicate.task_id), duplicate)
  },

  'ends the duplicate too if the new one is forced': async scene => {
    const message_id = randomUUID()
    const duplicate = await scene.enqueue({ message_id, dedup_key: 'duplicate' })
    const { outcome, ended } = await supersede(scene, { message_id, dedup_key: 'duplicate', force: true })
    assert.deepEqual([outcome, ended], ['queued', [duplicate.task_id]])
  },

  'ends the others where the chart exists': async scene => {
    const message_id = randomUUID()
    const { task_id } = await scene.completed({ message_id, dedup_key: 'duplicate' })
    const other = await scene.enqueue({ message_id })
    const { outcome, task, ended } = await supersede(scene, { message_id, dedup_key: 'duplicate' })
    assert.deepEqual([outcome, task.task_id, ended], ['chart_exists', task_id, [other.task_id]])
  },

  'makes room for itself': async scene => {
    const wish = { message_id: randomUUID(), waitingPerTenant: 1, queueLength: 1 }
    const older = await scene.enqueue(wish)
    assert.equal((await scene.store.enqueue(scene.draft(wish))).outcome, 'tenant_full')
    const { outcome, ended } = await supersede(scene, wish)
    assert.deepEqual([outcome, ended], ['queued', [older.task_id]])
    assert.equal((await scene.store.stats()).queue_length, 1)
  },

  'gets no room from what runs': async scene => {
    const message_id = randomUUID()
    const running = await scene.claimed({ message_id })
    await scene.enqueue()
    const draft = scene.draft({ message_id, supersede: true, waitingPerTenant: 1 })
    await scene.unchanged(running.task.task_id, async () => assert.equal((await scene.store.enqueue(draft)).outcome, 'tenant_full'))
  },

  'ends nothing when it is refused': async scene => {
    const message_id = randomUUID()
    const idempotency = { key: 'key', body: 'body' }
    const older = await scene.enqueue({ message_id, idempotency })
    await scene.enqueueMany(3)
    const gone = await scene.cancelled()
    const refused: Array<[Wish, string]> = [
      [{ waitingPerTenant: 3 }, 'tenant_full'],
      [{ queueLength: 3 }, 'queue_full'],
      [{ idempotency: { key: 'key', body: 'other' } }, 'key_reused'],
      [{ depends_on: [randomUUID()] }, 'dependency_unknown'],
      [{ depends_on: [gone.task_id] }, 'dependency_failed']
    ]
    for (const [wish, outcome] of refused) {
      const draft = scene.draft({ message_id, supersede: true, ...wish })
      await scene.unchanged(older.task_id, async () => assert.equal((await scene.store.enqueue(draft)).outcome, outcome))
      assert.deepEqual(await scene.store.read([draft.task_id]), [null])
    }
  },

  'ends nothing when its key was seen before': async scene => {
    const wish = { message_id: randomUUID(), idempotency: { key: 'key', body: 'body' } }
    await supersede(scene, wish)
    const newer = await scene.enqueue({ message_id: wish.message_id })
    await scene.unchanged(newer.task_id, async () => assert.equal((await supersede(scene, wish)).outcome, 'replayed'))
  },

  'repeated, ends nothing that came after it': async scene => {
    const draft = scene.draft({ supersede: true })
    await scene.store.enqueue(draft)
    const newer = await scene.enqueue({ message_id: draft.message_id })
    await scene.unchanged(newer.task_id, async () => {
      const again = await scene.store.enqueue(draft)
      assert.ok('task' in again)
      assert.deepEqual([again.outcome, again.superseded], ['queued', []])
    })
  },

  'keeps the older ones that it needs, and what those need': async scene => {
    const message_id = randomUUID()
    const first = await scene.claimed({ message_id })
    const second = await scene.enqueue({ message_id, depends_on: [first.task.task_id] })
    const elsewhere = await scene.enqueue({ depends_on: [second.task_id] })
    const other = await scene.enqueue({ message_id })
    const { task, ended } = await supersede(scene, { message_id, depends_on: [elsewhere.task_id] })
    assert.deepEqual(ended, [other.task_id])
    for (let held = first; ; held = await scene.claimOne()) {
      await scene.complete(held)
      if (held.task.task_id === task.task_id) break
    }
    assert.equal((await scene.read(task.task_id)).status, 'COMPLETED')
  },

  'keeps what the duplicate depends on': async scene => {
    const message_id = randomUUID()
    const first = await scene.enqueue({ message_id })
    const duplicate = await scene.enqueue({ message_id, dedup_key: 'duplicate', depends_on: [first.task_id] })
    assert.deepEqual((await supersede(scene, { message_id, dedup_key: 'duplicate', depends_on: [first.task_id] })).ended, [])
    assert.deepEqual(await scene.read(duplicate.task_id), duplicate)
  },

  'cancels one that needs another of them, and fails what needs it elsewhere': async scene => {
    const message_id = randomUUID()
    const first = await scene.claimed({ message_id })
    const second = await scene.enqueue({ message_id, depends_on: [first.task.task_id] })
    const third = await scene.enqueue({ message_id, depends_on: [second.task_id, first.task.task_id] })
    const elsewhere = await scene.enqueue({ depends_on: [third.task_id] })
    const { ended } = await supersede(scene, { message_id })
    const ids = [first.task.task_id, second.task_id, third.task_id, elsewhere.task_id]
    assert.deepEqual(ended.toSorted(), ids.toSorted())
    const after = await scene.store.read(ids)
    assert.deepEqual(after.map(task => task?.status), ['CANCELLED', 'CANCELLED', 'CANCELLED', 'FAILED'])
  },

  'cancels one that needs another of them, also where they are too many for one call': async scene => {
    const message_id = randomUUID()
    const first = await scene.claimed({ message_id })
    const others = await scene.enqueueMany(30, { message_id })
    const last = await scene.enqueue({ message_id, depends_on: [first.task.task_id] })
    const { ended } = await supersede(scene, { message_id })
    const ids = [first.task.task_id, ...others, last.task_id]
    assert.deepEqual([...ended, ...await propagate(scene)].sort(), ids.toSorted(), 'each is reported once')
    for (const task of await scene.store.read(ids)) assert.equal(task?.status, 'CANCELLED')
  },

  'of a batch ends the older ones once, and none of its own': async scene => {
    const message_id = randomUUID()
    const older = await scene.enqueueMany(2, { message_id })
    const drafts = [scene.draft({ message_id, supersede: true }), scene.draft({ message_id, supersede: true }), scene.draft({ message_id })]
    const result = await scene.store.enqueueBatch(randomUUID(), drafts)
    assert.ok('tasks' in result)
    assert.deepEqual(idsOf(result.superseded).sort(), older.sort())
    assert.deepEqual(await scene.claimIds({ count: 10 }), drafts.map(({ task_id }) => task_id))
  }
})
