import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { cases } from './scene.ts'

export const enqueue = cases('enqueue', {
  'a task begins as PENDING and says what was asked': async scene => {
    const task_id = randomUUID()
    const message_id = randomUUID()
    const task = await scene.enqueue({
      task_id, message_id, org_id: 'acme', visibility: 'ORGANIZATION', adjustment_query: 'as a line chart', attempts: 5
    })
    assert.deepEqual(task, {
      task_id,
      message_id,
      chart_id: null,
      status: 'PENDING',
      progress: 0,
      current_step: 'queued',
      step_progress: {},
      error_message: null,
      error_code: null,
      created_at: scene.date,
      started_at: null,
      completed_at: null,
      estimated_completion: null,
      queue_position: 1,
      visibility: 'ORGANIZATION',
      adjustment_query: 'as a line chart',
      attempt: 0,
      max_attempts: 5,
      retry_of: null,
      version: 1,
      user_id: 'ada',
      org_id: 'acme',
      step_at: Date.parse(scene.date),
      depends_on: [],
      step_from: 0,
      progress_at: null
    })
    assert.deepEqual(await scene.read(task_id), task)
  },

  'the request is kept byte for byte': async scene => {
    const { request, ...draft } = scene.draft({ adjustment_query: '“größer” 日本語 \u0000 😀' })
    const odd = `  ${request.replaceAll(',', ' ,\n')}`
    await scene.enqueue({ ...draft, request: odd })
    assert.equal(await scene.store.readRequest(draft.task_id), odd)
    const { task } = await scene.claimOne()
    assert.equal(task.adjustment_query, '“größer” 日本語 \u0000 😀')
  },

  'repeated with the same task_id it makes nothing new': async scene => {
    const draft = scene.draft({ idempotency: { key: 'key', body: 'body' } })
    const first = await scene.store.enqueue(draft)
    assert.deepEqual(await scene.store.enqueue(draft), first)
    assert.equal((await scene.store.stats()).queue_length, 1)
    assert.equal((await scene.claimIds({ count: 10 })).length, 1)
  },

  'what was never accepted is null': async scene => {
    const { task_id } = await scene.enqueue()
    const [before, known, after] = await scene.store.read([randomUUID(), task_id, randomUUID()])
    assert.deepEqual([before, known?.task_id, after], [null, task_id, null])
    assert.deepEqual(await scene.store.read([]), [])
    assert.equal(await scene.store.readRequest(randomUUID()), null)
    assert.equal(await scene.store.readContent(randomUUID()), null)
    assert.equal(await scene.store.cancel(randomUUID()), null)
  },

  'the longest waiting is claimed first, also within one millisecond': async scene => {
    const ids = await scene.enqueueMany(20)
    scene.pass(1)
    ids.push(...await scene.enqueueMany(5))
    const claimed: string[] = []
    for (let i = 0; i < ids.length; i++) claimed.push(...await scene.claimIds())
    assert.deepEqual(claimed, ids)
    assert.deepEqual(await scene.claimIds(), [])
  },

  'several are claimed at once, in their order and no more than asked for': async scene => {
    const ids = await scene.enqueueMany(5)
    assert.deepEqual(await scene.claimIds({ count: 0 }), [])
    assert.deepEqual(await scene.claimIds({ count: 3 }), ids.slice(0, 3))
    assert.deepEqual(await scene.claimIds({ count: 3 }), ids.slice(3))
  },

  'the statistics count what waits, what runs and what is to be retried': async scene => {
    const empty = { queue_length: 0, processing_count: 0, delayed_count: 0, oldest_waiting_at: null, paused: false }
    assert.deepEqual(await scene.store.stats(), { ...empty, updated_at: scene.date })
    const created_at = scene.date
    await scene.enqueueMany(3)
    scene.pass(500)
    assert.deepEqual(await scene.store.stats(), { ...empty, queue_length: 3, oldest_waiting_at: created_at, updated_at: scene.date })
    const first = await scene.claimOne()
    await scene.claimOne()
    assert.deepEqual(await scene.store.stats(), {
      ...empty, queue_length: 1, processing_count: 2, oldest_waiting_at: created_at, updated_at: scene.date
    })
    await scene.fail(first)
    const { queue_length, processing_count, delayed_count } = await scene.store.stats()
    assert.deepEqual({ queue_length, processing_count, delayed_count }, { queue_length: 2, processing_count: 1, delayed_count: 1 })
  }
})
