import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import type { StoredTask } from '../../task.ts'
import { cases, completion, DAY, failing, idsOf, LEASE, propagate, type Scene } from './scene.ts'

const FAILED = { status: 'FAILED', current_step: 'failed', error_code: 'CHARTS_ERR_DEPENDENCY_FAILED', error_message: 'A chart that this one needs has failed' }
const shownOf = ({ status, current_step, error_code, error_message }: StoredTask) => ({ status, current_step, error_code, error_message })

/** Nothing waits, and nothing will. */
async function idle (scene: Scene): Promise<void> {
  const { queue_length, processing_count, delayed_count } = await scene.store.stats()
  assert.deepEqual({ queue_length, processing_count, delayed_count }, { queue_length: 0, processing_count: 0, delayed_count: 0 })
  assert.deepEqual(await scene.claimIds({ count: 10 }), [])
}

async function chain (scene: Scene, first: string, length: number): Promise<string[]> {
  const ids: string[] = []
  for (let i = 0; i < length; i++) ids.push((await scene.enqueue({ depends_on: [ids.at(-1) ?? first] })).task_id)
  return ids
}

export const dependencies = cases('a task that needs others', {
  'waits, and runs once all of them are completed': async scene => {
    const [a, b] = [await scene.enqueue(), await scene.enqueue()]
    const { task_id, status, current_step } = await scene.enqueue({ depends_on: [b.task_id, a.task_id] })
    assert.deepEqual({ status, current_step }, { status: 'PENDING', current_step: 'waiting_for_dependencies' })
    const { tasks } = await scene.claim({ count: 10 })
    assert.deepEqual(idsOf(tasks), [a.task_id, b.task_id])
    await scene.complete(tasks[0]!)
    assert.deepEqual(await scene.claimIds({ count: 10 }), [])
    assert.equal((await scene.read(task_id)).current_step, 'waiting_for_dependencies')
    await scene.complete(tasks[1]!)
    const ready = await scene.read(task_id)
    assert.deepEqual([ready.current_step, ready.version], ['queued', 2])
    const claimed = await scene.claimOne()
    assert.deepEqual([claimed.task.task_id, claimed.task.depends_on], [task_id, [b.task_id, a.task_id]], 'claimed with its dependencies, in the order asked')
    await scene.complete(claimed)
    await idle(scene)
  },

  'waits through the retries of another': async scene => {
    const needed = await scene.claimed()
    const { task_id } = await scene.enqueue({ depends_on: [needed.task.task_id] })
    await scene.fail(needed)
    scene.pass(1_000)
    assert.equal((await scene.read(task_id)).current_step, 'waiting_for_dependencies')
    await scene.complete(await scene.claimOne())
    assert.equal((await scene.claimOne()).task.task_id, task_id)
  },

  'runs in the round trip that completes the last of them': async scene => {
    const needed = await scene.claimed()
    const { task_id } = await scene.enqueue({ depends_on: [needed.task.task_id] })
    const { claimed } = await scene.store.settleAttempts([completion(needed)], scene.wish())
    assert.deepEqual(idsOf(claimed.tasks), [task_id])
  },

  'does not wait for what is completed already': async scene => {
    const done = await scene.completed()
    const { task_id, current_step } = await scene.enqueue({ depends_on: [done.task_id] })
    assert.equal(current_step, 'queued')
    const claimed = await scene.claimOne()
    assert.deepEqual([claimed.task.task_id, claimed.task.depends_on], [task_id, [done.task_id]])
  },

  'waits for the others where one is completed already': async scene => {
    const done = await scene.completed()
    const open = await scene.claimed()
    const { task_id, current_step } = await scene.enqueue({ depends_on: [done.task_id, open.task.task_id] })
    assert.equal(current_step, 'waiting_for_dependencies')
    await scene.complete(open)
    assert.equal((await scene.claimOne()).task.task_id, task_id)
  },

  'waits on for the others once what has completed is no longer kept': async scene => {
    const short = { retention: { task: 60, status: 60, messageIndex: 60 } }
    const [before, meanwhile] = [await scene.enqueue(short), await scene.enqueue(short)]
    const later = await scene.enqueue({ run_at: Date.parse(scene.date) + DAY })
    await scene.complete(await scene.claimOne())
    const { task_id } = await scene.enqueue({ depends_on: [before.task_id, meanwhile.task_id, later.task_id] })
    await scene.complete(await scene.claimOne())
    scene.pass(DAY)
    await scene.store.cleanup()
    const { tasks: [claimed], lost } = await scene.claim()
    assert.deepEqual([idsOf(lost), claimed!.task.task_id], [[], later.task_id])
    await scene.complete(claimed!)
    assert.equal((await scene.claimOne()).task.task_id, task_id)
  },

  'named twice is needed once': async scene => {
    const needed = await scene.claimed()
    const id = needed.task.task_id
    const { task_id } = await scene.enqueue({ depends_on: [id, id] })
    const { settled, claimed } = await scene.store.settleAttempts([failing(needed, { delay: 'never' })], null)
    assert.equal(settled[0]!.finished?.status, 'FAILED')
    assert.deepEqual(idsOf(claimed.lost), [task_id], 'it ends once')
    assert.equal((await scene.read(task_id)).version, 2)
    await idle(scene)
    const wish = { waitingPerTenant: 1 }
    await scene.enqueue(wish)
    assert.equal((await scene.store.enqueue(scene.draft(wish))).outcome, 'tenant_full', 'what waits is counted as before')
  },

  'named twice and completed lets it run': async scene => {
    const needed = await scene.claimed()
    const id = needed.task.task_id
    const { task_id } = await scene.enqueue({ depends_on: [id, id] })
    await scene.complete(needed)
    const claimed = await scene.claimOne()
    assert.deepEqual([claimed.task.task_id, claimed.task.depends_on], [task_id, [id, id]])
    await scene.complete(claimed)
    await idle(scene)
  },

  'must name tasks of its own user': async scene => {
    const foreign = await scene.enqueue({ user_id: 'bob' })
    const [mine] = await scene.enqueueMany(1)
    for (const unknown of [foreign.task_id, randomUUID()]) {
      const draft = scene.draft({ depends_on: [mine!, unknown] })
      assert.deepEqual(await scene.store.enqueue(draft), { outcome: 'dependency_unknown', task_id: unknown })
      assert.deepEqual(await scene.store.read([draft.task_id]), [null], 'nothing was accepted')
    }
    assert.equal((await scene.store.stats()).queue_length, 2)
  },

  'must not name what has failed, was cancelled or is no longer kept': async scene => {
    const [failed, cancelled, done] = [await scene.failed(), await scene.cancelled(), await scene.completed()]
    for (const { task_id } of [failed, cancelled]) {
      assert.deepEqual(await scene.store.enqueue(scene.draft({ depends_on: [done.task_id, task_id] })), { outcome: 'dependency_failed', task_id })
    }
    scene.pass(DAY)
    assert.deepEqual(await scene.store.enqueue(scene.draft({ depends_on: [done.task_id] })), { outcome: 'dependency_unknown', task_id: done.task_id })
    await idle(scene)
  },

  'fails at once with what it needs': async scene => {
    const needed = await scene.claimed()
    const { task_id } = await scene.enqueue({ depends_on: [needed.task.task_id] })
    scene.pass(500)
    const { claimed } = await scene.store.settleAttempts([failing(needed, { delay: 'never' })], null)
    const task = await scene.read(task_id)
    assert.deepEqual(claimed.lost, [task])
    assert.deepEqual(shownOf(task), FAILED)
    assert.deepEqual([task.completed_at, task.started_at, task.attempt, task.version], [scene.date, null, 0, 2])
    await idle(scene)
  },

  'fails when what it needs is cancelled': async scene => {
    const needed = await scene.enqueue()
    const { task_id } = await scene.enqueue({ depends_on: [needed.task_id] })
    const cancelled = await scene.store.cancel(needed.task_id)
    assert.deepEqual(idsOf(cancelled!.ended), [needed.task_id, task_id])
    assert.deepEqual(shownOf(await scene.read(task_id)), FAILED)
    await idle(scene)
  },

  'fails when the worker of what it needs is lost': async scene => {
    const needed = await scene.claimed({ attempts: 1 })
    const { task_id } = await scene.enqueue({ depends_on: [needed.task.task_id] })
    scene.pass(LEASE)
    assert.deepEqual(idsOf((await scene.claim()).lost), [needed.task.task_id, task_id])
    assert.deepEqual(shownOf(await scene.read(task_id)), FAILED)
    await idle(scene)
  },

  'fails when what it needs is superseded': async scene => {
    const needed = await scene.enqueue()
    const { task_id } = await scene.enqueue({ depends_on: [needed.task_id] })
    const result = await scene.store.enqueue(scene.draft({ message_id: needed.message_id, supersede: true }))
    assert.ok('task' in result)
    assert.deepEqual(idsOf(result.superseded), [needed.task_id, task_id])
    assert.deepEqual(shownOf(await scene.read(task_id)), FAILED)
  },

  'fails along a chain of 500, a part at a time': async scene => {
    const first = await scene.claimed()
    const ids = await chain(scene, first.task.task_id, 500)
    const { claimed: { lost, deferred } } = await scene.store.settleAttempts([failing(first, { delay: 'never' })], null)
    assert.equal(deferred, true)
    assert.deepEqual([...idsOf(lost), ...await propagate(scene)], ids)
    for (const task of await scene.store.read(ids)) assert.deepEqual(shownOf(task!), FAILED)
    await idle(scene)
  },

  'fails along a chain of 500 that is cancelled at its head': async scene => {
    const first = await scene.enqueue()
    const ids = await chain(scene, first.task_id, 500)
    const { task, ended, deferred } = (await scene.store.cancel(first.task_id))!
    assert.deepEqual([task.status, deferred], ['CANCELLED', true])
    assert.deepEqual([...idsOf(ended), ...await propagate(scene)], [first.task_id, ...ids])
    await idle(scene)
  },

  'fails once at the end of a diamond': async scene => {
    const top = await scene.claimed()
    const need = { depends_on: [top.task.task_id] }
    const [left, right] = [await scene.enqueue(need), await scene.enqueue(need)]
    const bottom = await scene.enqueue({ depends_on: [left.task_id, right.task_id, top.task.task_id] })
    const { claimed } = await scene.store.settleAttempts([failing(top, { delay: 'never' })], null)
    assert.deepEqual(idsOf(claimed.lost).sort(), idsOf([left, right, bottom]).sort())
    for (const { task_id } of [left, right, bottom]) assert.equal((await scene.read(task_id)).version, 2)
    await idle(scene)
  },

  'runs once at the end of a diamond': async scene => {
    const top = await scene.claimed()
    const need = { depends_on: [top.task.task_id] }
    const [left, right] = [await scene.enqueue(need), await scene.enqueue(need)]
    const bottom = await scene.enqueue({ depends_on: [left.task_id, right.task_id] })
    await scene.complete(top)
    const { tasks } = await scene.claim({ count: 10 })
    assert.deepEqual(idsOf(tasks), [left.task_id, right.task_id])
    for (const claimed of tasks) await scene.complete(claimed)
    assert.deepEqual(await scene.claimIds({ count: 10 }), [bottom.task_id])
  },

  'is forgotten by what it needs when it is cancelled': async scene => {
    const needed = await scene.claimed()
    const { task_id } = await scene.enqueue({ depends_on: [needed.task.task_id] })
    const cancelled = await scene.store.cancel(task_id)
    assert.deepEqual(idsOf(cancelled!.ended), [task_id])
    await scene.unchanged(task_id, () => scene.complete(needed))
    await idle(scene)
  },

  'for later waits for both': async scene => {
    const needed = await scene.claimed()
    const run_at = Date.parse(scene.date) + 60_000
    const soon = await scene.enqueue({ depends_on: [needed.task.task_id], run_at })
    assert.equal(soon.current_step, 'waiting_for_dependencies')
    await scene.complete(needed)
    assert.equal((await scene.read(soon.task_id)).current_step, 'scheduled')
    assert.deepEqual(await scene.claimIds(), [])
    scene.pass(60_000)
    assert.deepEqual(await scene.claimIds(), [soon.task_id])
  },

  'for a time that passes while it waits runs at once': async scene => {
    const needed = await scene.claimed()
    const { task_id } = await scene.enqueue({ depends_on: [needed.task.task_id], run_at: Date.parse(scene.date) + 1_000 })
    scene.pass(2_000)
    assert.deepEqual(await scene.claimIds(), [])
    await scene.complete(needed)
    assert.equal((await scene.read(task_id)).current_step, 'queued')
    assert.deepEqual(await scene.claimIds(), [task_id])
  },

  'for later that fails does not come back at its time': async scene => {
    const needed = await scene.claimed()
    const { task_id } = await scene.enqueue({ depends_on: [needed.task.task_id], run_at: Date.parse(scene.date) + 1_000 })
    await scene.fail(needed, { delay: 'never' })
    scene.pass(1_000)
    await idle(scene)
    assert.deepEqual(shownOf(await scene.read(task_id)), FAILED)
  },

  'counts as scheduled': async scene => {
    const needed = await scene.claimed()
    const wish = { scheduledPerTenant: 1, depends_on: [needed.task.task_id] }
    await scene.enqueue(wish)
    assert.deepEqual(await scene.store.enqueue(scene.draft(wish)), { outcome: 'scheduled_full', fresh: 1 })
    assert.equal((await scene.store.stats()).queue_length, 1)
  }
})
