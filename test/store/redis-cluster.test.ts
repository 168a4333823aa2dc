import { Cluster } from 'ioredis'
import { test } from 'tap'
import { storeConformance } from '../../lib/store/conformance.ts'
import { RedisStore } from '../../lib/store/redis/redis-store.ts'
import { redisServerPath, startCluster, uniquePrefix } from '../helpers/redis.ts'

test('on a Cluster', { skip: await redisServerPath() === null && 'needs a Redis of its own' }, async t => {
  const cluster = await startCluster()
  const redis = new Cluster(cluster.nodes, { keyPrefix: 'host:', scaleReads: 'slave' })
  t.teardown(async () => {
    redis.disconnect()
    await cluster.stop()
  })
  for (const { name, run } of storeConformance) {
    await t.test(name, async t => {
      const keyPrefix = uniquePrefix(t)
      await t.resolves(run(async ({ now }) => new RedisStore({ redis, keyPrefix, now })))
    })
  }
})
