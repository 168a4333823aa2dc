import { Redis } from 'ioredis'
import { test } from 'tap'
import type { TaskStore } from '../../lib/store/task-store.ts'
import { redisServerPath, startRedis } from '../helpers/redis.ts'
import { holdToConformance, openOn } from '../helpers/stores.ts'

/** Every call finds a Redis that has forgotten all scripts, as after a restart, a flush or a failover. */
function forgetful (store: TaskStore, redis: Redis): TaskStore {
  return new Proxy(store, {
    get (target, name) {
      const method: unknown = target[name as keyof TaskStore]
      if (typeof method !== 'function') return method
      // These two answer at once.
      if (name === 'listen' || name === 'unsubscribe') return method.bind(target)
      return async (...args: unknown[]) => {
        await redis.script('FLUSH')
        return method.apply(target, args)
      }
    }
  })
}

test('scripts that Redis has forgotten are sent again', { skip: await redisServerPath() === null && 'needs a Redis of its own' }, async t => {
  const server = await startRedis()
  t.teardown(() => server.stop())
  const redis = new Redis(server.url)
  await holdToConformance(t, openOn(t, redis), store => forgetful(store, redis))
})
