import { Redis } from 'ioredis'
import t from 'tap'
import { idsOf, Scene } from '../../lib/store/conformance/scene.ts'
import type { OpenStore } from '../../lib/store/conformance.ts'
import { memoryStore } from '../../lib/store/memory.ts'
import { redisUrl } from '../helpers/redis.ts'
import { openOn } from '../helpers/stores.ts'

// What the port leaves to a store, and the built-in ones do: one page costs a bounded amount of work, and is full where it can be.
const kinds: Array<[kind: string, openFor: (t: Parameters<typeof openOn>[0]) => Promise<OpenStore>]> = [
  ['memory', async () => async ({ now }) => memoryStore({ now })],
  ['redis', async t => openOn(t, new Redis(await redisUrl()))]
]

for (const [kind, openFor] of kinds) {
  t.test(`on ${kind}`, async t => {
    const open = await openFor(t)
    const play = (name: string, run: (scene: Scene) => Promise<void>) => t.test(name, () => Scene.play(open, run))

    await play('a page skips what is newer without looking at it', async scene => {
      const created_before = Date.parse(scene.date) + 1_100
      for (let i = 0; i < 1_300; i++) {
        await scene.enqueue()
        scene.pass(1)
      }
      const page = await scene.store.list({ filter: { created_before }, limit: 3, cursor: null })
      t.equal(page.tasks.length, 3)
      t.equal(page.tasks[0]!.created_at, new Date(created_before - 1).toISOString())
    })

    await play('a page looks at 1,000 tasks at most', async scene => {
      await scene.enqueueMany(1_200, { user_id: 'bob' })
      scene.pass(1)
      const first = await scene.enqueue({ user_id: 'ada' })
      const last = await scene.completed({ user_id: 'ada', priority: 'high' })
      const page = await scene.store.list({ filter: { user_id: 'ada' }, limit: 10, cursor: null })
      t.same(idsOf(page.tasks), [first.task_id])
      t.not(page.cursor, null)
      const next = await scene.store.list({ filter: { user_id: 'ada' }, limit: 10, cursor: page.cursor })
      t.same([idsOf(next.tasks), next.cursor], [[last.task_id], null])
    })

    await play('pages are full, and the last one has no cursor', async scene => {
      await scene.enqueueMany(5)
      const first = await scene.store.list({ filter: {}, limit: 3, cursor: null })
      t.equal(first.tasks.length, 3)
      const last = await scene.store.list({ filter: {}, limit: 3, cursor: first.cursor })
      t.same([last.tasks.length, last.cursor], [2, null])
    })
  })
}
