import { randomUUID } from 'node:crypto'
import { Redis } from 'ioredis'
import { test } from 'tap'
import { failing, LEASE, Scene } from '../../lib/store/conformance/scene.ts'
import { RedisStore } from '../../lib/store/redis/redis-store.ts'
import { redisServerPath, startRedis } from '../helpers/redis.ts'

const PREFIX = '{async-charts}:'
const message_id = '9f0cf2a2-9b5c-4f3e-8f31-6f0f5a3c1d11'
const DAY = 86_400

test('the keys and channels of the store', { skip: await redisServerPath() === null && 'needs a Redis of its own' }, async t => {
  const server = await startRedis()
  const redis = new Redis(server.url)
  t.teardown(async () => {
    redis.disconnect()
    await server.stop()
  })
  t.beforeEach(() => redis.flushall())
  /** On Redis' own clock and with Redis' own TTLs. */
  const play = (scene: (scene: Scene) => Promise<void>) => Scene.play(async () => new RedisStore({ redis, keyPrefix: 'async-charts' }), scene)

  /** The seconds that each key is kept, by its name without the prefix; -1 where it does not expire. */
  async function ttls (): Promise<Map<string, number>> {
    const found = new Map<string, number>()
    for (const key of await redis.keys('*')) found.set(key.slice(PREFIX.length), await redis.ttl(key))
    return found
  }

  await t.test('all carry the one hash tag', async t => {
    const channels = new Set<string>()
    const subscriber = redis.duplicate()
    t.teardown(() => subscriber.disconnect())
    await subscriber.psubscribe('*')
    subscriber.on('pmessage', (_pattern, channel) => channels.add(channel))
    await play(async scene => {
      const acme = { message_id, org_id: 'acme', visibility: 'ORGANIZATION', idempotency: { key: 'key', body: 'body' } } as const
      await scene.completed(acme)
      await scene.enqueueMany(4, { message_id, org_id: 'acme' })
      const claimed = await scene.claimOne({ runningPerTenant: 1 })
      await scene.claimIds({ runningPerTenant: 1, count: 5 })
      await scene.store.progress([{ task_id: claimed.task.task_id, lease: claimed.lease, progress: 1, step: 'step', step_progress: { step: 1 } }])
      await scene.store.settleAttempts([failing(claimed, { delay: 60_000 })], null)
      const running = await scene.claimOne()
      await scene.store.progress([{ task_id: running.task.task_id, lease: running.lease, progress: 1, step: 'step', step_progress: { step: 1 } }])
      await scene.store.cancel((await scene.claimed()).task.task_id)
      await scene.enqueue()
    })
    const keys = await redis.keys('*')
    t.same(keys.filter(key => !key.startsWith(PREFIX)), [])
    const kinds = new Set(keys.map(key => key.slice(PREFIX.length).replace(/^2:/, '').split(':')[0]))
    for (const kind of ['task', 'states', 'attempts', 'chart', 'queue', 'processing', 'delayed', 'capped', 'finished', 'idempotency', 'message_tasks', 'message_charts']) {
      t.ok(kinds.has(kind), `${kind} is among them`)
    }
    t.ok(channels.has(`${PREFIX}cancelled`))
    t.ok([...channels].some(channel => channel.startsWith(`${PREFIX}updates:`)))
    t.same([...channels].filter(channel => !channel.startsWith(PREFIX)), [])
  })

  await t.test('the message index has the name that an operator looks for', async t => {
    await play(async scene => { await scene.enqueue({ message_id, user_id: 'ada@example.org' }) })
    t.equal(await redis.type(`${PREFIX}message_tasks:${message_id}:ada@example.org`), 'zset')
  })

  await t.test('nothing of an unfinished task expires', async t => {
    await play(async scene => {
      const short = { message_id, retention: { task: 1, status: 1, messageIndex: 1 } }
      await scene.completed({ ...short, dedup_key: 'alike' })
      await scene.enqueueMany(4, { ...short, dedup_key: 'alike', force: true })
      await scene.enqueue({ ...short, idempotency: { key: 'key', body: 'body' } })
      const [running, retried, released] = [await scene.claimOne(), await scene.claimOne(), await scene.claimOne()]
      await scene.store.progress([{ task_id: running.task.task_id, lease: 1, progress: 1, step: 'step', step_progress: { step: 1 } }])
      await scene.fail(retried, { delay: 60_000 })
      await scene.release(released)
      const found = await ttls()
      const unfinished = (await scene.store.readActive({ message_id, user_id: 'ada', limit: 10 })).map(task => task.task_id)
      t.equal(unfinished.length, 5)
      const needed = [
        ...unfinished.map(id => `task:${id}`), `message_tasks:${message_id}:ada`, `2:attempts:${retried.task.task_id}`,
        ...['states', 'queue:normal', 'shares', 'turns:normal', 'processing', 'delayed', 'waiting', 'running', 'idempotency:key'].map(name => `2:${name}`)
      ]
      t.same(Object.fromEntries(needed.map(key => [key, found.get(key)])), Object.fromEntries(needed.map(key => [key, -1])))
    })
  })

  await t.test('what has ended is kept as long as its retention says', async t => {
    await play(async scene => {
      const wish = { message_id, org_id: 'acme', visibility: 'PUBLIC', dedup_key: 'alike', idempotency: { key: 'key', body: 'body' } } as const
      const claimed = await scene.claimed(wish)
      const { task: { task_id }, lease } = claimed
      await scene.store.progress([{ task_id, lease, progress: 1, step: 'step', step_progress: { step: 1 } }])
      const { finished } = await scene.complete(claimed)
      const expected: Record<string, number> = {
        [`task:${task_id}`]: DAY,
        [`chart:${finished!.chart_id}`]: DAY,
        '2:idempotency:key': DAY,
        '2:finished': DAY,
        [`message_tasks:${message_id}:ada`]: DAY,
        [`message_charts:${message_id}:acme`]: DAY
      }
      const found = await ttls()
      for (const [key, seconds] of Object.entries(expected)) {
        const left = found.get(key) ?? NaN
        t.ok(left > seconds - 60 && left <= seconds, `${key} is kept ${seconds} s, ${left} are left`)
      }
      t.same([...found].filter(([, left]) => left < 0), [], 'nothing is left that does not expire')
      t.same([...found.keys()].filter(key => !(key in expected)).sort(), ['2:claim:worker', '2:work_signal'], 'nothing else is left')
      t.ok(found.get('2:claim:worker')! <= LEASE / 1000)
    })
  })

  await t.test('the index outlives its tasks only by what it is told', async t => {
    await play(async scene => {
      await scene.completed({ message_id, retention: { task: 100, status: 50, messageIndex: 300 } })
      const left = (await ttls()).get(`message_tasks:${message_id}:ada`)!
      t.ok(left > 240 && left <= 300, `${left} s are left`)
      const { task_id } = await scene.enqueue({ message_id, retention: { task: 100, status: 50, messageIndex: 300 } })
      t.equal((await ttls()).get(`message_tasks:${message_id}:ada`), -1, 'an unfinished task keeps it')
      await scene.store.cancel(task_id)
      t.ok((await ttls()).get(`message_tasks:${message_id}:ada`)! > 240)
    })
  })

  await t.test('an index that lives on does not collect what is gone', async t => {
    await play(async scene => {
      const wish = { message_id, retention: { task: 1, status: 1, messageIndex: 100 } }
      await scene.completed(wish)
      await scene.completed({ ...wish, dedup_key: 'twins' })
      await scene.completed({ ...wish, dedup_key: 'twins', force: true })
      while (await redis.keys(`${PREFIX}task:*`).then(keys => keys.length > 0)) await redis.blpop(randomUUID(), 0.05)
      const dedup_key = randomUUID()
      const { task_id } = await scene.completed({ ...wish, dedup_key })
      t.same(await redis.zrange(`${PREFIX}message_tasks:${message_id}:ada`, '0', '-1'), [task_id, `=${dedup_key}`])
    })
  })

  await t.test('with the queue idle and the retention passed nothing is left', async t => {
    await play(async scene => {
      const wish = { message_id, org_id: 'acme', visibility: 'ORGANIZATION', retention: { task: 1, status: 1, messageIndex: 1 } } as const
      const leaseDuration = 500
      for (let i = 0; i < 5; i++) await scene.enqueue({ ...wish, attempts: 1, idempotency: { key: randomUUID(), body: 'body' } })
      const { tasks: [done, failed, cancelled, ...lost] } = await scene.claim({ count: 10, leaseDuration })
      await scene.store.progress([{ task_id: done!.task.task_id, lease: 1, progress: 1, step: 'step', step_progress: { step: 1 } }])
      await scene.complete(done!)
      await scene.fail(failed!)
      await scene.store.cancel(cancelled!.task.task_id)
      let gone = 0
      while (gone < lost.length) gone += (await scene.claim({ leaseDuration })).lost.length
      while ((await scene.store.read([lost[0]!.task.task_id]))[0]) await redis.blpop(randomUUID(), 0.05)
      await scene.store.cleanup()
      // As an idle worker does, which is there where there is a queue.
      await scene.store.waitForWork(1_000, new AbortController().signal)
      t.same(await redis.keys('*'), [])
    })
  })

  await t.test('a clean-up removes what Redis has not expired yet', async t => {
    let now = Date.now()
    await Scene.play(async () => new RedisStore({ redis, keyPrefix: 'async-charts', now: () => now }), async scene => {
      const { task_id, chart_id } = await scene.completed()
      now += DAY * 1_000
      t.equal(await scene.store.cleanup(), 1)
      const left = await ttls()
      for (const key of [`task:${task_id}`, `chart:${chart_id}`, '2:finished']) t.notOk(left.has(key), key)
    })
  })
})
