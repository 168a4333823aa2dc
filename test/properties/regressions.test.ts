import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { Redis } from 'ioredis'
import t from 'tap'
import { CONTENT, completion, failing, Scene, type Wish } from '../../lib/store/conformance/scene.ts'
import { memoryStore } from '../../lib/store/memory.ts'
import type { TaskDraft } from '../../lib/store/task-store.ts'
import { ChartVisibility, type ChartTask } from '../../lib/task.ts'
import { redisUrl } from '../helpers/redis.ts'
import { openOn } from '../helpers/stores.ts'

const batch = async (scene: Scene, drafts: readonly TaskDraft[], batch_id: string = randomUUID()) => {
  const result = await scene.store.enqueueBatch(batch_id, drafts)
  assert.ok('tasks' in result, 'the batch is accepted')
  return result
}
const states = (tasks: readonly ChartTask[]) => tasks.map(({ task_id, status, version }) => ({ task_id, status, version }))
const SHORT = { task: 60, status: 60, messageIndex: 60 }

/** Sequences with which random tests have found defects, as short as possible. */
const regressions: Record<string, (scene: Scene) => Promise<void>> = {
  'of the charts of an org that ended within one millisecond, the latest is first': async scene => {
    const [message_id, org_id] = [randomUUID(), randomUUID()]
    const ended: string[] = []
    for (let i = 0; i < 4; i++) {
      const { task_id } = await scene.enqueue({ message_id, user_id: 'ada', org_id, shared_with: org_id })
      await scene.complete(await scene.claimOne())
      ended.unshift(task_id)
    }
    const { completed } = await scene.store.readMessage({ message_id, user_id: 'bob', org_id, limit: 10 })
    assert.deepEqual(completed.map(({ task_id }) => task_id), ended)
  },

  'a task that depends on two duplicates of a batch fails once when they fail': async scene => {
    const dedup_key = randomUUID()
    const [one, twin] = [scene.draft({ dedup_key }), scene.draft({ dedup_key })]
    const needy = scene.draft({ depends_on: [one.task_id, twin.task_id] })
    await batch(scene, [one, twin, needy])
    const other = await scene.enqueue()
    const { settled, claimed } = await scene.store.settleAttempts([failing(await scene.claimOne(), { delay: 'never' })], null)
    assert.equal(settled[0]!.finished!.task_id, one.task_id)
    assert.deepEqual(states(claimed.lost), [{ task_id: needy.task_id, status: 'FAILED', version: 2 }])
    assert.equal((await scene.store.stats()).queue_length, 1)
    assert.deepEqual(await scene.claimIds({ count: 5 }), [other.task_id])
  },

  'a task that depends on two duplicates of a batch runs when they complete': async scene => {
    const dedup_key = randomUUID()
    const [one, twin] = [scene.draft({ dedup_key }), scene.draft({ dedup_key })]
    const needy = scene.draft({ depends_on: [one.task_id, twin.task_id] })
    await batch(scene, [one, twin, needy])
    await scene.complete(await scene.claimOne())
    const { task } = await scene.claimOne()
    assert.equal(task.task_id, needy.task_id)
    assert.deepEqual(task.depends_on, [one.task_id, one.task_id])
  },

  'a task that supersedes others keeps the dependencies of its dependencies': async scene => {
    const message_id = randomUUID()
    const far = await scene.enqueue({ message_id })
    const near = await scene.enqueue({ depends_on: [far.task_id] })
    const old = await scene.enqueue({ message_id })
    const result = await scene.store.enqueue(scene.draft({ message_id, supersede: true, depends_on: [near.task_id] }))
    assert.ok('superseded' in result)
    assert.deepEqual(states(result.superseded), [{ task_id: old.task_id, status: 'CANCELLED', version: 2 }])
    for (const task_id of [far.task_id, near.task_id, result.task.task_id]) {
      const claimed = await scene.claimOne()
      assert.equal(claimed.task.task_id, task_id)
      await scene.complete(claimed)
    }
  },

  'of two superseded tasks, one that depends on the other ends once': async scene => {
    const [here, there] = [randomUUID(), randomUUID()]
    const needed = await scene.enqueue({ message_id: here })
    const needy = await scene.enqueue({ message_id: there, depends_on: [needed.task_id] })
    const { superseded } = await batch(scene, [here, there].map(message_id => scene.draft({ message_id, supersede: true })))
    assert.deepEqual(states(superseded), [
      { task_id: needed.task_id, status: 'CANCELLED', version: 2 },
      { task_id: needy.task_id, status: 'CANCELLED', version: 2 }
    ])
    assert.equal((await scene.store.stats()).queue_length, 2)
  },

  'a repeated batch gets its first reply, also if another task was returned for its first draft': async scene => {
    const dedup_key = randomUUID()
    const active = await scene.enqueue({ dedup_key })
    const drafts = [scene.draft({ dedup_key }), scene.draft({ force: true })]
    const batch_id = randomUUID()
    const first = await batch(scene, drafts, batch_id)
    assert.deepEqual(first.tasks.map(({ outcome, task }) => [outcome, task.task_id]), [['already_active', active.task_id], ['queued', drafts[1]!.task_id]])
    assert.deepEqual(await batch(scene, drafts, batch_id), first)
    assert.equal((await scene.store.stats()).queue_length, 2)
  },

  'the end of a short retention removes no other task from the message': async scene => {
    const message_id = randomUUID()
    const kept = await scene.completed({ message_id })
    scene.pass(SHORT.task * 1_000)
    const brief = await scene.completed({ message_id, retention: SHORT })
    const ids = async () => (await scene.store.readMessage({ message_id, user_id: 'ada', org_id: null, limit: 10 })).completed.map(({ task_id }) => task_id)
    assert.deepEqual(await ids(), [brief.task_id, kept.task_id])
    scene.pass(SHORT.task * 1_000)
    await scene.store.cleanup()
    assert.deepEqual(await ids(), [kept.task_id])
  },

  "of charts that end within a millisecond the caller's own come first": async scene => {
    const wish: Wish = { message_id: randomUUID(), org_id: 'acme', visibility: ChartVisibility.ORGANIZATION }
    const own = await scene.completed({ ...wish, user_id: 'ada' })
    const others = await scene.completed({ ...wish, user_id: 'bob' })
    const { completed } = await scene.store.readMessage({ message_id: wish.message_id!, user_id: 'ada', org_id: 'acme', limit: 10 })
    assert.deepEqual(completed.map(({ task_id }) => task_id), [own, others].map(({ task_id }) => task_id))
  },

  'settlements sent with a repeated claim return the tasks that they ended': async scene => {
    const needed = await scene.enqueue()
    const needy = await scene.enqueue({ depends_on: [needed.task_id] })
    const claim = scene.wish()
    const { tasks: [claimed] } = await scene.store.claim(claim)
    const { claimed: { lost } } = await scene.store.settleAttempts([failing(claimed!, { delay: 'never' })], claim)
    assert.deepEqual(lost.map(({ task_id }) => task_id), [needy.task_id])
  },

  'a tenant whose last waiting task is superseded keeps its turn': async scene => {
    const [message_id, tenant] = [randomUUID(), 'org:acme']
    await scene.enqueue({ message_id, tenant })
    const between = await scene.enqueue({ tenant, weight: 60 })
    const last = await scene.enqueue({ tenant })
    await scene.enqueueMany(2)
    for (const { task_id } of [between, last]) await scene.store.cancel(task_id)
    const result = await scene.store.enqueue(scene.draft({ message_id, tenant, supersede: true }))
    assert.ok('task' in result)
    assert.equal(result.task.queue_position, 3)
  },

  'a first attempt starts without checkpoints, also after a repeated claim': async scene => {
    await scene.enqueue()
    const claim = scene.wish()
    const { tasks: [claimed] } = await scene.store.claim(claim)
    await scene.store.checkpoint({ task_id: claimed!.task.task_id, lease: claimed!.lease, name: 'plan', value: CONTENT, maxBytes: 0 })
    const { tasks: [again] } = await scene.store.claim(claim)
    assert.deepEqual(again!.checkpoints, new Map())
    assert.equal((await scene.settle(completion(again!))).current, true)
  },

  'clean-up leaves tasks at their cap while another task of the tenant is about to run': async scene => {
    const tenant = 'org:acme'
    const [first, second, third] = [await scene.enqueue({ tenant }), await scene.enqueue({ tenant }), await scene.enqueue({ tenant })]
    await scene.store.claim(scene.wish({ count: 3, runningPerTenant: 1 }))
    await scene.store.cancel(first.task_id)
    await scene.store.cleanup()
    assert.deepEqual((await scene.store.read([second.task_id, third.task_id])).map(task => task?.queue_position), [1, null])
  }
}

const url = await redisUrl()
for (const [name, play] of Object.entries(regressions)) {
  t.test(`in memory, ${name}`, t => t.resolves(Scene.play(async ({ now }) => memoryStore({ now }), play)))
  t.test(`on Redis, ${name}`, t => t.resolves(Scene.play(openOn(t, new Redis(url)), play)))
}
