import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import type { ClaimedTask } from '../task-store.ts'
import { cases, completion, DAY, LEASE, type Scene, type Wish } from './scene.ts'

const outcome = async (scene: Scene, wish: Wish) => (await scene.store.enqueue(scene.draft(wish))).outcome
const acme: Wish = { org_id: 'acme' }
const other: Wish = { org_id: 'another' }
const capped = { runningPerTenant: 1, count: 10 }

export const limits = cases('limits', {
  'a tenant may have only so much waiting': async scene => {
    const limit = { waitingPerTenant: 2 }
    await scene.enqueueMany(2, { ...acme, ...limit })
    assert.equal(await outcome(scene, { ...acme, ...limit }), 'tenant_full')
    assert.equal(await outcome(scene, { ...acme, ...limit, user_id: 'bob', force: true }), 'tenant_full', 'the tenant is the org')
    assert.equal(await outcome(scene, { ...other, ...limit }), 'queued')
    assert.equal(await outcome(scene, limit), 'queued', 'who has no org is a tenant of their own')
    assert.equal((await scene.store.stats()).queue_length, 4)
  },

  'what runs or has ended does not wait': async scene => {
    const wish = { ...acme, waitingPerTenant: 1 }
    await scene.claimed(wish)
    await scene.cancelled(wish)
    assert.equal(await outcome(scene, wish), 'queued')
    assert.equal(await outcome(scene, wish), 'tenant_full')
  },

  'what waits for another attempt waits': async scene => {
    const wish = { ...acme, waitingPerTenant: 1 }
    await scene.fail(await scene.claimed(wish))
    assert.equal(await outcome(scene, wish), 'tenant_full')
  },

  'the queue may be only so long': async scene => {
    const limit = { queueLength: 2 }
    await scene.enqueue({ ...acme, ...limit })
    await scene.enqueue({ ...other, ...limit })
    assert.equal(await outcome(scene, limit), 'queue_full')
    await scene.claimOne()
    assert.equal(await outcome(scene, limit), 'queued')
  },

  'nought is off': async scene => {
    await scene.enqueueMany(30, { ...acme, waitingPerTenant: 0, queueLength: 0 })
    assert.equal((await scene.claimIds({ count: 30, runningPerTenant: 0 })).length, 30)
  },

  'a task that is there already answers even where there is no room': async scene => {
    const limit = { waitingPerTenant: 1, queueLength: 1 }
    await scene.completed({ dedup_key: 'finished' })
    await scene.enqueue({ dedup_key: 'duplicate' })
    assert.equal(await outcome(scene, { ...limit, dedup_key: 'duplicate' }), 'already_active')
    assert.equal(await outcome(scene, { ...limit, dedup_key: 'finished' }), 'chart_exists')
  },

  'what waits for its time closes the queue to nobody': async scene => {
    const limits = { waitingPerTenant: 2, scheduledPerTenant: 3, queueLength: 2 }
    const later = { ...limits, run_at: Date.parse(scene.date) + 30 * DAY }
    for (const user_id of ['bob', 'eve']) {
      const [first] = await scene.enqueueMany(2, { ...later, user_id })
      await scene.enqueue({ ...limits, user_id, depends_on: [first!] })
      assert.deepEqual(await scene.store.enqueue(scene.draft({ ...later, user_id })), { outcome: 'scheduled_full', fresh: 1 })
      assert.deepEqual(await scene.store.enqueue(scene.draft({ ...limits, user_id, depends_on: [first!] })), { outcome: 'scheduled_full', fresh: 1 })
    }
    await scene.enqueueMany(2, limits)
    assert.equal(await outcome(scene, limits), 'tenant_full')
    assert.equal(await outcome(scene, { ...limits, user_id: 'bob' }), 'queue_full')
    assert.equal(await outcome(scene, later), 'queued', 'a full queue is no reason against what it does not hold')
  },

  'what waits for another attempt closes the queue to nobody else': async scene => {
    const limits = { waitingPerTenant: 1, queueLength: 1 }
    for (const user_id of ['bob', 'eve']) await scene.fail(await scene.claimed({ ...limits, user_id }), { delay: DAY })
    assert.equal(await outcome(scene, { ...limits, user_id: 'bob' }), 'tenant_full')
    assert.equal(await outcome(scene, limits), 'queued')
    assert.equal(await outcome(scene, { ...limits, user_id: 'eva' }), 'queue_full')
  },

  'what was scheduled counts as waiting once its time has come, and is not refused': async scene => {
    const limits = { waitingPerTenant: 2, scheduledPerTenant: 2, queueLength: 2 }
    const later = { ...limits, run_at: Date.parse(scene.date) + 1_000 }
    const ids = [...await scene.enqueueMany(2, limits), ...await scene.enqueueMany(2, later)]
    scene.pass(1_000)
    assert.deepEqual(await scene.claimIds({ count: 0 }), [])
    assert.equal(await outcome(scene, limits), 'tenant_full')
    assert.equal(await outcome(scene, { ...limits, user_id: 'bob' }), 'queue_full')
    assert.deepEqual((await scene.claimIds({ count: 4 })).sort(), ids.sort())
    assert.equal(await outcome(scene, { ...limits, user_id: 'bob' }), 'queued')
  },

  'what waited for others counts as waiting once they are there, and is not refused': async scene => {
    const limits = { waitingPerTenant: 1, scheduledPerTenant: 2, queueLength: 1 }
    const needed = await scene.claimed(limits)
    const wish = { ...limits, depends_on: [needed.task.task_id] }
    await scene.enqueueMany(2, wish)
    await scene.enqueue(limits)
    await scene.complete(needed)
    assert.equal(await outcome(scene, limits), 'tenant_full')
    assert.equal(await outcome(scene, { ...limits, user_id: 'bob' }), 'queue_full')
    assert.equal((await scene.claimIds({ count: 3 })).length, 3)
  },

  'what waited for others, and waits for its time now, is scheduled still': async scene => {
    const limits = { scheduledPerTenant: 1, queueLength: 1 }
    const needed = await scene.claimed(limits)
    await scene.enqueue({ ...limits, depends_on: [needed.task.task_id], run_at: Date.parse(scene.date) + 1_000 })
    await scene.complete(needed)
    const later = { ...limits, run_at: Date.parse(scene.date) + 1_000 }
    assert.equal(await outcome(scene, later), 'scheduled_full')
    assert.equal(await outcome(scene, limits), 'queued')
    scene.pass(1_000)
    await scene.claimIds({ count: 2 })
    assert.equal(await outcome(scene, { ...limits, run_at: Date.parse(scene.date) + 1_000 }), 'queued')
  },

  'a tenant that schedules again and again has no more than both bounds together': async scene => {
    const limits = { waitingPerTenant: 2, scheduledPerTenant: 3 }
    const soon = () => ({ ...limits, run_at: Date.parse(scene.date) + 1_000 })
    const outcomes: string[] = []
    for (let i = 0; i < 7; i++) {
      outcomes.push(await outcome(scene, soon()))
      if (i % 2 === 1) {
        scene.pass(1_000)
        await scene.claimIds({ count: 0 })
      }
    }
    assert.deepEqual(outcomes, [...Array<string>(5).fill('queued'), 'scheduled_full', 'scheduled_full'])
    assert.equal(await outcome(scene, limits), 'tenant_full')
    await scene.claimOne()
    assert.equal(await outcome(scene, soon()), 'queued')
  },

  'a batch is weighed by what could run and what could not': async scene => {
    const limits = { waitingPerTenant: 1, scheduledPerTenant: 2, queueLength: 1 }
    const batch = (ready: number, later: number) => {
      const first = scene.draft(limits)
      return [first, ...Array.from({ length: ready - 1 }, () => scene.draft(limits)), ...Array.from({ length: later }, () => scene.draft({ ...limits, depends_on: [first.task_id] }))]
    }
    assert.deepEqual(await scene.store.enqueueBatch(randomUUID(), batch(2, 1)), { outcome: 'tenant_full', fresh: 2 })
    assert.deepEqual(await scene.store.enqueueBatch(randomUUID(), batch(1, 3)), { outcome: 'scheduled_full', fresh: 3 })
    assert.equal((await scene.store.enqueueBatch(randomUUID(), batch(1, 2))).outcome, 'accepted')
    assert.equal((await scene.store.stats()).queue_length, 3)
  },

  'what ends while it waits gives its place back, whatever it waited for': async scene => {
    const limits = { waitingPerTenant: 1, scheduledPerTenant: 1, queueLength: 1 }
    const later = { ...limits, run_at: Date.parse(scene.date) + 1_000 }
    for (let i = 0; i < 3; i++) {
      const scheduled = await scene.enqueue(later)
      await scene.store.cancel(scheduled.task_id)
      const needed = await scene.claimed(limits)
      const dependent = await scene.enqueue({ ...limits, depends_on: [needed.task.task_id] })
      await (i === 0 ? scene.store.cancel(dependent.task_id) : i === 1 ? scene.fail(needed, { delay: 'never' }) : scene.store.cancelAll([dependent.task_id]))
      if (i !== 1) await scene.complete(needed)
      const retried = await scene.claimed(limits)
      await scene.fail(retried)
      await scene.store.cancel(retried.task.task_id)
    }
    assert.deepEqual([await outcome(scene, limits), await outcome(scene, later)], ['queued', 'queued'])
    assert.deepEqual([await outcome(scene, limits), await outcome(scene, later)], ['tenant_full', 'scheduled_full'])
  },

  'what replaces gets the places of what it replaces, each of its own kind': async scene => {
    const limits = { waitingPerTenant: 1, scheduledPerTenant: 1, queueLength: 1 }
    const run_at = Date.parse(scene.date) + 1_000
    const message_id = randomUUID()
    const [waiting] = await scene.enqueueMany(1, limits)
    await scene.enqueue({ ...limits, run_at, message_id })
    const replacing = { ...limits, message_id, supersede: true }
    assert.equal(await outcome(scene, replacing), 'tenant_full', 'the place of a scheduled one is none in the queue')
    assert.equal(await outcome(scene, { ...replacing, run_at }), 'queued')
    await scene.store.cancel(waiting!)
    assert.equal(await outcome(scene, replacing), 'queued')
    assert.equal(await outcome(scene, { ...limits, run_at }), 'queued', 'the scheduled one has made room')
    await scene.fail(await scene.claimOne())
    assert.equal(await outcome(scene, { ...replacing, user_id: 'bob' }), 'queued', 'a retry has no place in the queue')
    assert.equal(await outcome(scene, { ...replacing, force: true }), 'queue_full', 'and makes none')
  },

  'nought is off for what is scheduled too': async scene => {
    const run_at = Date.parse(scene.date) + 1_000
    await scene.enqueueMany(30, { ...acme, waitingPerTenant: 1, scheduledPerTenant: 0, queueLength: 1, run_at })
    assert.equal(await outcome(scene, { ...acme, waitingPerTenant: 1, queueLength: 1 }), 'queued')
  },

  'never apply to what was accepted once': async scene => {
    const wish = { ...acme, waitingPerTenant: 1, queueLength: 1 }
    const released = await scene.claimed(wish)
    const expired = await scene.claimed(wish)
    await scene.enqueue(wish)
    await scene.release(released)
    scene.pass(LEASE)
    assert.deepEqual((await scene.claimIds({ count: 2 })).sort(), [released, expired].map(({ task }) => task.task_id).sort())
  },

  'a tenant at its cap does not hold up others': async scene => {
    const [first] = await scene.enqueueMany(3, acme)
    const [theirs] = await scene.enqueueMany(1, other)
    assert.deepEqual(await scene.claimIds(capped), [first, theirs])
    assert.deepEqual(await scene.claimIds(capped), [])
    const { queue_length, processing_count } = await scene.store.stats()
    assert.deepEqual({ queue_length, processing_count }, { queue_length: 2, processing_count: 2 })
  },

  'a tenant at its cap runs its next task when one ends': async scene => {
    const [, ...rest] = await scene.enqueueMany(4, acme)
    let running = await scene.claimOne({ runningPerTenant: 1 })
    assert.deepEqual(await scene.claimIds(capped), [])
    const endings = [
      () => scene.store.settleAttempts([completion(running)], null),
      () => scene.store.cancel(running.task.task_id),
      () => scene.fail(running, { delay: 'never' })
    ]
    for (const end of endings) {
      await end()
      running = await scene.claimOne({ runningPerTenant: 1 })
      assert.equal(running.task.task_id, rest.shift())
      assert.deepEqual(await scene.claimIds(capped), [])
    }
  },

  'the next task of a tenant is claimed as the one before ends': async scene => {
    const [, second] = await scene.enqueueMany(2, acme)
    const first = await scene.claimOne({ runningPerTenant: 1 })
    await scene.claimIds(capped)
    const { claimed } = await scene.store.settleAttempts([completion(first)], scene.wish(capped))
    assert.deepEqual(claimed.tasks.map(({ task }) => task.task_id), [second])
  },

  'a lease that expires frees its place': async scene => {
    const [, second] = await scene.enqueueMany(2, { ...acme, attempts: 1 })
    await scene.claimOne({ runningPerTenant: 1 })
    await scene.claimIds(capped)
    scene.pass(LEASE)
    assert.deepEqual(await scene.claimIds(capped), [second])
  },

  'a cap above one is kept too': async scene => {
    const ids = await scene.enqueueMany(4, acme)
    assert.deepEqual(await scene.claimIds({ runningPerTenant: 3, count: 10 }), ids.slice(0, 3))
  },

  'what is held back by the cap waits like everything else': async scene => {
    const [, second, third] = await scene.enqueueMany(3, acme)
    const { tasks: [running] } = await scene.claim(capped)
    assert.equal(await outcome(scene, { ...acme, waitingPerTenant: 2 }), 'tenant_full')
    const cancelled = await scene.store.cancel(second!)
    assert.equal(cancelled?.task.status, 'CANCELLED')
    assert.equal((await scene.store.stats()).queue_length, 1)
    assert.equal(await outcome(scene, { ...acme, waitingPerTenant: 2 }), 'queued')
    assert.deepEqual(await scene.claimIds(capped), [])
    await scene.complete(running!)
    assert.deepEqual(await scene.claimIds(capped), [third])
  },

  'a place freed for a task that is then cancelled goes to the next': async scene => {
    const [, second, third] = await scene.enqueueMany(3, acme)
    const first = await scene.claimOne({ runningPerTenant: 1 })
    await scene.claimIds(capped)
    await scene.complete(first)
    await scene.store.cancel(second!)
    assert.deepEqual(await scene.claimIds(capped), [third])
  },

  'a tenant at its cap has its low tasks run too, while high ones keep coming': async scene => {
    const low = await scene.enqueue({ ...acme, priority: 'low' })
    const normal = await scene.enqueue({ ...acme, priority: 'normal' })
    await scene.enqueueMany(3, { ...acme, priority: 'high' })
    const order: string[] = []
    let { tasks: [running] } = await scene.claim(capped)
    while (order.length < 60) {
      order.push(running!.task.task_id)
      await scene.enqueue({ ...acme, priority: 'high' })
      const { claimed } = await scene.store.settleAttempts([completion(running!)], scene.wish(capped))
      running = claimed.tasks[0]
    }
    const places = [low, normal].map(({ task_id }) => order.indexOf(task_id))
    assert.ok(places.every(place => place > 0 && place <= 25), `low and normal ran as numbers ${places}`)
  },

  'a cap that was raised counts for what was held back, and so does one that was lifted': async scene => {
    await scene.enqueueMany(9, acme)
    const claim = async (ended: ClaimedTask[], runningPerTenant: number) =>
      (await scene.store.settleAttempts(ended.map(held => completion(held)), scene.wish({ runningPerTenant, count: 10 }))).claimed.tasks
    const one = await claim([], 1)
    assert.equal(one.length, 1)
    const three = await claim(one, 3)
    assert.equal(three.length, 3)
    assert.equal((await claim(three.slice(0, 1), 0)).length, 5, 'all that is left')
  },

  'a backlog that is held back is put aside a part at a time, and nobody behind it is forgotten': async scene => {
    await scene.enqueueMany(250, acme)
    const first = await scene.claimOne({ runningPerTenant: 1 })
    const later = await scene.enqueue({ ...other, priority: 'low' })
    const claimed: string[] = []
    for (let calls = 0; calls < 3; calls++) claimed.push(...await scene.claimIds(capped))
    assert.deepEqual(claimed, [later.task_id])
    await scene.complete(first)
    assert.equal((await scene.claimIds(capped)).length, 1)
  },

  'what was held back keeps its turn': async scene => {
    const [first, second] = await scene.enqueueMany(2, acme)
    assert.deepEqual(await scene.claimIds(capped), [first])
    scene.pass(5)
    const [theirs] = await scene.enqueueMany(1, other)
    await scene.store.cancel(first!)
    assert.deepEqual(await scene.claimIds(capped), [second, theirs])
  }
})
