import type { Redis } from 'ioredis'
import type { OpenStore } from '../../lib/store/conformance.ts'
import { RedisStore } from '../../lib/store/redis/redis-store.ts'
import { removeKeys, uniquePrefix } from './redis.ts'

interface Test {
  readonly name: string
  teardown (end: () => unknown): void
}

/** Opens empty stores on `host`, each with a prefix of its own. Once the test is over their keys are gone, and the clients are closed. */
export function openOn (t: Test, redis: Redis, host = redis): OpenStore {
  t.teardown(() => {
    redis.disconnect()
    host.disconnect()
  })
  return async ({ now }) => {
    const keyPrefix = uniquePrefix(t)
    t.teardown(() => removeKeys(redis, keyPrefix))
    return new RedisStore({ redis: host, keyPrefix, now })
  }
}
