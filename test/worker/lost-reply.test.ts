import t from 'tap'
import { memoryStore, runWorker } from '../../lib/index.ts'
import { Scene } from '../../lib/store/conformance/scene.ts'
import { RedisStore } from '../../lib/store/redis/redis-store.ts'
import { Redis } from 'ioredis'
import { redisUrl, removeKeys, uniquePrefix } from '../helpers/redis.ts'

t.test('a claim repeated because its reply was lost returns again what it ended', async t => {
  const redis = new Redis(await redisUrl())
  const keyPrefix = uniquePrefix(t)
  t.teardown(async () => {
    await removeKeys(redis, keyPrefix)
    redis.disconnect()
  })
  for (const open of [async ({ now }: { now: () => number }) => memoryStore({ now }), async ({ now }: { now: () => number }) => new RedisStore({ redis, keyPrefix, now })]) {
    await Scene.play(open, async scene => {
      const { task: { task_id } } = await scene.claimed({ attempts: 1 })
      scene.pass(60_000)
      const wish = scene.wish({ claim_id: 'once' })
      const first = await scene.store.claim(wish)
      t.same(first.lost.map(task => [task.task_id, task.status]), [[task_id, 'FAILED']])
      t.same(await scene.store.claim(wish), first, 'the same ends again')
      t.same((await scene.claim()).lost, [], 'but not to another claim')
    })
  }
})

t.test('an onFinished that never returns does not hold up a stop', async t => {
  const store = memoryStore()
  const { ChartQueueService } = await import('../../lib/index.ts')
  const service = new ChartQueueService({ store })
  let ended = () => {}
  const called = new Promise<void>(resolve => { ended = resolve })
  const worker = await runWorker({
    store,
    handleSignals: false,
    generate: async () => 1,
    onFinished: () => {
      ended()
      return new Promise(() => {})
    }
  })
  await service.enqueueChartTask({ message_id: crypto.randomUUID() }, { user_id: 'ada' })
  await called
  await worker.stop()
  t.pass('it has stopped')
})
