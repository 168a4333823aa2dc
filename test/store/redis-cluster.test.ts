import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { Cluster, Redis } from 'ioredis'
import { test } from 'tap'
import { ChartQueueService } from '../../lib/index.ts'
import { storeConformance } from '../../lib/store/conformance.ts'
import { RedisStore } from '../../lib/store/redis/redis-store.ts'
import { redisServerPath, startCluster, uniquePrefix, type RedisCluster } from '../helpers/redis.ts'
import { holdToConformance } from '../helpers/stores.ts'

/** Every script must run on a Cluster, not every case: the scripts are those of one Redis. */
const someCases = storeConformance.filter((_, i) => i % 3 === 0)
const skip = await redisServerPath() === null && 'needs a Redis of its own'

test('on a Cluster', { skip }, async t => {
  const cluster = await startCluster()
  const redis = new Cluster(cluster.nodes, { keyPrefix: 'host:', scaleReads: 'slave' })
  t.teardown(async () => {
    redis.disconnect()
    await cluster.stop()
  })
  await holdToConformance(t, async ({ now }) => new RedisStore({ redis, keyPrefix: uniquePrefix(t), now }), undefined, someCases)
})

test('while a Cluster moves the slot to another node', { skip }, async t => {
  const cluster = await startCluster()
  const redis = new Cluster(cluster.nodes)
  const keyPrefix = uniquePrefix(t)
  const queue = new ChartQueueService({ redis, keyPrefix })
  t.teardown(async () => {
    await queue.close()
    redis.disconnect()
    await cluster.stop()
  })
  await queue.ready(5_000)
  const user = { user_id: 'ada' }
  const enqueue = () => queue.enqueueChartTask({ message_id: randomUUID() }, user)
  for (let i = 0; i < 5; i++) await enqueue()
  const { task, lease } = (await queue.dequeueChartTask())!

  const move = await startToMove(cluster, `{${keyPrefix}}:`)
  const answers = await Promise.allSettled([
    queue.getTaskStatus(task.task_id), queue.getQueueStats(), queue.completeTask(task.task_id, lease, { content: 'made' }),
    queue.extendLease(task.task_id, lease), enqueue(), queue.cancelTask(task.task_id), queue.dequeueChartTask()
  ])
  for (const answer of answers) t.match(answer, { status: 'rejected', reason: { code: 'CHARTS_ERR_STORE_UNAVAILABLE' } }, 'nobody is told what half of the keys say')
  await move.finish()

  t.equal((await reached(() => queue.getTaskStatus(task.task_id)))?.status, 'PROCESSING')
  t.equal(await queue.completeTask(task.task_id, lease, { content: 'made' }), true)
  for (let left = 4; left > 0; left--) {
    const next = await queue.dequeueChartTask()
    t.equal(await queue.completeTask(next!.task.task_id, next!.lease, { content: 'made' }), true)
  }
  t.match(await queue.getQueueStats(), { queue_length: 0, processing_count: 0 })
})

/** What `redis-cli --cluster reshard` does to the slot of `key`, up to where the keys begin to go. */
async function startToMove (cluster: RedisCluster, key: string): Promise<{ finish: () => Promise<void> }> {
  const nodes = cluster.servers.map(({ url, port }) => ({ port, client: new Redis(url) }))
  const slot = Number(await nodes[0]!.client.cluster('KEYSLOT', key))
  const owner = await nodes[0]!.client.call('CLUSTER', 'SLOTS') as Array<[first: number, last: number, node: [host: string, port: number]]>
  const [,, [, ownerPort]] = owner.find(([first, last]) => first <= slot && slot <= last)!
  const from = nodes.find(({ port }) => port === ownerPort)!
  const to = nodes.find(({ port }) => port !== ownerPort)!
  const idOf = (client: Redis) => client.cluster('MYID') as Promise<string>
  await to.client.call('CLUSTER', 'SETSLOT', slot, 'IMPORTING', await idOf(from.client))
  await from.client.call('CLUSTER', 'SETSLOT', slot, 'MIGRATING', await idOf(to.client))
  return {
    finish: async () => {
      for (const name of await from.client.call('CLUSTER', 'GETKEYSINSLOT', slot, 1_000) as string[]) {
        await from.client.call('MIGRATE', '127.0.0.1', to.port, name, 0, 1_000)
      }
      for (const { client } of [to, from]) await client.call('CLUSTER', 'SETSLOT', slot, 'NODE', await idOf(to.client))
      for (const { client } of nodes) client.disconnect()
    }
  }
}

/** The answer, once the Cluster gives one. */
async function reached<T> (ask: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await ask()
    } catch {
      await sleep(50)
    }
  }
}
