import type { TaskFilter } from '../../task-filter.ts'
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { cases, DAY, idsOf, listAll, listFirst, type Scene } from './scene.ts'

const everyPage = async (scene: Scene, filter: TaskFilter, limit: number, cursor: string | null = null) => idsOf(await listAll(scene, filter, limit, cursor))

/** One of each status, of two tenants, in the order in which a list shows them. */
async function some (scene: Scene): Promise<Record<string, string>> {
  const ids: Record<string, string> = {}
  const later = <T>(value: T) => {
    scene.pass(1)
    return value
  }
  ids['completed'] = later(await scene.completed({ org_id: 'acme', user_id: 'ada' })).task_id
  ids['failed'] = later(await scene.failed({ user_id: 'bob' })).task_id
  ids['cancelled'] = later(await scene.cancelled({ user_id: 'ada' })).task_id
  ids['processing'] = later(await scene.claimed({ org_id: 'acme', user_id: 'bob' })).task.task_id
  ids['scheduled'] = later(await scene.enqueue({ user_id: 'bob', run_at: Date.parse(scene.date) + DAY })).task_id
  ids['blocked'] = later(await scene.enqueue({ user_id: 'bob', depends_on: [ids['processing']] })).task_id
  ids['queued'] = later(await scene.enqueue({ user_id: 'ada' })).task_id
  return ids
}

export const list = cases('a list', {
  'of large requests has shorter pages': async scene => {
    const large = JSON.stringify({ params: 'x'.repeat(2 ** 19) })
    const ids: string[] = []
    for (let i = 0; i < 5; i++) {
      const { request, ...draft } = scene.draft()
      ids.unshift((await scene.enqueue({ ...draft, request: JSON.stringify({ ...JSON.parse(request), ...JSON.parse(large) }) })).task_id)
      scene.pass(1)
    }
    const page = await scene.store.list({ filter: {}, limit: 10, cursor: null })
    assert.ok(page.tasks.length < 5 && page.cursor !== null, 'Redis serves nobody else meanwhile')
    assert.deepEqual(await everyPage(scene, {}, 10), ids)
  },

  'shows unfinished tasks first, each kind newest first': async scene => {
    const ids = await some(scene)
    const order = ['queued', 'blocked', 'scheduled', 'processing', 'cancelled', 'failed', 'completed'].map(name => ids[name])
    for (const limit of [1, 2, 3, 7, 100]) assert.deepEqual(await everyPage(scene, {}, limit), order)
  },

  'shows tasks as they are': async scene => {
    const queued = await scene.enqueue()
    const failed = await scene.failed({ priority: 'high' })
    assert.deepEqual(await listAll(scene, {}, 10), [queued, failed])
  },

  'of one status': async scene => {
    const ids = await some(scene)
    for (const status of ['COMPLETED', 'FAILED', 'CANCELLED', 'PROCESSING'] as const) {
      assert.deepEqual(await everyPage(scene, { status }, 1), [ids[status.toLowerCase()]])
    }
    assert.deepEqual(await everyPage(scene, { status: 'PENDING' }, 2), ['queued', 'blocked', 'scheduled'].map(name => ids[name]))
  },

  'of one tenant, of one user': async scene => {
    const ids = await some(scene)
    const named = (...names: string[]) => names.map(name => ids[name])
    assert.deepEqual(await everyPage(scene, { tenant: 'org:acme' }, 1), named('processing', 'completed'))
    assert.deepEqual(await everyPage(scene, { tenant: 'user:bob' }, 2), named('blocked', 'scheduled', 'failed'))
    assert.deepEqual(await everyPage(scene, { user_id: 'ada' }, 2), named('queued', 'cancelled', 'completed'))
    assert.deepEqual(await everyPage(scene, { user_id: 'ada', tenant: 'org:acme' }, 2), named('completed'))
    assert.deepEqual(await everyPage(scene, { user_id: 'ada', status: 'PENDING' }, 2), named('queued'))
    assert.deepEqual(await everyPage(scene, { tenant: 'user:carol' }, 2), [])
  },

  'of one error code': async scene => {
    const misleading = '"code":"NO_DATA"'
    await scene.fail(await scene.claimed(), { delay: 'never', code: 'NO_DATA_AT_ALL', message: misleading })
    await scene.fail(await scene.claimed({ adjustment_query: misleading }), { delay: 'never', code: 'BUSY' })
    await scene.completed({ adjustment_query: misleading })
    await scene.fail(await scene.claimed({ user_id: 'bob' }), { delay: 60_000, code: 'NO_DATA' })
    const { finished } = await scene.fail(await scene.claimed({ user_id: 'bob' }), { delay: 'never', code: 'NO_DATA' })
    assert.deepEqual(await everyPage(scene, { error_code: 'NO_DATA' }, 1), [finished!.task_id])
    assert.deepEqual(await everyPage(scene, { error_code: 'NO_DATA', user_id: 'ada' }, 1), [])
    assert.deepEqual(await everyPage(scene, { error_code: 'NO_DATA', status: 'PENDING' }, 1), [])
  },

  'of what was created within a time, its end excluded': async scene => {
    const start = Date.parse(scene.date)
    const ids: string[] = []
    for (let i = 0; i < 6; i++) {
      ids.push(i % 2 === 0 ? (await scene.enqueue({ priority: 'low' })).task_id : (await scene.completed({ priority: 'high' })).task_id)
      scene.pass(1_000)
    }
    const order = (...numbers: number[]) => numbers.map(i => ids[i])
    const range = (from: number, to: number) => ({ created_after: start + from * 1_000, created_before: start + to * 1_000 })
    for (const limit of [1, 2, 10]) {
      assert.deepEqual(await everyPage(scene, range(1, 4), limit), order(2, 3, 1))
      assert.deepEqual(await everyPage(scene, { created_after: start + 3_001 }, limit), order(4, 5))
      assert.deepEqual(await everyPage(scene, { created_before: start + 2_000 }, limit), order(0, 1))
      assert.deepEqual(await everyPage(scene, { ...range(0, 6), status: 'PENDING' }, limit), order(4, 2, 0))
      assert.deepEqual(await everyPage(scene, range(6, 9), limit), [])
    }
  },

  'of what has not ended': async scene => {
    const ids = await some(scene)
    assert.deepEqual(await everyPage(scene, { unfinished: true }, 2), ['queued', 'blocked', 'scheduled', 'processing'].map(name => ids[name]))
    assert.deepEqual(await everyPage(scene, { unfinished: true, user_id: 'ada' }, 2), [ids['queued']])
  },

  'of what is older than thousands of others is found': async scene => {
    const created_before = Date.parse(scene.date) + 1_100
    for (let i = 0; i < 1_300; i++) {
      await scene.enqueue()
      scene.pass(1)
    }
    const { tasks: [first] } = await listFirst(scene, { created_before }, 3)
    assert.equal(first!.created_at, new Date(created_before - 1).toISOString())
  },

  'goes on where it was, whatever has come and gone meanwhile': async scene => {
    const ids = (await scene.enqueueMany(6)).reverse()
    // All of one instant: their order is that of their ids.
    const sorted = [...ids].sort().reverse()
    const first = await listFirst(scene, { status: 'PENDING' }, 3)
    assert.deepEqual(idsOf(first.tasks), sorted.slice(0, 3))
    scene.pass(1)
    await scene.enqueue()
    await scene.store.cancel(sorted[1]!)
    assert.deepEqual(await everyPage(scene, { status: 'PENDING' }, 10, first.cursor), sorted.slice(3))
  },

  'misses nothing where the task that it ended with has moved on': async scene => {
    const ids: string[] = []
    for (let i = 0; i < 5; i++) {
      ids.unshift((await scene.enqueue()).task_id)
      scene.pass(1)
    }
    const first = await listFirst(scene, {}, 2)
    await scene.store.cancel(ids[1]!)
    assert.deepEqual(await everyPage(scene, {}, 10, first.cursor), [...ids.slice(2), ids[1]])
  },

  'finds few tasks among many': async scene => {
    await scene.enqueueMany(1_200, { user_id: 'bob' })
    scene.pass(1)
    const first = await scene.enqueue({ user_id: 'ada' })
    const last = await scene.completed({ user_id: 'ada', priority: 'high' })
    assert.deepEqual(await everyPage(scene, { user_id: 'ada' }, 10), [first.task_id, last.task_id])
  },

  'forgets what its retention has passed': async scene => {
    await scene.completed()
    scene.pass(DAY)
    assert.deepEqual(await everyPage(scene, {}, 10), [])
    await scene.store.cleanup()
    assert.deepEqual(await everyPage(scene, {}, 10), [])
  },

  'refuses a cursor that it has not made': async scene => {
    await scene.enqueueMany(3)
    for (const cursor of ['', 'x', 'active.1.2', '\u0000', '\ud83d\ude00', randomUUID(), 'x'.repeat(512)]) {
      await assert.rejects(scene.store.list({ filter: {}, limit: 1, cursor }), { code: 'CHARTS_ERR_INVALID_REQUEST', statusCode: 400 }, JSON.stringify(cursor))
    }
  },

  'may be gone on with more than once, and with another limit': async scene => {
    const ids: string[] = []
    for (let i = 0; i < 5; i++) {
      ids.unshift((await scene.enqueue()).task_id)
      scene.pass(1)
    }
    const { cursor } = await listFirst(scene, {}, 2)
    for (const limit of [1, 2, 100]) assert.deepEqual(await everyPage(scene, {}, limit, cursor), ids.slice(2))
  }
})
