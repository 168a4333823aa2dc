import { Redis } from 'ioredis'
import { test } from 'tap'
import { storeConformance } from '../../lib/store/conformance.ts'
import { Scene } from '../../lib/store/conformance/scene.ts'
import { RedisStore } from '../../lib/store/redis/redis-store.ts'
import { peculiar, redisUrl, removeKeys, uniquePrefix } from '../helpers/redis.ts'
import { holdToConformance, openOn } from '../helpers/stores.ts'

const url = await redisUrl()

// ioredis 5 runs all cases with these settings in a test of its own.
test('on a client with settings of its own', t =>
  holdToConformance(t, openOn(t, new Redis(url), new Redis(url, { ...peculiar, lazyConnect: true })), undefined, storeConformance.filter((_, i) => i % 4 === 2)))

// The option of ioredis 6; ioredis 5 always speaks RESP2.
const resp2: object = { protocol: 2 }
const someCases = storeConformance.filter((_, i) => i % 4 === 0)
test('on a client that speaks RESP2', t => holdToConformance(t, openOn(t, new Redis(url, resp2)), undefined, someCases))

test("the host's client is left as it is", async t => {
  // Its own commands are used here, and get the time that a busy machine needs.
  const redis = new Redis(url, { ...peculiar, commandTimeout: 10_000 })
  const admin = new Redis(url)
  const keyPrefix = uniquePrefix(t)
  t.teardown(async () => {
    await removeKeys(admin, keyPrefix)
    await admin.unlink(`host:${keyPrefix}`)
    redis.disconnect()
    admin.disconnect()
  })
  await redis.set(keyPrefix, 'before')
  const look = () => ({
    options: { ...redis.options },
    properties: Object.getOwnPropertyNames(redis).filter(name => typeof redis[name as keyof Redis] === 'function').sort(),
    listeners: redis.eventNames().map(name => [String(name), redis.listenerCount(name)]),
    commands: [...redis.getBuiltinCommands()].length,
    scripts: Object.keys(redis.options.scripts ?? {}),
    status: redis.status,
    mode: redis.mode
  })
  const before = look()
  const id = await redis.client('ID')
  await Scene.play(async () => new RedisStore({ redis, keyPrefix }), async scene => {
    scene.store.listen({ hint () {}, cancelled () {}, added () {}, feed () {} })
    await scene.store.ready(5_000)
    await scene.completed()
    await scene.store.waitForWork(1_000, new AbortController().signal)
    t.same(look(), before, 'while it is worked with')
  })
  t.same(look(), before, 'after close()')
  t.equal(await redis.get(keyPrefix), 'before', 'it still answers')
  t.same(await redis.client('ID'), id, 'on the same connection')
})

test("a client that the host has not connected is not connected for it, and a host's end is not ours", async t => {
  const redis = new Redis(url, { lazyConnect: true })
  const admin = new Redis(url)
  const keyPrefix = uniquePrefix(t)
  t.teardown(async () => {
    await removeKeys(admin, keyPrefix)
    admin.disconnect()
  })
  await Scene.play(async () => new RedisStore({ redis, keyPrefix }), async scene => {
    await scene.completed()
    t.equal(redis.status, 'wait')
    redis.disconnect()
    await scene.completed()
  })
})

test('a task whose record is gone is passed over, and holds nobody up', async t => {
  const redis = new Redis(url)
  const keyPrefix = uniquePrefix(t)
  t.teardown(async () => {
    await removeKeys(redis, keyPrefix)
    redis.disconnect()
  })
  await Scene.play(async () => new RedisStore({ redis, keyPrefix }), async scene => {
    const [first, lost, last] = await scene.enqueueMany(3)
    await redis.del(`{${keyPrefix}}:task:${lost}`)
    t.strictSame(await scene.claimIds({ count: 3 }), [first, last])
  })
})
