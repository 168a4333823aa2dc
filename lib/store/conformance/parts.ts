import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { cases, completion, failing, idsOf, LEASE, leaseOf, PART, propagate, type Scene, type Wish } from './scene.ts'

const MANY = 2 * PART + 20
const DEPENDENCY_FAILED = 'CHARTS_ERR_DEPENDENCY_FAILED'

const statusesOf = async (scene: Scene, ids: readonly string[]) => new Set((await scene.store.read(ids)).map(task => task?.status))
const waiting = async (scene: Scene) => (await scene.store.stats()).queue_length
async function supersede (scene: Scene, wish: Wish) {
  const result = await scene.store.enqueue(scene.draft({ supersede: true, ...wish }))
  assert.ok('task' in result, result.outcome)
  return { ...result, ended: idsOf(result.superseded) }
}

async function dependentsOf (scene: Scene, task_id: string, count: number): Promise<string[]> {
  return scene.enqueueMany(count, { depends_on: [task_id] })
}

export const parts = cases('work over many tasks', {
  'a task that fails ends its dependents a part at a time, each told once': async scene => {
    const needed = await scene.claimed()
    const ids = await dependentsOf(scene, needed.task.task_id, MANY)
    const { settled, claimed: { lost, deferred } } = await scene.store.settleAttempts([failing(needed, { delay: 'never' })], null)
    assert.equal(settled[0]!.finished?.status, 'FAILED', 'its own end is final at once')
    assert.ok(lost.length > 0 && lost.length <= PART, `${lost.length} ended in the call`)
    assert.equal(deferred, true)
    assert.deepEqual([...idsOf(lost), ...await propagate(scene)], ids)
    for (const task of await scene.store.read(ids)) assert.deepEqual([task!.status, task!.error_code, task!.version], ['FAILED', DEPENDENCY_FAILED, 2])
    assert.equal(await waiting(scene), 0)
  },

  'a task that completes lets its dependents run a part at a time, in their order': async scene => {
    const needed = await scene.claimed()
    const ids = await dependentsOf(scene, needed.task.task_id, MANY)
    const { claimed: { deferred } } = await scene.store.settleAttempts([completion(needed)], null)
    assert.equal(deferred, true)
    const ready = (await scene.store.read(ids)).filter(task => task!.current_step === 'queued').length
    assert.ok(ready > 0 && ready <= PART, `${ready} may run after the call`)
    assert.deepEqual(await propagate(scene), [])
    assert.deepEqual(await scene.claimIds({ count: MANY + 1 }), ids)
  },

  'a worker that claims tasks handles what another has deferred': async scene => {
    const needed = await scene.claimed()
    const ids = await dependentsOf(scene, needed.task.task_id, MANY)
    const { claimed: { lost } } = await scene.store.settleAttempts([failing(needed, { delay: 'never' })], null)
    const ended = idsOf(lost)
    for (let calls = 0; ended.length < MANY && calls < 10; calls++) ended.push(...idsOf((await scene.claim()).lost))
    assert.deepEqual(ended, ids)
    assert.equal((await scene.claim()).deferred, undefined)
  },

  'what a worker has ended of it is told again where its reply was lost': async scene => {
    const needed = await scene.claimed()
    await dependentsOf(scene, needed.task.task_id, MANY)
    await scene.store.settleAttempts([failing(needed, { delay: 'never' })], null)
    const claim = scene.wish({ count: 0 })
    const { lost } = await scene.store.claim(claim)
    assert.equal(lost.length, PART)
    assert.deepEqual((await scene.store.claim(claim)).lost, lost)
  },

  'what is left can be cancelled by its owner, or needed by nobody any more': async scene => {
    const needed = await scene.claimed()
    const ids = await dependentsOf(scene, needed.task.task_id, MANY)
    await scene.store.settleAttempts([failing(needed, { delay: 'never' })], null)
    const last = ids.at(-1)!
    assert.equal((await scene.store.cancel(last))?.task.status, 'CANCELLED')
    assert.deepEqual(await scene.store.enqueue(scene.draft({ depends_on: [needed.task.task_id] })), { outcome: 'dependency_failed', task_id: needed.task.task_id })
    await propagate(scene)
    assert.equal((await scene.read(last)).status, 'CANCELLED')
    assert.deepEqual(await statusesOf(scene, ids.slice(0, -1)), new Set(['FAILED']))
  },

  'a chain of dependents that one of a crowd began is told too': async scene => {
    const needed = await scene.claimed()
    const ids = await dependentsOf(scene, needed.task.task_id, PART + 10)
    const chained = await scene.enqueue({ depends_on: [ids[0]!] })
    const end = await scene.enqueue({ depends_on: [chained.task_id] })
    await scene.store.settleAttempts([failing(needed, { delay: 'never' })], null)
    await propagate(scene)
    assert.deepEqual(await statusesOf(scene, [...ids, chained.task_id, end.task_id]), new Set(['FAILED']))
  },

  'many that are superseded are ended a part at a time, each told once': async scene => {
    const message_id = randomUUID()
    const running = await scene.claimed({ message_id })
    const ids = [running.task.task_id, ...await scene.enqueueMany(MANY, { message_id })]
    const { outcome, task, ended, deferred } = await supersede(scene, { message_id })
    assert.deepEqual([outcome, deferred], ['queued', true])
    assert.ok(ended.length > 0 && ended.length <= PART, `${ended.length} ended in the call`)
    assert.deepEqual(await scene.store.extend([leaseOf(running)], LEASE), ['cancelled'], 'what runs is told first')
    const all = [...ended, ...await propagate(scene)]
    assert.deepEqual([...all].sort(), [...ids].sort())
    assert.deepEqual(await statusesOf(scene, ids), new Set(['CANCELLED']))
    assert.deepEqual(idsOf(await scene.store.readActive({ message_id, user_id: 'ada', limit: 200 })), [task.task_id])
    assert.equal(await waiting(scene), 1)
    assert.deepEqual(await scene.claimIds({ count: 10 }), [task.task_id])
  },

  'no worker starts what was superseded and has not been ended yet': async scene => {
    const message_id = randomUUID()
    const ids = await scene.enqueueMany(4 * PART, { message_id, priority: 'high' })
    const { task } = await supersede(scene, { message_id, priority: 'low' })
    const other = await scene.enqueue({ user_id: 'bob', priority: 'low' })
    const started: string[] = []
    const lost: string[] = []
    for (let calls = 0; calls < 10; calls++) {
      const claimed = await scene.claim({ count: 10 })
      started.push(...idsOf(claimed.tasks))
      lost.push(...idsOf(claimed.lost))
    }
    assert.deepEqual(started.sort(), [task.task_id, other.task_id].sort())
    assert.equal(new Set(lost).size, lost.length, 'each is told once')
    assert.deepEqual(await statusesOf(scene, ids), new Set(['CANCELLED']))
  },

  'what was superseded and has not been ended yet does not hold up others': async scene => {
    const message_id = randomUUID()
    await scene.enqueueMany(4 * PART, { message_id })
    const other = await scene.enqueue({ user_id: 'bob' })
    await supersede(scene, { message_id })
    assert.ok((await scene.claimIds({ count: 10 })).includes(other.task_id))
  },

  'what runs, was superseded and has not been told yet cannot complete, nor come back': async scene => {
    const message_id = randomUUID()
    await scene.enqueueMany(MANY, { message_id })
    const { tasks } = await scene.claim({ count: MANY })
    await supersede(scene, { message_id })
    const [first, second, third] = (await scene.store.read(idsOf(tasks))).flatMap((task, i) => task!.status === 'PROCESSING' ? [tasks[i]!] : [])
    assert.ok(first && second && third)
    assert.deepEqual(await scene.complete(first), { current: false, finished: null })
    assert.deepEqual(await scene.fail(second), { current: false, finished: null })
    assert.deepEqual(await scene.release(third), { current: false, finished: null })
    scene.pass(LEASE)
    await propagate(scene)
    assert.deepEqual(await statusesOf(scene, idsOf(tasks)), new Set(['CANCELLED']))
    assert.equal(await waiting(scene), 1)
  },

  'what was superseded and has not been ended yet answers nobody, and nobody may need it': async scene => {
    const message_id = randomUUID()
    const first = await scene.enqueue({ message_id, dedup_key: 'duplicate' })
    await scene.enqueueMany(MANY, { message_id })
    await supersede(scene, { message_id, dedup_key: 'another' })
    assert.equal((await scene.read(first.task_id)).status, 'PENDING', 'it is the last that is ended')
    assert.deepEqual(await scene.store.enqueue(scene.draft({ depends_on: [first.task_id] })), { outcome: 'dependency_failed', task_id: first.task_id })
    assert.notEqual((await scene.enqueue({ message_id, dedup_key: 'duplicate' })).task_id, first.task_id)
  },

  'a chart that exists answers if all active duplicates were superseded': async scene => {
    const message_id = randomUUID()
    const { task_id } = await scene.completed({ message_id, dedup_key: 'duplicate' })
    await scene.enqueue({ message_id, dedup_key: 'duplicate', force: true })
    await scene.enqueueMany(MANY, { message_id })
    await supersede(scene, { message_id, dedup_key: 'another' })
    const answer = await scene.store.enqueue(scene.draft({ message_id, dedup_key: 'duplicate' }))
    assert.deepEqual([answer.outcome, 'task' in answer && answer.task.task_id], ['chart_exists', task_id])
  },

  'of many that are superseded, one that needs another is cancelled and does not fail': async scene => {
    const message_id = randomUUID()
    const head = await scene.enqueue({ message_id })
    const ids = await scene.enqueueMany(MANY, { message_id, depends_on: [head.task_id] })
    const outside = await dependentsOf(scene, ids[0]!, 1)
    await supersede(scene, { message_id })
    await propagate(scene)
    assert.deepEqual(await statusesOf(scene, [head.task_id, ...ids]), new Set(['CANCELLED']))
    assert.deepEqual(await statusesOf(scene, outside), new Set(['FAILED']))
  },

  'of many that are superseded, those that the new one needs are kept, and what those need': async scene => {
    const message_id = randomUUID()
    const first = await scene.claimed({ message_id })
    const second = await scene.enqueue({ message_id, depends_on: [first.task.task_id], dedup_key: 'kept' })
    const ids = await scene.enqueueMany(MANY, { message_id })
    const { task } = await supersede(scene, { message_id, depends_on: [second.task_id] })
    await propagate(scene)
    assert.deepEqual(await statusesOf(scene, ids), new Set(['CANCELLED']))
    assert.deepEqual(idsOf(await scene.store.readActive({ message_id, user_id: 'ada', limit: 10 })), [task.task_id, second.task_id, first.task.task_id])
    const again = await scene.store.enqueue(scene.draft({ message_id, dedup_key: 'kept', depends_on: [first.task.task_id] }))
    assert.deepEqual([again.outcome, 'task' in again && again.task.task_id], ['already_active', second.task_id])
    await scene.complete(first)
    await scene.complete(await scene.claimOne())
    assert.deepEqual(await scene.claimIds(), [task.task_id])
  },

  'many that were superseded make room at once, for their tenant and for all': async scene => {
    const limits = { waitingPerTenant: MANY, queueLength: MANY + 1 }
    const message_id = randomUUID()
    await scene.enqueueMany(MANY, { message_id, ...limits })
    await scene.enqueue({ user_id: 'bob', ...limits })
    assert.equal((await scene.store.enqueue(scene.draft(limits))).outcome, 'tenant_full')
    await supersede(scene, { message_id, ...limits })
    for (let i = 1; i < MANY; i++) await scene.enqueue(limits)
    assert.equal((await scene.store.enqueue(scene.draft(limits))).outcome, 'tenant_full')
    assert.equal((await scene.store.enqueue(scene.draft({ ...limits, user_id: 'carol' }))).outcome, 'queue_full')
    await propagate(scene)
    assert.equal(await waiting(scene), MANY + 1)
  },

  'many that are superseded again before they were ended are ended once': async scene => {
    const message_id = randomUUID()
    const ids = await scene.enqueueMany(MANY, { message_id })
    const first = await supersede(scene, { message_id })
    const second = await supersede(scene, { message_id })
    const all = [...first.ended, ...second.ended, ...await propagate(scene)]
    assert.deepEqual(all.sort(), [...ids, first.task.task_id].sort())
    assert.deepEqual(idsOf(await scene.store.readActive({ message_id, user_id: 'ada', limit: 10 })), [second.task.task_id])
  },

  'nothing is ended where a task that would supersede many is refused': async scene => {
    const message_id = randomUUID()
    const ids = await scene.enqueueMany(MANY, { message_id })
    for (const [wish, outcome] of [[{ depends_on: [randomUUID()] }, 'dependency_unknown'], [{ waitingPerTenant: 1, user_id: 'bob' }, 'queued']] as const) {
      assert.equal((await scene.store.enqueue(scene.draft({ message_id, supersede: true, ...wish }))).outcome, outcome)
    }
    assert.deepEqual(await statusesOf(scene, ids), new Set(['PENDING']))
    assert.equal((await scene.claim({ count: 0 })).deferred, undefined)
  },

  'many scheduled and many at the cap of their tenant are superseded too': async scene => {
    const message_id = randomUUID()
    const capped = { runningPerTenant: 1, count: 10 }
    const running = await scene.claimed({ message_id })
    const ids = [
      running.task.task_id,
      ...await scene.enqueueMany(PART, { message_id, run_at: Date.parse(scene.date) + LEASE / 2 }),
      ...await scene.enqueueMany(PART, { message_id, queueTimeout: LEASE / 2 })
    ]
    await scene.claimIds(capped)
    const { task } = await supersede(scene, { message_id })
    scene.pass(LEASE / 2)
    await propagate(scene)
    assert.deepEqual(await statusesOf(scene, ids), new Set(['CANCELLED']), 'none has waited too long')
    assert.deepEqual(await scene.claimIds(capped), [task.task_id])
    assert.equal((await scene.store.stats()).delayed_count, 0)
  },

  'many expired leases and waits that are over are collected a part at a time': async scene => {
    const lost = await scene.enqueueMany(MANY, { attempts: 1 })
    assert.equal((await scene.claimIds({ count: MANY })).length, MANY)
    const late = await scene.enqueueMany(MANY, { queueTimeout: LEASE })
    scene.pass(LEASE)
    const ended: string[] = []
    for (let due: number | null = 0; due === 0;) {
      const claimed = await scene.claim({ count: 0 })
      assert.ok(claimed.lost.length <= PART, `${claimed.lost.length} ended in one call`)
      ended.push(...idsOf(claimed.lost))
      due = claimed.due
    }
    assert.deepEqual(ended.sort(), [...lost, ...late].sort())
  }
})
