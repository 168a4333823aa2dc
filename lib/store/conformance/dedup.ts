import assert from 'node:assert/strict'
import type { EnqueueOutcome, TaskDraft } from '../task-store.ts'
import { cases, type Scene, type Wish } from './scene.ts'

function outcomeOf (result: EnqueueOutcome) {
  assert.ok('task' in result, result.outcome)
  return { outcome: result.outcome, task_id: result.task.task_id }
}

const duplicate: Wish = { dedup_key: 'duplicate' }

async function ask (scene: Scene, wish: Wish = {}) {
  const draft = scene.draft({ ...duplicate, ...wish })
  return { own: draft.task_id, ...outcomeOf(await scene.store.enqueue(draft)) }
}

async function queued (scene: Scene, wish: Wish = {}): Promise<void> {
  const { own, outcome, task_id } = await ask(scene, wish)
  assert.deepEqual({ outcome, task_id }, { outcome: 'queued', task_id: own })
}

async function answered (scene: Scene, outcome: EnqueueOutcome['outcome'], by: string, wish: Wish = {}): Promise<void> {
  const before = await scene.store.stats()
  const { own: _own, ...answer } = await ask(scene, wish)
  assert.deepEqual(answer, { outcome, task_id: by })
  assert.deepEqual(await scene.store.stats(), before, 'nothing was queued')
}

export const dedup_key = cases('the same chart', {
  'an active task answers, waiting, running and waiting for another attempt': async scene => {
    const { task_id } = await scene.enqueue(duplicate)
    await answered(scene, 'already_active', task_id)
    const claimed = await scene.claimOne()
    await answered(scene, 'already_active', task_id)
    await scene.fail(claimed)
    await answered(scene, 'already_active', task_id)
  },

  'an active task that was forced answers too': async scene => {
    const { task_id } = await scene.enqueue({ ...duplicate, force: true })
    await answered(scene, 'already_active', task_id)
  },

  'what is not the same is queued': async scene => {
    await scene.enqueue(duplicate)
    await queued(scene, { dedup_key: 'duplicate, but not quite' })
  },

  'a forced one is always queued': async scene => {
    await scene.completed(duplicate)
    await queued(scene, { force: true })
    await queued(scene, { force: true })
  },

  'a finished chart answers': async scene => {
    const { task_id } = await scene.completed(duplicate)
    await answered(scene, 'chart_exists', task_id)
    scene.pass(3_600_000)
    await answered(scene, 'chart_exists', task_id)
  },

  'of several finished charts the newest answers': async scene => {
    await scene.completed(duplicate)
    const newer = await scene.completed({ ...duplicate, force: true })
    await answered(scene, 'chart_exists', newer.task_id)
  },

  'the chart that was finished last is the newest, whichever was asked for first': async scene => {
    await scene.enqueue(duplicate)
    const first = await scene.claimOne()
    await scene.completed({ ...duplicate, force: true })
    await scene.complete(first)
    await answered(scene, 'chart_exists', first.task.task_id)
  },

  'an active task goes before a finished chart': async scene => {
    await scene.completed(duplicate)
    const { task_id } = await scene.enqueue({ ...duplicate, force: true })
    await answered(scene, 'already_active', task_id)
  },

  'what FAILED or was CANCELLED does not count': async scene => {
    await scene.failed(duplicate)
    await scene.cancelled(duplicate)
    await queued(scene)
  },

  'a failure leaves an older chart as it was': async scene => {
    const { task_id } = await scene.completed(duplicate)
    await scene.failed({ ...duplicate, force: true })
    await scene.cancelled({ ...duplicate, force: true })
    await answered(scene, 'chart_exists', task_id)
  },

  'a chart whose content is gone does not count': async scene => {
    await scene.completed(duplicate, null)
    await queued(scene)
  },

  'before a chart that the host keeps counts, the host is asked, and nothing is changed': async scene => {
    const { task_id, chart_id } = await scene.completed(duplicate, null)
    const older = await scene.enqueue({ message_id: scene.draft(duplicate).message_id })
    for (const chart_check of [null, { chart_id: '00000000-0000-0000-0000-000000000000', kept: true }]) {
      const draft = scene.draft({ ...duplicate, stores_content: false, supersede: true, chart_check })
      const answer = await scene.unchanged(older.task_id, () => scene.store.enqueue(draft))
      assert.deepEqual(answer, { outcome: 'chart_check_required', charts: [{ task_id: draft.task_id, chart_id }] })
      assert.deepEqual(await scene.store.read([draft.task_id]), [null])
    }
    await answered(scene, 'chart_exists', task_id, { stores_content: false, chart_check: { chart_id: chart_id!, kept: true } })
  },

  'of several that were forced, the newest that is left answers': async scene => {
    const { task_id: chart } = await scene.completed(duplicate)
    const [first, second, third] = await scene.enqueueMany(3, { ...duplicate, force: true })
    const { message_id } = scene.draft(duplicate)
    // Others of the message do not stand in the way.
    await scene.enqueueMany(120, { message_id })
    await answered(scene, 'already_active', third!)
    await scene.store.cancel(third!)
    await answered(scene, 'already_active', second!)
    await scene.store.cancel(first!)
    await answered(scene, 'already_active', second!)
    await scene.store.cancel(second!)
    await answered(scene, 'chart_exists', chart)
    await answered(scene, 'chart_exists', chart)
  },

  'of several that were forced, one that still waits answers after the retention of the others': async scene => {
    const short = { retention: { task: 1, status: 1, messageIndex: 1 } }
    await scene.completed({ ...duplicate, ...short })
    const { task_id } = await scene.enqueue({ ...duplicate, force: true })
    const later = await scene.enqueue({ ...duplicate, ...short, force: true })
    await scene.store.cancel(later.task_id)
    scene.pass(2_000)
    await scene.store.cleanup()
    const other = await scene.enqueue({ message_id: scene.draft(duplicate).message_id, ...short })
    await scene.store.cancel(other.task_id)
    await answered(scene, 'already_active', task_id)
  },

  'a chart that the host has lost does not count': async scene => {
    const { chart_id } = await scene.completed(duplicate, null)
    await queued(scene, { stores_content: false, chart_check: { chart_id: chart_id!, kept: false } })
  },

  'after the newest chart that the host has lost, it is not asked for older ones': async scene => {
    await scene.completed(duplicate, null)
    const newest = await scene.completed({ ...duplicate, force: true }, null)
    await queued(scene, { stores_content: false, chart_check: { chart_id: newest.chart_id!, kept: false } })
  },

  'fifty at once make one task': async scene => {
    const drafts: TaskDraft[] = Array.from({ length: 50 }, () => scene.draft(duplicate))
    const answers = (await Promise.all(drafts.map(draft => scene.store.enqueue(draft)))).map(outcomeOf)
    assert.equal(answers.filter(({ outcome }) => outcome === 'queued').length, 1)
    assert.equal(answers.filter(({ outcome }) => outcome === 'already_active').length, 49)
    assert.equal(new Set(answers.map(({ task_id }) => task_id)).size, 1)
    assert.equal((await scene.store.stats()).queue_length, 1)
  }
})
