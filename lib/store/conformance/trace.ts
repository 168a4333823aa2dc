import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { ChartPriority, type TraceContext } from '../../task.ts'
import { cases, LEASE, type Scene } from './scene.ts'

const TRACE: TraceContext = { traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', tracestate: 'a/b="1\\2",c=d e' }
const OTHER: TraceContext = { traceparent: '00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-00' }

const traceOf = async (scene: Scene, task_id: string) => (await scene.store.inspect(task_id))?.trace

export const trace = cases('the trace of a create', {
  'comes with each attempt: after an error, a release and an expired lease': async scene => {
    const first = await scene.claimed({ trace: TRACE, attempts: 4 })
    assert.deepEqual(first.trace, TRACE)
    await scene.fail(first, { delay: 0 })
    const second = await scene.claimOne()
    assert.deepEqual([second.task.attempt, second.trace], [2, TRACE])
    await scene.release(second)
    assert.deepEqual((await scene.claimOne()).trace, TRACE)
    scene.pass(LEASE)
    const last = await scene.claimOne({ worker_id: 'another' })
    assert.deepEqual([last.lease, last.trace], [4, TRACE])
  },

  'is known until the task is no longer kept, however it ended': async scene => {
    const completed = await scene.completed({ trace: TRACE })
    const failed = await scene.failed({ trace: OTHER })
    const cancelled = await scene.cancelled({ trace: TRACE })
    assert.deepEqual(await Promise.all([completed, failed, cancelled].map(({ task_id }) => traceOf(scene, task_id))), [TRACE, OTHER, TRACE])
  },

  'is not there where there was none': async scene => {
    const claimed = await scene.claimed()
    assert.equal(claimed.trace, null)
    assert.equal(Object.hasOwn((await scene.store.inspect(claimed.task.task_id))!, 'trace'), false)
  },

  'is that of each task of a batch': async scene => {
    const drafts = [scene.draft({ trace: TRACE }), scene.draft({ trace: TRACE, weight: 1, priority: ChartPriority.HIGH })]
    await scene.store.enqueueBatch(randomUUID(), drafts)
    const { tasks } = await scene.claim({ count: 2 })
    assert.deepEqual(tasks.map(claimed => claimed.trace), [TRACE, TRACE])
  },

  'makes no two requests different: the first is the one that stays': async scene => {
    const dedup_key = randomUUID()
    const { task_id } = await scene.enqueue({ dedup_key, trace: TRACE })
    const result = await scene.store.enqueue(scene.draft({ dedup_key, trace: OTHER }))
    assert.equal(result.outcome, 'already_active')
    assert.deepEqual(await traceOf(scene, task_id), TRACE)
  },

  'comes with tasks that ask for more, and with what is told of those': async scene => {
    const run_at = Date.parse(scene.date) + 1_000
    const idempotency = { key: randomUUID(), body: 'body' }
    const { task_id } = await scene.enqueue({ trace: TRACE, run_at, weight: 2, force: true, idempotency, priority: ChartPriority.LOW })
    scene.pass(1_000)
    const claimed = await scene.claimOne()
    assert.deepEqual([claimed.task.task_id, claimed.trace, claimed.run_at, claimed.priority], [task_id, TRACE, run_at, 'low'])
    const forced = await scene.claimed({ trace: OTHER, force: true, idempotency: { key: randomUUID(), body: 'body' } })
    assert.deepEqual([forced.trace, forced.run_at, forced.priority], [OTHER, null, 'normal'])
  }
})
