import { setTimeout as delay } from 'node:timers/promises'
import { Redis } from 'ioredis'
import t from 'tap'
import { runWorker } from '../../lib/index.ts'
import { until } from '../helpers/gate.ts'
import { redisServerPath, startRedis } from '../helpers/redis.ts'

const SECONDS = 12

t.test('an idle worker sends well under one command a second', { skip: await redisServerPath() === null && 'needs a Redis of its own' }, async t => {
  const server = await startRedis()
  const redis = new Redis(server.url)
  const worker = await runWorker({ redis, generate: async () => null, handleSignals: false })
  t.teardown(async () => {
    await worker.stop()
    redis.disconnect()
    await server.stop()
  })
  await until(async () => await redis.exists('{async-charts}:2:workers') === 1)
  const monitor = await redis.monitor()
  t.teardown(() => monitor.disconnect())
  const sent: string[] = []
  // What a script calls inside costs no round trip; only what arrives counts.
  monitor.on('monitor', (_time: string, [name]: string[], source: string) => { if (source !== 'lua') sent.push(name!) })
  await delay(SECONDS * 1_000)
  t.equal(await redis.exists('{async-charts}:2:workers'), 1, 'the worker is still told')
  const count = sent.filter(name => name !== 'exists').length
  t.comment(`idle: ${count} commands in ${SECONDS} s, ${(count / SECONDS).toFixed(2)} a second (${sent.join(', ')})`)
  t.ok(count > 0 && count / SECONDS <= 0.5, `${count} commands in ${SECONDS} s`)
})
