import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { cases, completion, idsOf, type Scene } from './scene.ts'

const heavy = { org_id: 'heavy' }
const light = { org_id: 'light' }

/** Ids whose order is not that in which they are asked for: no store may fall back on it. */
const idFor = (n: number) => `${(99 - n).toString().padStart(8, '0')}-0000-4000-8000-000000000000`

async function named (scene: Scene, count: number, wish: Parameters<Scene['enqueue']>[0], from = 0): Promise<string[]> {
  const ids = Array.from({ length: count }, (_, i) => idFor(from + i))
  for (const task_id of ids) await scene.enqueue({ ...wish, task_id })
  return ids
}

export const fairness = cases('fairness', {
  'first come, first served within a tenant': async scene => {
    const ids = await named(scene, 30, heavy)
    assert.deepEqual(await scene.claimIds({ count: 30 }), ids)
  },

  'tenants take turns, first come, first served within a round': async scene => {
    const asked: string[] = []
    for (let round = 0; round < 3; round++) {
      for (const org_id of ['c', 'a', 'b']) asked.push(...await named(scene, 1, { org_id }, asked.length))
    }
    assert.deepEqual(await scene.claimIds({ count: 9 }), asked)
  },

  'who replaces a chart again and again does not fall behind': async scene => {
    const message_id = randomUUID()
    await scene.enqueue({ ...heavy, run_at: Date.parse(scene.date) + 1_000 })
    for (const weight of [1, 3]) {
      for (let i = 0; i < 60; i++) await scene.enqueue({ ...heavy, weight, message_id, supersede: true })
    }
    const last = await scene.enqueue({ ...heavy, weight: 3, message_id, supersede: true })
    const others = await scene.enqueueMany(3, light)
    assert.deepEqual(await scene.claimIds({ count: 4 }), [last.task_id, ...others])
  },

  'a turn goes back to its tenant also from aside, and no turn that was not the last': async scene => {
    const [first, second, third] = await scene.enqueueMany(3, heavy)
    await scene.claimIds({ runningPerTenant: 1, count: 2 })
    await scene.store.cancel(third!)
    const fourth = await scene.enqueue(heavy)
    await scene.store.cancel(second!)
    const fifth = await scene.enqueue(heavy)
    const others = await scene.enqueueMany(3, light)
    await scene.store.cancel(first!)
    const order = await scene.claimIds({ count: 5 })
    assert.deepEqual(order.filter(id => others.includes(id)), others)
    assert.ok(order.indexOf(fourth.task_id) < order.indexOf(fifth.task_id))
  },

  'two tenants with much to do share evenly': async scene => {
    const first = await scene.enqueueMany(40, heavy)
    const second = await scene.enqueueMany(40, light)
    const claimed = await scene.claimIds({ count: 40 })
    const [ofFirst, ofSecond] = [first, second].map(ids => claimed.filter(id => ids.includes(id)).length)
    assert.ok(Math.abs(ofFirst! - ofSecond!) <= 2, `${ofFirst} to ${ofSecond}`)
  },

  'a tenant of weight 3 has three turns to one of the others': async scene => {
    const big = await scene.enqueueMany(60, { ...heavy, weight: 3 })
    const small = await scene.enqueueMany(60, light)
    const claimed = await scene.claimIds({ count: 40 })
    const [ofBig, ofSmall] = [big, small].map(ids => claimed.filter(id => ids.includes(id)).length)
    assert.deepEqual([ofBig, ofSmall], [30, 10])
    assert.deepEqual(claimed.filter(id => big.includes(id)), big.slice(0, 30), 'each in its own order')
  },

  'a weight counts also for what comes later, by its time or after others': async scene => {
    const first = await scene.claimed({ org_id: 'third' })
    const later = { ...heavy, weight: 4 }
    const scheduled = await scene.enqueueMany(8, { ...later, run_at: Date.parse(scene.date) + 1_000 })
    scene.pass(1_000)
    await scene.claimIds({ count: 0 })
    await scene.enqueueMany(4, light)
    const claimed = await scene.claimIds({ count: 10 })
    assert.equal(claimed.filter(id => scheduled.includes(id)).length, 8)
    const dependent = await scene.enqueueMany(8, { ...later, user_id: 'ada', depends_on: [first.task.task_id] })
    await scene.enqueueMany(4, light)
    await scene.complete(first)
    const next = await scene.claimIds({ count: 10 })
    assert.equal(next.filter(id => dependent.includes(id)).length, 8)
  },

  'one tenant with 500 does not hold up 99 with one each': async scene => {
    const big = new Set(await scene.enqueueMany(500, heavy))
    const small: string[] = []
    for (let i = 0; i < 99; i++) small.push((await scene.enqueue({ org_id: `light-${i}` })).task_id)
    // Two rounds of a hundred tenants.
    const claimed = await scene.claimIds({ count: 200 })
    assert.deepEqual(claimed.filter(id => !big.has(id)), small, 'all of them are claimed within 200 claims, in the order in which they came')
    assert.equal((await scene.claimIds({ count: 500 })).length, 399, 'and the heavy one loses nothing')
  },

  'a tenant that comes while another has a backlog is served within three claims': async scene => {
    await scene.enqueueMany(100, heavy)
    for (const before of [0, 7, 30]) {
      await scene.claimIds({ count: before })
      const { task_id } = await scene.enqueue(light)
      assert.ok((await scene.claimIds({ count: 3 })).includes(task_id))
    }
  },

  'who has had much has no debt once nothing waits': async scene => {
    await scene.enqueueMany(50, heavy)
    await scene.claimIds({ count: 50 })
    const theirs = await scene.enqueueMany(20, light)
    await scene.claimIds({ count: 10 })
    const { task_id } = await scene.enqueue(heavy)
    assert.ok((await scene.claimIds({ count: 3 })).includes(task_id))
    assert.equal((await scene.claimIds({ count: 20 })).length, theirs.length - 12)
  },

  'holds within each priority': async scene => {
    await scene.enqueueMany(50, { ...heavy, priority: 'low' })
    const small = await scene.enqueue({ ...light, priority: 'low' })
    assert.ok((await scene.claimIds({ count: 3 })).includes(small.task_id))
  },

  'a tenant at its cap does not hold up others': async scene => {
    const big = await named(scene, 20, heavy)
    const small = await named(scene, 3, light, 50)
    const { tasks } = await scene.claim({ count: 10, runningPerTenant: 2 })
    assert.deepEqual(idsOf(tasks).sort(), [...big.slice(0, 2), ...small.slice(0, 2)].sort())
    assert.deepEqual(await scene.claimIds({ count: 10, runningPerTenant: 2 }), [], 'both are at their cap')
    const { task_id } = await scene.enqueue({ org_id: 'third' })
    assert.deepEqual(await scene.claimIds({ count: 10, runningPerTenant: 2 }), [task_id])
  },

  'what is held at the cap comes back one by one, in its order': async scene => {
    const ids = await named(scene, 12, heavy)
    const order: string[] = []
    for (let held = await scene.claimOne({ runningPerTenant: 1 }); ;) {
      order.push(held.task.task_id)
      const { claimed } = await scene.store.settleAttempts([completion(held)], scene.wish({ count: 5, runningPerTenant: 1 }))
      if (claimed.tasks.length === 0) break
      assert.equal(claimed.tasks.length, 1)
      held = claimed.tasks[0]!
    }
    assert.deepEqual(order, ids)
  },

  'several places that a tenant gives up at once go to its next tasks in their order': async scene => {
    const others = await named(scene, 20, light, 50)
    const ids = await named(scene, 9, heavy)
    const capped = { runningPerTenant: 3, count: 30 }
    const { tasks } = await scene.claim(capped)
    const own = tasks.filter(({ task }) => ids.includes(task.task_id))
    assert.deepEqual(idsOf(own), ids.slice(0, 3))
    await scene.store.settleAttempts(own.map(claimed => completion(claimed)), null)
    assert.deepEqual(await scene.claimIds(capped), ids.slice(3, 6))
    assert.ok(others.length > 0)
  },

  'what is held keeps its order though something urgent takes the place': async scene => {
    const held = await scene.claimed(heavy)
    const ids = await named(scene, 3, heavy)
    assert.deepEqual(await scene.claimIds({ runningPerTenant: 1 }), [], 'all three are held')
    await named(scene, 12, light, 50)
    for (let i = 0; i < 6; i++) await scene.complete(await scene.claimOne({ runningPerTenant: 1 }))
    const urgent = await scene.enqueue({ ...heavy, priority: 'high' })
    await scene.complete(held)
    // The place was for the first of them, but the urgent one is quicker: it is held again.
    const quicker = await scene.claimOne({ runningPerTenant: 1 })
    assert.equal(quicker.task.task_id, urgent.task_id)
    await scene.claimIds({ runningPerTenant: 1, count: 10 })
    const order: string[] = []
    for (let last = quicker; order.length < 3;) {
      await scene.complete(last)
      last = await scene.claimOne({ runningPerTenant: 1 })
      order.push(last.task.task_id)
    }
    assert.deepEqual(order, ids)
  },

  'a cap that was lifted lets everything through': async scene => {
    const ids = await named(scene, 6, heavy)
    const [first] = (await scene.claim({ count: 6, runningPerTenant: 1 })).tasks
    await scene.complete(first!)
    const order: string[] = []
    for (let i = 0; i < 5; i++) {
      const claimed = await scene.claimOne()
      order.push(claimed.task.task_id)
      await scene.complete(claimed)
    }
    assert.deepEqual(order, ids.slice(1))
  }
})
