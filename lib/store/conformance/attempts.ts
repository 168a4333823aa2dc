import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import type { AttemptRecord } from '../task-store.ts'
import { cases, LEASE, type Scene } from './scene.ts'

async function attemptsOf (scene: Scene, task_id: string): Promise<readonly AttemptRecord[]> {
  const details = await scene.store.inspect(task_id)
  assert.ok(details, 'the task is known')
  return details.attempts
}

export const attempts = cases('the history of a task', {
  'is empty before its first attempt': async scene => {
    const { task_id } = await scene.enqueue()
    assert.deepEqual(await attemptsOf(scene, task_id), [])
    await scene.store.cancel(task_id)
    assert.deepEqual(await attemptsOf(scene, task_id), [])
  },

  'tells what was asked, and all that was said of it': async scene => {
    const needed = await scene.completed()
    const batch_id = randomUUID()
    const run_at = Date.parse(scene.date) + 1_000
    const draft = scene.draft({ org_id: 'acme', priority: 'low', run_at, depends_on: [needed.task_id], retry_of: needed.task_id })
    await scene.store.enqueueBatch(batch_id, [draft])
    const task = await scene.read(draft.task_id)
    assert.deepEqual(await scene.store.inspect(draft.task_id), {
      task,
      request: JSON.parse(draft.request),
      priority: 'low',
      run_at: new Date(run_at).toISOString(),
      batch_ids: [batch_id],
      retried_as: null,
      attempts: [],
      weight: 1
    })
    assert.equal((await scene.store.inspect(needed.task_id))?.retried_as, task.task_id)
    assert.deepEqual([task.retry_of, task.depends_on], [needed.task_id, [needed.task_id]])
  },

  'tells of the attempt that runs': async scene => {
    const { task: { task_id }, lease } = await scene.claimed()
    const started_at = scene.date
    scene.pass(1_000)
    await scene.store.progress([{ task_id, lease, progress: 30, step: 'rendering', step_progress: {} }])
    assert.deepEqual(await attemptsOf(scene, task_id), [{
      attempt: 1,
      lease: 1,
      worker_id: 'worker',
      started_at,
      ended_at: null,
      outcome: null,
      last_step: 'rendering',
      progress: 30,
      error_code: null,
      error_message: null
    }])
  },

  'tells how each attempt ended': async scene => {
    const begin = scene.date
    const first = await scene.claimed({ attempts: 3 })
    const { task_id } = first.task
    scene.pass(1_000)
    await scene.store.progress([{ task_id, lease: 1, progress: 30, step: 'rendering', step_progress: {} }])
    scene.pass(1_000)
    await scene.fail(first, { delay: 0, code: 'BUSY', message: 'The model is busy' })
    await scene.release(await scene.claimOne({ worker_id: 'second' }))
    await scene.claimOne({ worker_id: 'third' })
    scene.pass(LEASE)
    const last = await scene.claimOne({ worker_id: 'fourth' })
    scene.pass(1_000)
    await scene.fail(last)
    const later = (ms: number) => new Date(Date.parse(begin) + ms).toISOString()
    const common = { last_step: 'started', progress: 0, error_code: null, error_message: null }
    assert.deepEqual(await attemptsOf(scene, task_id), [
      { ...common, attempt: 1, lease: 1, worker_id: 'worker', started_at: begin, ended_at: later(2_000), outcome: 'failed', last_step: 'rendering', progress: 30, error_code: 'BUSY', error_message: 'The model is busy' },
      { ...common, attempt: 2, lease: 2, worker_id: 'second', started_at: later(2_000), ended_at: later(2_000), outcome: 'released' },
      { ...common, attempt: 2, lease: 3, worker_id: 'third', started_at: later(2_000), ended_at: later(2_000 + LEASE), outcome: 'expired' },
      { ...common, attempt: 3, lease: 4, worker_id: 'fourth', started_at: later(2_000 + LEASE), ended_at: later(3_000 + LEASE), outcome: 'failed', error_code: 'CHARTS_ERR_GENERATION_FAILED', error_message: 'Chart generation failed' }
    ])
  },

  'tells of the one that made the chart, and of one that was cancelled': async scene => {
    const { task_id } = await scene.completed()
    const running = await scene.claimed()
    await scene.store.cancel(running.task.task_id)
    const histories = [await attemptsOf(scene, task_id), await attemptsOf(scene, running.task.task_id)]
    assert.deepEqual(histories.flat().map(({ outcome, ended_at, progress, error_code }) => ({ outcome, ended_at, progress, error_code })), [
      { outcome: 'completed', ended_at: scene.date, progress: 100, error_code: null },
      { outcome: 'cancelled', ended_at: scene.date, progress: 0, error_code: null }
    ])
  },

  'tells of an attempt once, though its task was cancelled while it waited for the next': async scene => {
    const claimed = await scene.claimed()
    await scene.fail(claimed)
    scene.pass(500)
    await scene.store.cancel(claimed.task.task_id)
    const history = await attemptsOf(scene, claimed.task.task_id)
    assert.deepEqual(history.map(({ outcome }) => outcome), ['failed'])
  },

  'tells that the last attempt was lost': async scene => {
    const { task: { task_id } } = await scene.claimed({ attempts: 1 })
    scene.pass(LEASE)
    await scene.claim({ count: 0 })
    const history = await attemptsOf(scene, task_id)
    assert.deepEqual(history.map(({ outcome, error_code }) => [outcome, error_code]), [['expired', 'CHARTS_ERR_WORKER_LOST']])
  },

  'keeps the latest twenty': async scene => {
    const { task_id } = await scene.enqueue()
    for (let i = 0; i < 25; i++) await scene.release(await scene.claimOne())
    const history = await attemptsOf(scene, task_id)
    assert.deepEqual([history.length, history[0]!.lease, history.at(-1)!.lease], [20, 6, 25])
  },

  'is null for what nobody knows': async scene => {
    assert.equal(await scene.store.inspect(randomUUID()), null)
  }
})
