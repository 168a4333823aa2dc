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
import { shortest } from './shortest.ts'
import { SideBySide } from './side-by-side.ts'

const seed = Number(process.env['PROPERTY_SEED'] ?? randomInt(2 ** 31))
const numRuns = Number(process.env['PROPERTY_RUNS'] ?? 30)

/** Where a script does what is plain, and returns. */
const PLAIN = /^local .*_plain\(.*\n(if \w+ then) (return .* end)$/m

/** A client by which every script is changed before it is run. */
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

type Kept = Record<string, { readonly value: unknown, readonly expires: number }>

/** What there is under a prefix: values in an order of their own, and when they expire (ms from now). */
async function readAll (redis: Redis, prefix: string): Promise<Kept> {
  const keys = (await redis.keys(`${prefix}*`)).filter(key => key !== `${prefix}plain`)
  const kept = await Promise.all(keys.map(async key => {
    const [value, expires] = await Promise.all([readOne(redis, key), redis.pttl(key)])
    return [key.slice(prefix.length), { value, expires }] as const
  }))
  return Object.fromEntries(kept.sort(([a], [b]) => a < b ? -1 : 1))
}

/** What few states have stands behind the words as JSON: in which order is nobody's business. */
const inOrder = (text: string) => text.replace(/ (\{.*\})$/gm, (_, json: string) => ` ${JSON.stringify(Object.entries(JSON.parse(json)).sort())}`)

async function readOne (redis: Redis, key: string): Promise<unknown> {
  switch (await redis.type(key)) {
    case 'string': return inOrder((await redis.get(key))!)
    case 'hash': return Object.entries(await redis.hgetall(key)).map(([field, value]) => [field, inOrder(value)]).sort()
    case 'zset': return redis.zrange(key, '0', '-1', 'WITHSCORES')
    default: return redis.lrange(key, 0, -1)
  }
}

const COUNT = (source: string) => source.replace(PLAIN, call => call.replace(' then ', ' then redis.call("INCR", KEYS[1] .. "plain") '))

const TOLERANCE = 3_000

function compare (actual: Kept, expected: Kept): void {
  const values = (kept: Kept) => Object.fromEntries(Object.entries(kept).map(([key, { value }]) => [key, value]))
  assert.deepEqual(values(actual), values(expected))
  for (const [key, { expires }] of Object.entries(actual)) assert.ok(Math.abs(expires - expected[key]!.expires) < TOLERANCE, `${key} expires in ${expires} ms, not ${expected[key]!.expires}`)
}

t.test(`the plain path leaves in Redis what the whole script leaves (PROPERTY_SEED=${seed})`, { skip: await redisServerPath() === null && 'needs a Redis of its own' }, async t => {
  // What others ask of it would delay one of the two stores, and with it what expires.
  const server = await startRedis()
  const { hostname: host, port } = new URL(server.url)
  const redis = new Redis({ host, port: Number(port) })
  const whole = changing({ host, port: Number(port) }, source => source.replace(PLAIN, ''))
  const counting = changing({ host, port: Number(port) }, COUNT)
  t.teardown(async () => {
    for (const client of [redis, whole, counting]) client.disconnect()
    await server.stop()
  })
  let answered = 0
  let asked = 0
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
      answered += Number(await redis.get(`{${prefixes[1]}}:plain`))
      asked += commands.filter(({ verb }) => verb === 'enqueue' || verb === 'dequeue' || verb === 'close').length
    } finally {
      await Promise.all(prefixes.map(prefix => removeKeys(redis, prefix)))
    }
  }

  const { counterexample, errorInstance } = await fc.check(fc.asyncProperty(plainSequences(60), play), { seed, numRuns, endOnFailure: true })
  t.comment(`${answered} of ${asked} calls were plain`)
  t.ok(answered > asked / 5, 'enough of the calls were plain')
  if (!counterexample) return
  const commands = await shortest(counterexample[0], rest => play(rest).then(() => false, () => true))
  t.comment(`PROPERTY_SEED=${seed} ends in a difference after\n${commands.map(command => JSON.stringify(command)).join('\n')}`)
  await play(commands)
  t.fail(`the difference has gone: a test that is not the same each time; it was: ${errorInstance}`)
})

t.test('creates and claims of what is traced are plain', { skip: await redisServerPath() === null && 'needs a Redis of its own' }, async t => {
  const server = await startRedis()
  const { hostname: host, port } = new URL(server.url)
  const redis = new Redis({ host, port: Number(port) })
  const counting = changing({ host, port: Number(port) }, COUNT)
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
