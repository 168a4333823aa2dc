import { setTimeout as delay } from 'node:timers/promises'
import { Redis } from 'ioredis'
import t from 'tap'
import { runWorker } from '../../lib/index.ts'
import { redisServerPath, startRedis } from '../helpers/redis.ts'

const SECONDS = 12
const OWN = ['info', 'config|resetstat']

t.test('an idle worker sends well under one command a second', { skip: await redisServerPath() === null && 'needs a Redis of its own' }, async t => {
  const server = await startRedis()
  const redis = new Redis(server.url)
  const worker = await runWorker({ redis, generate: async () => null, handleSignals: false })
  t.teardown(async () => {
    await worker.stop()
    redis.disconnect()
    await server.stop()
  })
  await delay(500)
  await redis.config('RESETSTAT')
  await delay(SECONDS * 1_000)
  const stats = await redis.info('commandstats')
  const calls = [...stats.matchAll(/^cmdstat_(\S+?):calls=(\d+)/gm)].filter(([, name]) => !OWN.includes(name!))
  // What a script calls inside costs no round trip; only what arrives counts.
  const sent = calls.filter(([, name]) => ['evalsha', 'eval', 'blpop', 'publish', 'subscribe', 'ping'].includes(name!))
  const count = sent.reduce((sum, [, , calls]) => sum + Number(calls), 0)
  t.comment(`idle: ${count} commands in ${SECONDS} s, ${(count / SECONDS).toFixed(2)} a second (${sent.map(([, name, calls]) => `${name} ${calls}`).join(', ')})`)
  t.ok(count / SECONDS <= 0.5, `${count} commands in ${SECONDS} s`)
})
