import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { cases, completion, failing, idsOf, LEASE, leaseOf, releasing } from './scene.ts'

export const leases = cases('a lease', {
  'begins when a worker claims the task': async scene => {
    const queued = await scene.enqueue({ adjustment_query: 'log scale' })
    scene.pass(700)
    const { task, request, lease } = await scene.claimOne()
    assert.deepEqual(task, {
      ...queued, status: 'PROCESSING', current_step: 'started', step_at: Date.parse(scene.date), queue_position: null, started_at: scene.date, attempt: 1, version: 2
    })
    assert.deepEqual(request, JSON.parse((await scene.store.readRequest(queued.task_id))!))
    assert.equal(lease, 1)
    assert.deepEqual(await scene.read(queued.task_id), task)
  },

  'is given once: nobody else gets the task': async scene => {
    await scene.enqueue()
    await scene.claimOne()
    assert.deepEqual(await scene.claimIds({ worker_id: 'another' }), [])
  },

  'a claim repeated with the same id returns the same tasks, and no others': async scene => {
    await scene.enqueueMany(5)
    const wish = scene.wish({ count: 2 })
    const first = await scene.store.claim(wish)
    const again = await scene.store.claim(wish)
    assert.equal(first.tasks.length, 2)
    assert.deepEqual(again.tasks, first.tasks)
    assert.equal((await scene.store.stats()).queue_length, 3)
  },

  'a repeated claim leaves out what is no longer its own': async scene => {
    await scene.enqueueMany(3)
    const wish = scene.wish({ count: 3 })
    const { tasks } = await scene.store.claim(wish)
    await scene.complete(tasks[0]!)
    await scene.release(tasks[1]!)
    await scene.claimOne({ worker_id: 'another' })
    const again = await scene.store.claim(wish)
    assert.deepEqual(idsOf(again.tasks), idsOf(tasks.slice(2)))
  },

  'a claim whose id only begins like the last one is a new claim': async scene => {
    const ids = await scene.enqueueMany(2)
    assert.deepEqual(await scene.claimIds({ claim_id: 'take-10' }), ids.slice(0, 1))
    assert.deepEqual(await scene.claimIds({ claim_id: 'take-1' }), ids.slice(1))
  },

  'the next tasks are claimed as attempts end': async scene => {
    await scene.enqueueMany(3)
    const first = await scene.claimOne()
    const wish = scene.wish({ count: 2 })
    const settlement = completion(first)
    const { settled, claimed } = await scene.store.settleAttempts([settlement], wish)
    assert.equal(settled[0]?.finished?.status, 'COMPLETED')
    assert.equal(claimed.tasks.length, 2)
    const again = await scene.store.settleAttempts([settlement], wish)
    assert.deepEqual(again, { settled, claimed }, 'the same again for a repeated call')
  },

  'only the current one may write: the number is the fence': async scene => {
    const { task: { task_id }, lease } = await scene.claimed()
    for (const wrong of [lease - 1, lease + 1]) {
      const held = { task: { task_id }, lease: wrong }
      await scene.unchanged(task_id, async () => {
        assert.deepEqual(await scene.store.progress([{ task_id, lease: wrong, progress: 50, step: 'late', step_progress: { late: 1 } }]), [false])
        assert.deepEqual(await scene.store.extend([{ task_id, lease: wrong }], LEASE), ['stale'])
        for (const settlement of [completion(held), failing(held), failing(held, { delay: 'never' }), releasing(held)]) {
          assert.deepEqual(await scene.settle(settlement), { current: false, finished: null })
        }
      })
    }
  },

  'of an unknown task is not current': async scene => {
    const held = { task: { task_id: randomUUID() }, lease: 1 }
    assert.deepEqual(await scene.store.extend([leaseOf(held)], LEASE), ['stale'])
    assert.deepEqual(await scene.store.progress([{ ...leaseOf(held), progress: 1, step: null, step_progress: {} }]), [false])
    assert.deepEqual(await scene.settle(completion(held)), { current: false, finished: null })
    assert.deepEqual(await scene.store.read([held.task.task_id]), [null])
  },

  'that is prolonged does not expire': async scene => {
    const claimed = await scene.claimed()
    for (let i = 0; i < 5; i++) {
      scene.pass(LEASE - 1)
      assert.deepEqual(await scene.store.extend([leaseOf(claimed)], LEASE), ['ok'])
      assert.deepEqual(await scene.claimIds({ worker_id: 'another' }), [])
    }
    assert.equal((await scene.complete(claimed)).current, true)
  },

  'several are prolonged at once, each answered for itself': async scene => {
    const done = await scene.claimed()
    await scene.complete(done)
    const cancelled = await scene.claimed()
    await scene.store.cancel(cancelled.task.task_id)
    const held = await scene.claimed()
    const answers = await scene.store.extend([leaseOf(done), leaseOf(held), leaseOf(cancelled), { task_id: randomUUID(), lease: 1 }], LEASE)
    assert.deepEqual(answers, ['stale', 'ok', 'cancelled', 'stale'])
    assert.deepEqual(await scene.store.extend([], LEASE), [])
  },

  'that expires gives the task to another, who starts again from the beginning': async scene => {
    const first = await scene.claimed()
    const { task_id, started_at } = first.task
    await scene.store.progress([{ task_id, lease: first.lease, progress: 40, step: 'rendering', step_progress: { rendering: 40 } }])
    scene.pass(LEASE)
    const { tasks: [second], lost } = await scene.claim({ worker_id: 'another' })
    assert.deepEqual(lost, [])
    assert.equal(second?.task.task_id, task_id)
    assert.equal(second.lease, 2)
    const { attempt, progress, step_progress, current_step } = second.task
    assert.deepEqual({ attempt, progress, step_progress, current_step }, { attempt: 2, progress: 0, step_progress: {}, current_step: 'started' })
    assert.equal(second.task.started_at, started_at)
  },

  'waits as queued between its expiry and the next attempt': async scene => {
    const { task } = await scene.claimed()
    scene.pass(LEASE)
    await scene.claim({ count: 0 })
    const { status, current_step, attempt } = await scene.read(task.task_id)
    assert.deepEqual({ status, current_step, attempt }, { status: 'PENDING', current_step: 'queued', attempt: 1 })
  },

  'that has passed may still write until its expiry is collected': async scene => {
    const claimed = await scene.claimed()
    scene.pass(10 * LEASE)
    assert.deepEqual(await scene.store.progress([{ ...leaseOf(claimed), progress: 90, step: null, step_progress: {} }]), [true])
    const { current, finished } = await scene.complete(claimed)
    assert.equal(current, true)
    assert.equal(finished?.status, 'COMPLETED')
  },

  'whose expiry was collected writes nothing any more': async scene => {
    const late = await scene.claimed()
    const { task: { task_id } } = late
    scene.pass(LEASE)
    await scene.claim({ count: 0 })
    await scene.unchanged(task_id, async () => {
      assert.deepEqual(await scene.store.extend([leaseOf(late)], LEASE), ['stale'])
      assert.deepEqual(await scene.store.progress([{ ...leaseOf(late), progress: 90, step: null, step_progress: {} }]), [false])
      for (const settlement of [completion(late), failing(late), releasing(late)]) assert.equal((await scene.settle(settlement)).current, false)
    })
    const next = await scene.claimOne()
    await scene.unchanged(task_id, async () => assert.equal((await scene.complete(late)).current, false))
    const done = completion(next)
    assert.equal((await scene.settle(done)).current, true)
    await scene.unchanged(task_id, async () => assert.equal((await scene.complete(late)).current, false))
    assert.equal((await scene.read(task_id)).chart_id, done.chart_id)
  },

  'that expires for the last time ends the task': async scene => {
    const { task: { task_id } } = await scene.claimed({ attempts: 2 })
    scene.pass(LEASE)
    await scene.claimOne()
    scene.pass(LEASE)
    const { tasks, lost } = await scene.claim()
    assert.deepEqual(tasks, [])
    assert.deepEqual(lost, [await scene.read(task_id)])
    const { status, error_code, error_message, current_step, completed_at, attempt } = lost[0]!
    assert.deepEqual({ status, error_code, current_step, completed_at, attempt }, {
      status: 'FAILED', error_code: 'CHARTS_ERR_WORKER_LOST', current_step: 'failed', completed_at: scene.date, attempt: 2
    })
    assert.ok(error_message, 'it says why')
    assert.deepEqual((await scene.claim()).lost, [], 'it is lost once')
  },

  'is collected by a call with a claim, not by a settlement alone: if its reply were lost, the endings could not be replayed': async scene => {
    const { task: { task_id } } = await scene.claimed({ attempts: 1 })
    scene.pass(LEASE)
    const { claimed: { lost, due } } = await scene.store.settleAttempts([], null)
    assert.deepEqual({ lost, due }, { lost: [], due: 0 })
    const wish = scene.wish({ count: 0 })
    for (let i = 0; i < 2; i++) assert.deepEqual(idsOf((await scene.store.settleAttempts([], wish)).claimed.lost), [task_id])
  },

  'is given again by the latest claim of either lane, repeated because its reply was lost': async scene => {
    await scene.enqueueMany(4)
    const first = scene.wish({ count: 2, lane: 0 })
    const second = scene.wish({ count: 2, lane: 1 })
    const given = await scene.store.claim(first)
    const [one, other] = given.tasks
    const more = (await scene.store.settleAttempts([completion(one!)], second)).claimed
    assert.equal(new Set([...idsOf(given.tasks), ...idsOf(more.tasks)]).size, 4)
    assert.deepEqual(idsOf((await scene.store.claim(second)).tasks), idsOf(more.tasks))
    assert.deepEqual(idsOf((await scene.store.claim(first)).tasks), [other!.task.task_id])
  },

  'has a number that is never given back': async scene => {
    await scene.enqueue({ attempts: 100 })
    const numbers: number[] = []
    for (let i = 0; i < 3; i++) {
      const released = await scene.claimOne()
      numbers.push(released.lease)
      await scene.release(released)
      const expired = await scene.claimOne()
      numbers.push(expired.lease)
      scene.pass(LEASE)
    }
    assert.deepEqual(numbers, [1, 2, 3, 4, 5, 6])
  },

  'is told when something will be due: the next expiry or retry': async scene => {
    assert.equal((await scene.claim()).due, null)
    await scene.enqueueMany(2)
    assert.equal((await scene.claim()).due, LEASE)
    scene.pass(LEASE / 2)
    const second = await scene.claim({ leaseDuration: 2 * LEASE })
    assert.equal(second.due, LEASE / 2, 'the earlier of two leases')
    const { claimed } = await scene.store.settleAttempts([failing(second.tasks[0]!, { delay: 1_200 })], null)
    assert.equal(claimed.due, 1_200, 'a retry before any lease')
    scene.pass(LEASE)
    assert.equal((await scene.claim({ count: 0 })).due, null, 'what was due is in the queue')
  }
})
