import assert from 'node:assert/strict'
import { createHash, randomInt } from 'node:crypto'
import { Redis } from 'ioredis'
import * as fc from 'fast-check'
import t from 'tap'
import { scripts } from '../../lib/store/redis/scripts.ts'
import { RedisStore } from '../../lib/store/redis/redis-store.ts'
import { Scene } from '../../lib/store/conformance/scene.ts'
import { redisServerPath, removeKeys, startRedis, uniquePrefix } from '../helpers/redis.ts'
import { plainSequences, traces, type Command } from './commands.ts'
import { shrink } from './shrink.ts'
import { SideBySide } from './side-by-side.ts'

const seed = Number(process.env['PROPERTY_SEED'] ?? randomInt(2 ** 31))
const numRuns = Number(process.env['PROPERTY_RUNS'] ?? 30)

/** The line in which a script takes the plain path, and returns if that succeeds. */
const PLAIN = /^local .*_plain\(.*\n(if \w+ then) (return .* end)$/m

/** A client that changes every script before it runs. */
function changing (options: { readonly host: string, readonly port: number }, change: (source: string) => string): Redis {
  const client = new Redis(options)
  const { evalsha, eval: evaluate } = client
  const changed = new Map(Object.values(scripts).map(({ sha, source }) => [sha, createHash('sha1').update(change(source)).digest('hex')]))
  return Object.assign(client, {
    duplicate: (more: object) => changing({ ...options, ...more }, change),
    evalsha: (sha: string, keys: number, ...args: string[]) => evalsha.call(client, changed.get(sha)!, keys, ...args),
    eval: (source: string, keys: number, ...args: string[]) => evaluate.call(client, change(source), keys, ...args)
  })
}

type Keys = Record<string, { readonly value: unknown, readonly expires: number }>

/** Everything under a prefix: normalised values, and when the keys expire (ms from now). */
async function readAll (redis: Redis, prefix: string): Promise<Keys> {
  const keys = (await redis.keys(`${prefix}*`)).filter(key => key !== `${prefix}plain`)
  const entries = await Promise.all(keys.map(async key => {
    const [value, expires] = await Promise.all([readOne(redis, key), redis.pttl(key)])
    return [key.slice(prefix.length), { value, expires }] as const
  }))
  return Object.fromEntries(entries.sort(([a], [b]) => a < b ? -1 : 1))
}

/** Sorts the members of the JSON at the end of a record. Their order has no meaning. */
const inOrder = (text: string) => text.replace(/ (\{.*\})$/gm, (_, json: string) => ` ${JSON.stringify(Object.entries(JSON.parse(json)).sort())}`)

async function readOne (redis: Redis, key: string): Promise<unknown> {
  switch (await redis.type(key)) {
    case 'string': return inOrder((await redis.get(key))!)
    case 'hash': return Object.entries(await redis.hgetall(key)).map(([field, value]) => [field, inOrder(value)]).sort()
    case 'zset': return redis.zrange(key, '0', '-1', 'WITHSCORES')
    default: return redis.lrange(key, 0, -1)
  }
}

const countPlain = (source: string) => source.replace(PLAIN, call => call.replace(' then ', ' then redis.call("INCR", KEYS[1] .. "plain") '))

/** ms */
const TOLERANCE = 3_000

function compare (actual: Keys, expected: Keys): void {
  const values = (keys: Keys) => Object.fromEntries(Object.entries(keys).map(([key, { value }]) => [key, value]))
  assert.deepEqual(values(actual), values(expected))
  for (const [key, { expires }] of Object.entries(actual)) assert.ok(Math.abs(expires - expected[key]!.expires) < TOLERANCE, `${key} expires in ${expires} ms, not ${expected[key]!.expires}`)
}

t.test(`the plain path and the whole script leave the same in Redis (PROPERTY_SEED=${seed})`, { skip: await redisServerPath() === null && 'needs a Redis of its own' }, async t => {
  // A Redis of its own: load by others would delay one of the two stores, so that expiries differ.
  const server = await startRedis()
  const { hostname: host, port } = new URL(server.url)
  const redis = new Redis({ host, port: Number(port) })
  const whole = changing({ host, port: Number(port) }, source => source.replace(PLAIN, ''))
  const counting = changing({ host, port: Number(port) }, countPlain)
  t.teardown(async () => {
    for (const client of [redis, whole, counting]) client.disconnect()
    await server.stop()
  })
  let plain = 0
  let calls = 0
  const play = async (commands: readonly Command[]) => {
    const prefixes = [uniquePrefix(t), uniquePrefix(t)] as const
    const look = async () => {
      const [expected, actual] = await Promise.all(prefixes.map(prefix => readAll(redis, `{${prefix}}:`)))
      compare(actual!, expected!)
    }
    try {
      await SideBySide.play(now => [
        new RedisStore({ redis: whole, keyPrefix: prefixes[0], now }), new RedisStore({ redis: counting, keyPrefix: prefixes[1], now })
      ], commands, look)
      plain += Number(await redis.get(`{${prefixes[1]}}:plain`))
      calls += commands.filter(({ verb }) => verb === 'enqueue' || verb === 'claim' || verb === 'settle').length
    } finally {
      await Promise.all(prefixes.map(prefix => removeKeys(redis, prefix)))
    }
  }

  const { counterexample, errorInstance } = await fc.check(fc.asyncProperty(plainSequences(60), play), { seed, numRuns, endOnFailure: true })
  t.comment(`${plain} of ${calls} calls took the plain path`)
  t.ok(plain > calls / 5, 'enough calls took the plain path')
  if (!counterexample) return
  const commands = await shrink(counterexample[0], rest => play(rest).then(() => false, () => true))
  t.comment(`PROPERTY_SEED=${seed}: the stores differ after\n${commands.map(command => JSON.stringify(command)).join('\n')}`)
  await play(commands)
  t.fail(`the difference did not occur again, the test is not deterministic. It was: ${errorInstance}`)
})

t.test('creates and claims of traced tasks take the plain path', { skip: await redisServerPath() === null && 'needs a Redis of its own' }, async t => {
  const server = await startRedis()
  const { hostname: host, port } = new URL(server.url)
  const redis = new Redis({ host, port: Number(port) })
  const counting = changing({ host, port: Number(port) }, countPlain)
  t.teardown(async () => {
    for (const client of [redis, counting]) client.disconnect()
    await server.stop()
  })
  const keyPrefix = uniquePrefix(t)
  await Scene.play(async ({ now }) => new RedisStore({ redis: counting, keyPrefix, now }), async scene => {
    const idempotency = { key: 'key', body: 'body' }
    for (const trace of traces) {
      await scene.enqueue({ trace })
      await scene.enqueue({ trace, force: true })
    }
    await scene.enqueue({ trace: traces[1]!, idempotency })
    await scene.store.enqueueBatch(crypto.randomUUID(), traces.map(trace => scene.draft({ trace })))
    const { tasks } = await scene.claim({ count: 7 })
    t.same(tasks.map(({ trace }) => trace), [traces[0], traces[0], traces[1], traces[1], traces[1], ...traces])
    t.equal(Number(await redis.get(`{${keyPrefix}}:plain`)), 7)
  })
})
