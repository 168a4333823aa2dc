import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import type { ClaimedTask } from '../task-store.ts'
import { cases, CONTENT, completion, idsOf, type Scene } from './scene.ts'

const MiB = 2 ** 20

/** A task whose request has about so many bytes. */
const enqueue = (scene: Scene, bytes: number) => scene.enqueue({ adjustment_query: 'x'.repeat(bytes) })

/** A chart whose content has so many bytes. */
async function chart (scene: Scene, bytes: number): Promise<string> {
  const settlement = completion(await scene.claimed(), `"${'ü'.repeat((bytes - 2) / 2)}"`)
  await scene.settle(settlement)
  return settlement.chart_id
}

const sizes = (contents: ReadonlyArray<string | number | null>) => contents.map(content => typeof content === 'string' ? `${Buffer.byteLength(content)} read` : content)

export const large = cases('what is large', {
  'is read as far as it fits, one task at least; all of it where no bound is given': async scene => {
    const ids: string[] = []
    for (let i = 0; i < 5; i++) ids.push((await enqueue(scene, 40_000)).task_id)
    const read = async (bytes?: number) => (await scene.store.read(ids, bytes)).length
    assert.equal(await read(1), 1)
    assert.equal(await read(0), 1)
    assert.ok([2, 3].includes(await read(100_000)), 'what passes the bound is the last')
    assert.equal(await read(MiB), 5)
    assert.equal(await read(), 5)
    assert.deepEqual(await scene.store.read([], 1), [])
  },

  'is read whole where no bound is given, however many they are': async scene => {
    const ids: string[] = []
    for (let i = 0; i < 12; i++) ids.push((await enqueue(scene, 60_000)).task_id)
    const unknown = Array.from({ length: 200 }, () => randomUUID())
    const found = await scene.store.read([...unknown, ...ids])
    assert.deepEqual(found.map(task => task?.task_id), [...unknown.map(() => undefined), ...ids])
  },

  'does not keep what is gone from being passed over': async scene => {
    const { task_id } = await enqueue(scene, 10)
    const ids = [randomUUID(), randomUUID(), task_id]
    assert.deepEqual((await scene.store.read(ids, 10)).map(task => task?.task_id), [undefined, undefined, task_id])
  },

  'of contents is read as far as it fits, then its size is told': async scene => {
    const ids = [await chart(scene, 1_000), randomUUID(), await chart(scene, 500), await chart(scene, 2_000), await chart(scene, 10)]
    const read = async (bytes: number) => sizes(await scene.store.readContents(ids, bytes))
    assert.deepEqual(await read(10_000), ['1000 read', null, '500 read', '2000 read', '10 read'])
    assert.deepEqual(await read(3_510), ['1000 read', null, '500 read', '2000 read', '10 read'], 'exactly as much as is allowed')
    assert.deepEqual(await read(3_500), ['1000 read', null, '500 read', '2000 read', 10])
    assert.deepEqual(await read(3_499), ['1000 read', null, '500 read', 2_000], 'nothing is read behind it')
    assert.deepEqual(await read(0), [1_000])
    assert.deepEqual(await scene.store.readContents([], 10), [])
  },

  'is as it was stored when it is read': async scene => {
    const settlement = completion(await scene.claimed())
    await scene.settle(settlement)
    assert.deepEqual(await scene.store.readContents([settlement.chart_id], 1_000), [CONTENT])
  },

  'is claimed a few MiB at a time, and what is left over notifies the next worker': async scene => {
    const ids: string[] = []
    for (let i = 0; i < 10; i++) ids.push((await enqueue(scene, MiB)).task_id)
    const first = await scene.claimIds({ count: 10 })
    assert.ok(first.length >= 1 && first.length <= 5, `${first.length} of them`)
    await scene.store.waitForWork(60_000, new AbortController().signal)
    const rest: string[] = []
    while (first.length + rest.length < 10) rest.push(...await scene.claimIds({ count: 10 }))
    assert.deepEqual([...first, ...rest], ids)
  },

  'may be what earlier attempts have returned': async scene => {
    const all: ClaimedTask[] = []
    for (let i = 0; i < 8; i++) {
      const claimed = await scene.claimed()
      await scene.store.checkpoint({ task_id: claimed.task.task_id, lease: claimed.lease, name: 'step', value: 'x'.repeat(MiB), maxBytes: 0 })
      all.push(claimed)
    }
    for (const claimed of all) await scene.release(claimed)
    const first = await scene.claimIds({ count: 8 })
    assert.ok(first.length >= 1 && first.length <= 5, `${first.length} of them`)
  },

  'of a batch comes whole with its Idempotency-Key': async scene => {
    const idempotency = { key: 'key', body: 'body' }
    const drafts = Array.from({ length: 40 }, () => scene.draft({ idempotency, adjustment_query: 'x'.repeat(60_000) }))
    await scene.store.enqueueBatch(randomUUID(), drafts)
    const again = await scene.store.enqueueBatch(randomUUID(), drafts.map(() => scene.draft({ idempotency })))
    assert.equal(again.outcome, 'replayed')
    assert.deepEqual('tasks' in again && idsOf(again.tasks.map(({ task }) => task)), drafts.map(({ task_id }) => task_id))
  }
})
