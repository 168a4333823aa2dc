import { Redis } from 'ioredis'
import { test } from 'tap'
import { memoryStore } from '../../lib/index.ts'
import { storeConformance, type ConformanceCase, type TaskStore } from '../../lib/store/conformance.ts'
import { RedisStore } from '../../lib/store/redis/redis-store.ts'
import { redisServerPath, startRedis } from '../helpers/redis.ts'
import { holdToConformance, openOn } from '../helpers/stores.ts'

/** Methods that answer at once, without Redis. */
const LOCAL = new Set(['constructor', 'listen', 'unsubscribe', 'unsubscribeMessage'])
/** Methods that run no script, or that no case of the suite calls. */
const UNCALLED = new Set(['subscribe', 'subscribeMessage', 'checkHealth', 'ready'])
const methods = Object.getOwnPropertyNames(RedisStore.prototype).filter(name => !LOCAL.has(name) && !UNCALLED.has(name))

/** A store that waits for `before` with each call of a method. */
function observed (store: TaskStore, before: (method: string) => Promise<unknown>): TaskStore {
  return new Proxy(store, {
    get (target, name: keyof TaskStore) {
      const method: unknown = target[name]
      if (typeof method !== 'function') return method
      if (LOCAL.has(name) || name === 'now') return method.bind(target)
      return async (...args: unknown[]) => {
        await before(name)
        return method.apply(target, args)
      }
    }
  })
}

async function callsOf ({ run }: ConformanceCase): Promise<string[]> {
  const calls: string[] = []
  await run(async ({ now }) => observed(memoryStore({ now }), async method => calls.push(method)))
  return calls
}

/** Every method must be called, not every case run: each call makes Redis compile its script again. Those that call a hundred times call few methods. */
async function someCases (): Promise<ConformanceCase[]> {
  const missing = new Set(methods)
  const chosen: ConformanceCase[] = []
  for (const [i, one] of storeConformance.entries()) {
    const calls = await callsOf(one)
    if (calls.length >= 100 || (i % 4 !== 0 && !calls.some(method => missing.has(method)))) continue
    chosen.push(one)
    for (const method of calls) missing.delete(method)
  }
  return chosen
}

test('scripts that Redis has forgotten are sent again', { skip: await redisServerPath() === null && 'needs a Redis of its own' }, async t => {
  const server = await startRedis()
  t.teardown(() => server.stop())
  const redis = new Redis(server.url)
  const called = new Set<string>()
  // Every call finds a Redis that has forgotten all scripts, as after a restart, a flush or a failover.
  const forgetful = (store: TaskStore) => observed(store, async method => {
    called.add(method)
    await redis.script('FLUSH')
  })
  await holdToConformance(t, openOn(t, redis), forgetful, await someCases())
  t.same(methods.filter(name => !called.has(name)), [], 'every method was called')
})
