import { Redis } from 'ioredis'
import { test } from 'tap'
import { storeConformance, type TaskStore } from '../../lib/store/conformance.ts'
import { RedisStore } from '../../lib/store/redis/redis-store.ts'
import { redisServerPath, startRedis } from '../helpers/redis.ts'
import { holdToConformance, openOn } from '../helpers/stores.ts'

/** Methods that answer at once, without Redis. */
const LOCAL = new Set(['constructor', 'listen', 'unsubscribe', 'unsubscribeMessage'])
/** Methods that run no script, or that no case of the suite calls. */
const UNCALLED = new Set(['subscribe', 'subscribeMessage', 'checkHealth', 'ready'])
/** Every method must be called, not every case run: each call makes Redis compile its script again. These call what few cases do. */
const SELDOM = /^workers: are there|^a batch: .*at once|^what is large: .*contents/
const cases = storeConformance.filter(({ name }, i) => i % 4 === 0 || SELDOM.test(name))

/** Every call finds a Redis that has forgotten all scripts, as after a restart, a flush or a failover. */
function forgetful (store: TaskStore, redis: Redis, called: Set<string>): TaskStore {
  return new Proxy(store, {
    get (target, name: keyof TaskStore) {
      const method: unknown = target[name]
      if (typeof method !== 'function') return method
      if (LOCAL.has(name)) return method.bind(target)
      return async (...args: unknown[]) => {
        called.add(name)
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
  const called = new Set<string>()
  await holdToConformance(t, openOn(t, redis), store => forgetful(store, redis, called), cases)
  const methods = Object.getOwnPropertyNames(RedisStore.prototype).filter(name => !LOCAL.has(name) && !UNCALLED.has(name))
  t.same(methods.filter(name => !called.has(name)), [], 'every method was called')
})
