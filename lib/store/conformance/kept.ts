import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { cases, idsOf, listAll, propagate, type Scene, type Wish } from './scene.ts'

const LONG = 'as a bar chart, "only" 2015; '.repeat(100)

/** A request whose query or params are long, and what it says without them. */
function requestOf (fields: { adjustment_query?: string | null, params?: unknown }) {
  const task_id = randomUUID()
  const base = { task_id, message_id: randomUUID(), user_id: 'ada","adjustment_query":"x","params":"', org_id: null, visibility: 'PRIVATE', force_create: false }
  const { adjustment_query = null, params } = fields
  const request = JSON.stringify({ ...base, adjustment_query, params })
  return { wish: { ...base, visibility: 'PRIVATE', request } as Wish & { task_id: string }, request, base }
}

async function cancelled (scene: Scene, wish: Wish & { task_id: string }) {
  await scene.enqueue(wish)
  return (await scene.store.cancel(wish.task_id))!.task
}

export const kept = cases('what is kept of a request', {
  'of a cancelled task, is all of a short one': async scene => {
    const { wish, request } = requestOf({ adjustment_query: 'as a line chart', params: { year: 2015 } })
    assert.equal((await cancelled(scene, wish)).adjustment_query, 'as a line chart')
    assert.equal(await scene.store.readRequest(wish.task_id), request)
  },

  'of a cancelled task, is not the params of a long one': async scene => {
    const { wish, base } = requestOf({ adjustment_query: 'as a "line" chart', params: { adjustment_query: LONG, params: LONG } })
    assert.equal((await cancelled(scene, wish)).adjustment_query, 'as a "line" chart')
    assert.deepEqual(JSON.parse((await scene.store.readRequest(wish.task_id))!), { ...base, adjustment_query: 'as a "line" chart' })
    assert.deepEqual((await scene.store.inspect(wish.task_id))?.shortened, true)
  },

  'of a cancelled task, is not a long adjustment_query, wherever the task is shown': async scene => {
    const { wish, base } = requestOf({ adjustment_query: LONG, params: { year: 2015 } })
    const before = await scene.enqueue(wish)
    assert.equal(before.adjustment_query, LONG)
    const { task, ended } = (await scene.store.cancel(wish.task_id))!
    assert.deepEqual([task.status, task.adjustment_query, ended[0]!.adjustment_query], ['CANCELLED', null, null])
    assert.deepEqual(await scene.read(wish.task_id), task)
    assert.deepEqual(await listAll(scene, {}, 10), [task])
    assert.deepEqual(JSON.parse((await scene.store.readRequest(wish.task_id))!), { ...base, adjustment_query: null })
  },

  'of a task that was cancelled while it ran, or was superseded, is as little': async scene => {
    const running = requestOf({ params: LONG })
    await scene.enqueue(running.wish)
    await scene.claimOne()
    await scene.store.cancel(running.wish.task_id)
    const older = requestOf({ params: LONG })
    await scene.enqueue({ ...older.wish, user_id: 'ada' })
    const result = await scene.store.enqueue(scene.draft({ message_id: older.base.message_id, supersede: true }))
    assert.ok('superseded' in result)
    assert.deepEqual(idsOf(result.superseded), [older.wish.task_id])
    for (const { wish } of [running, older]) assert.ok((await scene.store.readRequest(wish.task_id))!.length < 1_024)
  },

  'of a task that failed or completed, is all': async scene => {
    const failed = requestOf({ params: LONG, adjustment_query: LONG })
    await scene.fail(await scene.claimed(failed.wish), { delay: 'never' })
    const completed = requestOf({ params: LONG, adjustment_query: LONG })
    await scene.completed(completed.wish)
    for (const { wish, request } of [failed, completed]) assert.equal(await scene.store.readRequest(wish.task_id), request)
  },

  'of a thousand tasks that failed without an attempt, is all, and of those before them little': async scene => {
    const needed = await scene.claimed()
    const first = requestOf({ params: LONG })
    const second = requestOf({ params: LONG })
    const depends_on = [needed.task.task_id]
    for (const { wish } of [first, second]) await scene.enqueue({ ...wish, depends_on, user_id: 'ada', tenant: 'user:ada' })
    await scene.fail(needed, { delay: 'never' })
    const drafts = () => Array.from({ length: 100 }, () => scene.draft())
    for (let batches = 0; batches < 10; batches++) {
      const made = drafts().slice(0, batches === 0 ? 99 : 100)
      await scene.store.enqueueBatch(randomUUID(), made)
      await scene.store.cancelAll(made.map(({ task_id }) => task_id))
    }
    await propagate(scene)
    assert.equal((await scene.store.readRequest(second.wish.task_id)), second.request)
    const shortened = await scene.store.inspect(first.wish.task_id)
    assert.deepEqual([shortened?.shortened, shortened?.task.status, shortened?.request.params], [true, 'FAILED', undefined])
  }
})
