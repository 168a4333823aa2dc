import type { Redis } from 'ioredis'
import type { OpenStore } from '../../lib/store/conformance.ts'
import { RedisStore } from '../../lib/store/redis/redis-store.ts'
import { removeKeys, uniquePrefix } from './redis.ts'

interface Test {
  readonly name: string
  teardown (end: () => unknown): void
}

/** Opens empty stores, each with a prefix of its own. Once the test is over their keys are gone, and the client is closed. */
export function openOn (t: Test, redis: Redis): OpenStore {
  t.teardown(() => redis.disconnect())
  return async ({ now }) => {
    const keyPrefix = uniquePrefix(t)
    t.teardown(() => removeKeys(redis, keyPrefix))
    return new RedisStore({ redis, keyPrefix, now })
  }
}
