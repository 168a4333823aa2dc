import t from 'tap'
import { Redis } from 'ioredis'
import { RedisStore } from '../../lib/store/redis/redis-store.ts'
import { redisUrl, removeKeys, uniquePrefix } from '../helpers/redis.ts'

t.test('a process that was busy past a deadline takes the answer that came meanwhile', async t => {
  const redis = new Redis(await redisUrl())
  const keyPrefix = uniquePrefix(t)
  const store = new RedisStore({ redis, keyPrefix })
  t.teardown(async () => {
    await store.close()
    await removeKeys(redis, keyPrefix)
    redis.disconnect()
  })
  await store.ready(1_000)
  await store.stats()
  const stats = store.stats()
  // What is asked for leaves the process before it is busy.
  await new Promise(setImmediate)
  const until = performance.now() + 1_800
  while (performance.now() < until);
  t.equal((await stats).queue_length, 0)
  t.match(await store.checkHealth(), { store: true })
})
