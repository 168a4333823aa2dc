import assert from 'node:assert/strict'
import { cases, completion, CONTENT, failing, idsOf, LEASE, releasing } from './scene.ts'

export const endings = cases('an attempt', {
  'that gives a chart completes the task': async scene => {
    const claimed = await scene.claimed()
    scene.pass(2_000)
    const settlement = completion(claimed)
    const { current, finished } = await scene.settle(settlement)
    assert.equal(current, true)
    assert.deepEqual(finished, {
      ...claimed.task,
      status: 'COMPLETED',
      progress: 100,
      current_step: 'completed',
      chart_id: settlement.chart_id,
      completed_at: scene.date,
      version: claimed.task.version + 1
    })
    assert.deepEqual(await scene.read(claimed.task.task_id), finished)
    assert.equal(await scene.store.readContent(settlement.chart_id), CONTENT)
  },

  'may leave the chart to the host': async scene => {
    const { chart_id } = await scene.completed({}, null)
    assert.ok(chart_id)
    assert.equal(await scene.store.readContent(chart_id), null)
  },

  'that completes keeps the steps it has shown': async scene => {
    const claimed = await scene.claimed()
    const { task, lease } = claimed
    await scene.store.progress([{ task_id: task.task_id, lease, progress: 80, step: 'rendering', step_progress: { rendering: 100 } }])
    const { finished } = await scene.complete(claimed)
    assert.deepEqual(finished?.step_progress, { rendering: 100 })
  },

  'repeated completions have the same answer and change nothing': async scene => {
    const settlement = completion(await scene.claimed())
    const first = await scene.settle(settlement)
    await scene.unchanged(settlement.task_id, async () => assert.deepEqual(await scene.settle(settlement), first))
  },

  'that fails for good fails the task': async scene => {
    const claimed = await scene.claimed()
    scene.pass(300)
    const settlement = failing(claimed, { code: 'NO_DATA', message: 'No rows in this date range', delay: 'never' })
    const { current, finished } = await scene.settle(settlement)
    assert.equal(current, true)
    assert.deepEqual(finished, {
      ...claimed.task,
      status: 'FAILED',
      current_step: 'failed',
      error_code: 'NO_DATA',
      error_message: 'No rows in this date range',
      completed_at: scene.date,
      version: claimed.task.version + 1
    })
    await scene.unchanged(settlement.task_id, async () => assert.deepEqual(await scene.settle(settlement), { current, finished }))
  },

  'that fails without a message shows what its code says': async scene => {
    const large = await scene.fail(await scene.claimed(), { code: 'CHARTS_ERR_CHART_TOO_LARGE', delay: 'never' })
    assert.equal(large.finished?.error_message, 'The chart is too large')
    const unknown = await scene.fail(await scene.claimed(), { code: 'SOMETHING', delay: 'never' })
    assert.equal(unknown.finished?.error_message, 'Chart generation failed')
    assert.equal(unknown.finished?.error_code, 'SOMETHING')
  },

  'that fails with attempts left is retried': async scene => {
    const claimed = await scene.claimed()
    const { task: { task_id, started_at, version } } = claimed
    await scene.store.progress([{ task_id, lease: 1, progress: 40, step: 'rendering', step_progress: { rendering: 40 } }])
    assert.deepEqual(await scene.fail(claimed, { code: 'NO_DATA', message: 'No rows' }), { current: true, finished: null })
    assert.deepEqual(await scene.read(task_id), {
      ...claimed.task, status: 'PENDING', current_step: 'retrying', step_at: Date.parse(scene.date) + 1_000, progress: 0, step_progress: {}, attempt: 1, started_at, version: version + 2
    })
    scene.pass(1_000)
    const again = await scene.claimOne()
    assert.equal(again.task.attempt, 2)
    assert.equal(again.task.started_at, started_at)
  },

  'that fails as the last one fails the task, whatever the wait asked for': async scene => {
    const claimed = await scene.claimed({ attempts: 1 })
    const { finished } = await scene.fail(claimed, { code: 'NO_DATA', message: 'No rows', delay: 5 })
    assert.equal(finished?.status, 'FAILED')
    assert.equal(finished.error_message, 'No rows')
  },

  'that was not the current one says nothing of the end, which is told as another': async scene => {
    const claimed = await scene.claimed({ attempts: 1 })
    scene.pass(LEASE)
    const stale = { ...failing(claimed), lease: claimed.lease + 1 }
    const { settled, claimed: { lost } } = await scene.store.settleAttempts([stale], scene.wish())
    assert.deepEqual(settled, [{ current: false, finished: null }])
    assert.deepEqual(lost, [await scene.read(claimed.task.task_id)])
  },

  'that fails repeatedly is put back once': async scene => {
    const settlement = failing(await scene.claimed())
    await scene.settle(settlement)
    await scene.unchanged(settlement.task_id, async () => assert.deepEqual(await scene.settle(settlement), { current: true, finished: null }))
    const { queue_length, delayed_count } = await scene.store.stats()
    assert.deepEqual({ queue_length, delayed_count }, { queue_length: 1, delayed_count: 1 })
  },

  'that is released costs nothing': async scene => {
    const claimed = await scene.claimed()
    const { task: { task_id, started_at, version } } = claimed
    await scene.store.progress([{ task_id, lease: 1, progress: 40, step: 'rendering', step_progress: { rendering: 40 } }])
    assert.deepEqual(await scene.release(claimed), { current: true, finished: null })
    assert.deepEqual(await scene.read(task_id), {
      ...claimed.task, status: 'PENDING', current_step: 'queued', queue_position: 1, progress: 0, step_progress: {}, attempt: 0, version: version + 2
    })
    const again = await scene.claimOne()
    assert.equal(again.task.attempt, 1)
    assert.equal(again.task.started_at, started_at)
  },

  'that is released repeatedly is put back once': async scene => {
    const settlement = releasing(await scene.claimed())
    await scene.settle(settlement)
    await scene.unchanged(settlement.task_id, async () => assert.deepEqual(await scene.settle(settlement), { current: true, finished: null }))
    assert.equal((await scene.store.stats()).queue_length, 1)
  },

  'that is over is over: no other verb of the same lease is heard': async scene => {
    const released = await scene.claimed()
    await scene.release(released)
    await scene.unchanged(released.task.task_id, async () => {
      for (const settlement of [failing(released), completion(released)]) assert.deepEqual(await scene.settle(settlement), { current: false, finished: null })
    })
    await scene.store.cancel(released.task.task_id)
    const retried = await scene.claimed()
    await scene.fail(retried)
    await scene.unchanged(retried.task.task_id, async () => {
      for (const settlement of [releasing(retried), completion(retried)]) assert.deepEqual(await scene.settle(settlement), { current: false, finished: null })
    })
    await scene.store.cancel(retried.task.task_id)
    const done = await scene.claimed()
    await scene.complete(done)
    await scene.unchanged(done.task.task_id, async () => {
      for (const settlement of [releasing(done), failing(done)]) assert.deepEqual(await scene.settle(settlement), { current: false, finished: null })
    })
  },

  'does not claim an end that it has not brought': async scene => {
    const releasedFirst = releasing(await scene.claimed())
    const failedFirst = failing(await scene.claimed())
    await scene.settle(releasedFirst)
    await scene.settle(failedFirst)
    for (const settlement of [releasedFirst, failedFirst]) {
      await scene.store.cancel(settlement.task_id)
      assert.equal((await scene.settle(settlement)).finished, null)
    }
  },

  'several end at once, each answered for itself': async scene => {
    const [a, b, c] = [await scene.claimed(), await scene.claimed(), await scene.claimed()]
    const { settled } = await scene.store.settleAttempts([completion(a), completion({ ...b, lease: 7 }), failing(c, { delay: 'never' }), releasing(b)], null)
    assert.deepEqual(settled.map(({ current, finished }) => [current, finished?.status ?? null]), [
      [true, 'COMPLETED'], [false, null], [true, 'FAILED'], [true, null]
    ])
  },

  'more end at once than a worker usually runs, each answered for itself, and the next are claimed': async scene => {
    const ids = await scene.enqueueMany(151)
    const { tasks } = await scene.claim({ count: 150 })
    const { settled, claimed } = await scene.store.settleAttempts(tasks.map(task => completion(task)), scene.wish())
    assert.deepEqual(settled.map(({ current, finished }) => [current, finished?.task_id, finished?.status]), ids.slice(0, 150).map(id => [true, id, 'COMPLETED']))
    assert.deepEqual(idsOf(claimed.tasks), ids.slice(150))
  },

  'what has run before goes ahead of everything new': async scene => {
    await scene.enqueueMany(4)
    const expired = await scene.claimOne({ leaseDuration: 500 })
    const retried = await scene.claimOne()
    const released = await scene.claimOne()
    scene.pass(500)
    await scene.claim({ count: 0 })
    scene.pass(1)
    await scene.release(released)
    scene.pass(1)
    await scene.fail(retried, { delay: 10 })
    scene.pass(10)
    const order = await scene.claimIds({ count: 3 })
    assert.deepEqual(order, [expired, released, retried].map(({ task }) => task.task_id), 'the longest waiting first')
    assert.equal((await scene.claimIds()).length, 1, 'then the new one')
    assert.equal((await scene.claim({ count: 0 })).due, LEASE)
  }
})
