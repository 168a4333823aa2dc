import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import type { BatchOutcome, TaskDraft } from '../task-store.ts'
import { cases, DAY, idsOf, refOf, type Scene } from './scene.ts'

type Accepted = Extract<BatchOutcome, { tasks: unknown }>

async function accepted (scene: Scene, drafts: readonly TaskDraft[], batch_id = randomUUID()): Promise<Accepted & { ids: string[] }> {
  const result = await scene.store.enqueueBatch(batch_id, drafts)
  assert.ok('tasks' in result, result.outcome)
  return { ...result, ids: idsOf(result.tasks.map(({ task }) => task)) }
}

const idsOfDrafts = (drafts: readonly TaskDraft[]) => drafts.map(({ task_id }) => task_id)

async function refused (scene: Scene, drafts: readonly TaskDraft[], outcome: string): Promise<void> {
  const before = await scene.store.stats()
  const batch_id = randomUUID()
  const result = await scene.store.enqueueBatch(batch_id, drafts)
  assert.equal(result.outcome, outcome)
  assert.deepEqual(await scene.store.read(idsOfDrafts(drafts)), drafts.map(() => null), 'none is accepted')
  assert.equal(await scene.store.readBatch(batch_id), null)
  assert.deepEqual(await scene.store.stats(), before)
}

export const batch = cases('a batch', {
  'is accepted in the order asked, and can be read in it': async scene => {
    const drafts = Array.from({ length: 100 }, () => scene.draft())
    const batch_id = randomUUID()
    const { outcome, tasks, superseded, batch_id: told } = await accepted(scene, drafts, batch_id)
    assert.deepEqual([outcome, told, superseded], ['accepted', batch_id, []])
    assert.deepEqual(idsOf(tasks.map(({ task }) => task)), idsOfDrafts(drafts))
    assert.ok(tasks.every(({ outcome }) => outcome === 'queued'))
    assert.deepEqual(await scene.store.readBatch(batch_id), { user_id: 'ada', tasks: tasks.map(({ task }) => refOf(task)) })
    assert.deepEqual(await scene.batch(batch_id), tasks.map(({ task }) => task))
    assert.deepEqual(await scene.claimIds({ count: 200 }), idsOfDrafts(drafts))
  },

  'shows its tasks as they are now': async scene => {
    const { batch_id, ids } = await accepted(scene, [scene.draft(), scene.draft(), scene.draft()])
    const claimed = await scene.claimOne()
    await scene.complete(claimed)
    await scene.store.cancel(ids[2]!)
    const tasks = await scene.batch(batch_id)
    assert.deepEqual(tasks.map(({ status }) => status), ['COMPLETED', 'PENDING', 'CANCELLED'])
    assert.deepEqual(idsOf(tasks), ids)
  },

  'of more than a hundred that one unfinished task answers for is refused; a finished one answers all': async scene => {
    const { task_id } = await scene.enqueue({ dedup_key: 'duplicate' })
    const duplicate = () => [scene.draft({ dedup_key: 'duplicate' }), scene.draft({ dedup_key: 'duplicate' })]
    const first = await accepted(scene, duplicate())
    for (let n = 2; n <= 100; n++) await accepted(scene, duplicate())
    const drafts = [scene.draft(), ...duplicate()]
    assert.deepEqual(await scene.unchanged(task_id, () => scene.store.enqueueBatch(randomUUID(), drafts)), { outcome: 'too_many_batches', task_id: drafts[1]!.task_id })
    assert.equal((await scene.store.inspect(task_id))!.batch_ids.length, 100)
    await scene.complete(await scene.claimOne())
    assert.deepEqual((await accepted(scene, duplicate())).ids, [task_id, task_id])
    assert.equal((await scene.store.inspect(task_id))!.batch_ids.length, 100)
    assert.equal((await scene.batch(first.batch_id))[0]!.status, 'COMPLETED')
  },

  'with two duplicates, one of them forced, is answered by the one that came last': async scene => {
    const [plain, forced] = [scene.draft({ dedup_key: 'duplicate' }), scene.draft({ dedup_key: 'duplicate', force: true })]
    await accepted(scene, [plain, forced])
    assert.deepEqual((await accepted(scene, [scene.draft({ dedup_key: 'duplicate' })])).ids, [forced.task_id])
  },

  'that is unknown is none': async scene => {
    assert.equal(await scene.store.readBatch(randomUUID()), null)
  },

  'is accepted whole or not at all, at each limit': async scene => {
    await scene.enqueue()
    for (const [limit, outcome] of [[{ waitingPerTenant: 3 }, 'tenant_full'], [{ queueLength: 3 }, 'queue_full']] as const) {
      await refused(scene, Array.from({ length: 3 }, () => scene.draft(limit)), outcome)
    }
    const drafts = Array.from({ length: 2 }, () => scene.draft({ waitingPerTenant: 3, queueLength: 3 }))
    assert.deepEqual((await accepted(scene, drafts)).ids, idsOfDrafts(drafts), 'what fits exactly is accepted')
  },

  'needs room only for what is new': async scene => {
    const limits = { waitingPerTenant: 2, queueLength: 2 }
    const known = await scene.enqueue({ dedup_key: 'duplicate' })
    const { ids, tasks } = await accepted(scene, [
      scene.draft({ ...limits, dedup_key: 'duplicate' }), scene.draft({ ...limits, dedup_key: 'new' }), scene.draft({ ...limits, dedup_key: 'new' })
    ])
    assert.deepEqual(tasks.map(({ outcome }) => outcome), ['already_active', 'queued', 'already_active'])
    assert.equal(ids[0], known.task_id)
    assert.equal(ids[1], ids[2])
  },

  'with duplicates makes one task of them': async scene => {
    const { batch_id, ids } = await accepted(scene, [scene.draft({ dedup_key: 'a' }), scene.draft({ dedup_key: 'b' }), scene.draft({ dedup_key: 'a' })])
    assert.equal(ids[0], ids[2])
    assert.deepEqual(idsOf((await scene.store.readBatch(batch_id))!.tasks), ids)
    assert.deepEqual(await scene.claimIds({ count: 10 }), [ids[0], ids[1]])
  },

  'with duplicates that are forced makes a task of each': async scene => {
    const drafts = Array.from({ length: 3 }, () => scene.draft({ dedup_key: 'a', force: true }))
    await accepted(scene, drafts)
    assert.deepEqual(await scene.claimIds({ count: 10 }), idsOfDrafts(drafts))
  },

  'is answered by tasks that exist already': async scene => {
    const done = await scene.completed({ dedup_key: 'done' })
    const running = await scene.claimed({ dedup_key: 'running' })
    const { batch_id, tasks } = await accepted(scene, [scene.draft({ dedup_key: 'done' }), scene.draft({ dedup_key: 'running' }), scene.draft()])
    assert.deepEqual(tasks.map(({ outcome }) => outcome), ['chart_exists', 'already_active', 'queued'])
    const read = await scene.batch(batch_id)
    assert.deepEqual(read.slice(0, 2), [done, running.task])
  },

  'may need its own tasks in any order': async scene => {
    const [first, second, third] = [randomUUID(), randomUUID(), randomUUID()] as const
    const drafts = [
      scene.draft({ task_id: third, depends_on: [second, first] }),
      scene.draft({ task_id: second, depends_on: [first] }),
      scene.draft({ task_id: first })
    ]
    const { tasks } = await accepted(scene, drafts)
    assert.deepEqual(tasks.map(({ task }) => task.current_step), ['waiting_for_dependencies', 'waiting_for_dependencies', 'queued'])
    for (const [task_id, needs] of [[first, []], [second, [first]], [third, [second, first]]] as const) {
      const { tasks: [claimed, more] } = await scene.claim({ count: 10 })
      assert.deepEqual([claimed?.task.task_id, claimed?.task.depends_on, more], [task_id, needs, undefined])
      await scene.complete(claimed!)
    }
  },

  'that depends on a duplicate within it waits for the one task': async scene => {
    const [a, b, c] = [scene.draft({ dedup_key: 'a' }), scene.draft({ dedup_key: 'a' }), randomUUID()] as const
    await accepted(scene, [a, b, scene.draft({ task_id: c, depends_on: [a.task_id, b.task_id] })])
    await scene.complete(await scene.claimOne())
    const claimed = await scene.claimOne()
    assert.deepEqual([claimed.task.task_id, claimed.task.depends_on], [c, [a.task_id, a.task_id]])
  },

  'that depends on a duplicate which fails ends once': async scene => {
    const [a, b] = [scene.draft({ dedup_key: 'a' }), scene.draft({ dedup_key: 'a' })]
    const { ids } = await accepted(scene, [a, b, scene.draft({ depends_on: [a.task_id, b.task_id] })])
    const { ended } = (await scene.store.cancel(a.task_id))!
    assert.deepEqual(idsOf(ended), [ids[0], ids[2]])
    assert.equal((await scene.store.stats()).queue_length, 0)
  },

  'that needs what exists already does not wait': async scene => {
    await scene.completed({ dedup_key: 'done' })
    const draft = scene.draft({ dedup_key: 'done' })
    const { tasks } = await accepted(scene, [draft, scene.draft({ depends_on: [draft.task_id] })])
    assert.equal(tasks[1]!.task.current_step, 'queued')
    assert.deepEqual((await scene.claimOne()).task.depends_on, [tasks[0]!.task.task_id])
  },

  'with an unknown or failed dependency is refused as a whole': async scene => {
    const gone = await scene.cancelled()
    const foreign = await scene.enqueue({ user_id: 'bob' })
    await refused(scene, [scene.draft(), scene.draft({ depends_on: [randomUUID()] })], 'dependency_unknown')
    await refused(scene, [scene.draft(), scene.draft({ depends_on: [foreign.task_id] })], 'dependency_unknown')
    await refused(scene, [scene.draft(), scene.draft({ depends_on: [gone.task_id] })], 'dependency_failed')
  },

  'is replayed as a whole by its key': async scene => {
    const idempotency = { key: 'key', body: 'body' }
    const first = await accepted(scene, [scene.draft({ idempotency }), scene.draft({ idempotency })])
    await scene.complete(await scene.claimOne())
    const again = await accepted(scene, [scene.draft({ idempotency }), scene.draft({ idempotency })])
    assert.deepEqual([again.outcome, again.batch_id, again.ids], ['replayed', first.batch_id, first.ids])
    assert.deepEqual(again.tasks.map(({ outcome, task }) => [outcome, task.status]), [['replayed', 'COMPLETED'], ['replayed', 'PENDING']])
    assert.equal((await scene.store.stats()).queue_length, 1)
  },

  'with a key that came with another body is refused': async scene => {
    await accepted(scene, [scene.draft({ idempotency: { key: 'key', body: 'body' } })])
    await refused(scene, [scene.draft({ idempotency: { key: 'key', body: 'other' } })], 'key_reused')
    assert.equal((await scene.store.enqueue(scene.draft({ idempotency: { key: 'key', body: 'other' } }))).outcome, 'key_reused')
  },

  'with a key of a single task is refused': async scene => {
    await scene.enqueue({ idempotency: { key: 'key', body: 'one' } })
    await refused(scene, [scene.draft({ idempotency: { key: 'key', body: 'batch' } })], 'key_reused')
  },

  'keeps its key until the last of its tasks has gone': async scene => {
    const idempotency = { key: 'key', body: 'body' }
    const drafts = () => [scene.draft({ idempotency }), scene.draft({ idempotency })]
    const { batch_id, ids } = await accepted(scene, drafts())
    await scene.complete(await scene.claimOne())
    scene.pass(DAY)
    await scene.store.cleanup()
    assert.deepEqual(idsOf((await scene.store.readBatch(batch_id))!.tasks), [ids[1]], 'what is still kept')
    assert.equal((await accepted(scene, drafts())).outcome, 'replayed')
    await scene.complete(await scene.claimOne())
    scene.pass(DAY)
    assert.equal(await scene.store.readBatch(batch_id), null)
    const fresh = await accepted(scene, drafts())
    assert.equal(fresh.outcome, 'accepted')
  },

  'repeated with the same ids changes nothing': async scene => {
    const known = await scene.enqueue({ dedup_key: 'duplicate' })
    const batch_id = randomUUID()
    const drafts = [scene.draft({ dedup_key: 'duplicate' }), scene.draft({ force: true }), scene.draft({ force: true })]
    const { ids } = await accepted(scene, drafts, batch_id)
    const before = await scene.store.stats()
    const again = await accepted(scene, drafts, batch_id)
    assert.deepEqual([again.outcome, again.batch_id, again.ids], ['accepted', batch_id, ids])
    assert.deepEqual(await scene.store.stats(), before)
    assert.deepEqual(idsOf((await scene.store.readBatch(batch_id))!.tasks), ids)
    assert.deepEqual(await scene.claimIds({ count: 10 }), [known.task_id, ids[1], ids[2]])
  },

  'has the same task for what needs the same, and another for what needs another': async scene => {
    const pair = (wish: { force?: boolean } = {}) => {
      const needed = scene.draft({ dedup_key: 'needed', ...wish })
      return [scene.draft({ dedup_key: 'needing', depends_on: [needed.task_id] }), needed]
    }
    const [needing, needed] = (await accepted(scene, pair())).ids
    assert.deepEqual((await accepted(scene, pair())).ids, [needing, needed])
    for (let i = 0; i < 2; i++) await scene.complete(await scene.claimOne())
    assert.deepEqual((await accepted(scene, pair())).tasks.map(({ outcome }) => outcome), ['chart_exists', 'chart_exists'])
    const forced = await accepted(scene, pair({ force: true }))
    assert.deepEqual(forced.tasks.map(({ outcome }) => outcome), ['queued', 'queued'], 'a chart of other charts is another one')
    assert.deepEqual(forced.tasks[0]!.task.depends_on, [forced.ids[1]])
    for (const [dep, id] of [[needed, needing], [forced.ids[1], forced.ids[0]]]) {
      const single = await scene.store.enqueue(scene.draft({ dedup_key: 'needing', depends_on: [dep!] }))
      assert.equal('task' in single && single.task.task_id, id, 'as of a single one')
    }
    const alone = await scene.store.enqueue(scene.draft({ dedup_key: 'needing' }))
    assert.equal(alone.outcome, 'queued')
  },

  'waits until the host was asked for a chart; what needs one that is lost needs the one that is made anew': async scene => {
    const inHost = { stores_content: false }
    const { chart_id } = await scene.completed({ dedup_key: 'lost', ...inHost }, null)
    const kept = await scene.completed({ dedup_key: 'kept', ...inHost }, null)
    const batch_id = randomUUID()
    const lost = scene.draft({ dedup_key: 'lost', ...inHost })
    const existing = scene.draft({ dedup_key: 'kept', ...inHost })
    const drafts = [scene.draft({ ...inHost, depends_on: [lost.task_id] }), lost, existing]
    assert.deepEqual(await scene.store.enqueueBatch(batch_id, drafts), {
      outcome: 'chart_check_required',
      charts: [{ task_id: lost.task_id, chart_id }, { task_id: existing.task_id, chart_id: kept.chart_id }]
    }, 'all of them at once')
    assert.equal(await scene.store.readBatch(batch_id), null)
    const { ids } = await accepted(scene, [
      drafts[0]!, { ...lost, chart_check: { chart_id: chart_id!, kept: false } }, { ...existing, chart_check: { chart_id: kept.chart_id!, kept: true } }
    ], batch_id)
    assert.deepEqual(ids, [...idsOfDrafts(drafts.slice(0, 2)), kept.task_id])
    assert.deepEqual(await scene.claimIds({ count: 10 }), [lost.task_id])
    assert.deepEqual((await scene.read(ids[0]!)).depends_on, [lost.task_id])
  },

  'is cancelled at once: what needs another of it is cancelled, not failed; what needs it from outside fails': async scene => {
    const running = await scene.claimed()
    const done = await scene.completed()
    const [base, middle, outside] = [scene.draft(), scene.draft(), scene.draft()]
    const { ids } = await accepted(scene, [base, { ...middle, depends_on: [base.task_id] }])
    const { task_id: outsider } = await scene.enqueue({ ...outside, depends_on: [middle.task_id], request: outside.request })
    const ended = await scene.store.cancelAll([...ids, ids[0]!, running.task.task_id, done.task_id, randomUUID()])
    const expected = [[ids[0], 'CANCELLED'], [ids[1], 'CANCELLED'], [running.task.task_id, 'CANCELLED'], [outsider, 'FAILED']]
    assert.deepEqual(ended.map(({ task_id, status }) => [task_id, status]), expected)
    for (const task of ended) assert.deepEqual(await scene.read(task.task_id), task)
    assert.deepEqual(await scene.store.cancelAll(ids), [], 'once')
    assert.deepEqual(await scene.claimIds({ count: 10 }), [])
    const { queue_length, processing_count } = await scene.store.stats()
    assert.deepEqual({ queue_length, processing_count }, { queue_length: 0, processing_count: 0 })
  },

  'of one user is not told to be another': async scene => {
    const { batch_id } = await accepted(scene, [scene.draft({ user_id: 'bob' })])
    assert.equal((await scene.store.readBatch(batch_id))?.user_id, 'bob')
  }
})
