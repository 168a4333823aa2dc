import type { Redis } from 'ioredis'
import type { Test as TapTest } from 'tap'
import { storeConformance, type OpenStore, type TaskStore } from '../../lib/store/conformance.ts'
import { RedisStore } from '../../lib/store/redis/redis-store.ts'
import { removeKeysLike, uniquePrefix } from './redis.ts'

interface Test {
  readonly name: string
  teardown (end: () => unknown): void
}

/**
 * Opens empty stores on `host`, each with a prefix of its own. Once the test is over their keys are gone, all in one scan, and
 * the clients are closed.
 */
export function openOn (t: Test, redis: Redis, host = redis): OpenStore {
  const prefix = uniquePrefix(t)
  let opened = 0
  t.teardown(async () => {
    await removeKeysLike(redis, `{${prefix}-`)
    redis.disconnect()
    host.disconnect()
  })
  return async ({ now }) => new RedisStore({ redis: host, keyPrefix: `${prefix}-${++opened}`, now })
}

/** Runs cases of the conformance suite as tests, all unless named; `wrap` may come between the suite and the store. */
export async function holdToConformance (
  t: TapTest, open: OpenStore, wrap: (store: TaskStore) => TaskStore = store => store, cases = storeConformance
): Promise<void> {
  for (const { name, run } of cases) {
    await t.test(name, async t => {
      await t.resolves(run(async options => wrap(await open(options))))
    })
  }
}
