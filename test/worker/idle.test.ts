import { connect } from 'node:net'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { Redis } from 'ioredis'
import t from 'tap'
import { runWorker } from '../../lib/index.ts'
import { until } from '../helpers/gate.ts'
import { redisServerPath, startRedis } from '../helpers/redis.ts'

const SECONDS = 12

t.test('an idle worker sends well under one command a second', { skip: await redisServerPath() === null && 'needs a Redis of its own' }, async t => {
  const server = await startRedis()
  t.teardown(() => server.stop())
  const redis = new Redis(server.url)
  t.teardown(() => redis.disconnect())
  const worker = await runWorker({ redis, generate: async () => null, handleSignals: false })
  t.teardown(() => worker.stop())
  await until(async () => await redis.exists('{async-charts}:2:workers') === 1 && / cmd=blpop /.test(String(await redis.client('LIST'))))
  // Not the monitor of ioredis: it fails, and connects again for ever, if a command arrives together with the reply to MONITOR.
  const monitor = connect(server.port, '127.0.0.1')
  t.teardown(() => monitor.destroy())
  monitor.write('MONITOR\r\n')
  const sent: string[] = []
  let monitoring = false
  createInterface(monitor).on('line', line => {
    monitoring = true
    // What a script calls inside costs no round trip; only what arrives counts.
    const [, source, name] = /^\+[\d.]+ \[\d+ (\S+)\] "(\w+)"/.exec(line) ?? []
    if (name && source !== 'lua') sent.push(name)
  })
  await until(() => monitoring)
  await delay(SECONDS * 1_000)
  t.equal(await redis.exists('{async-charts}:2:workers'), 1, 'the worker is still told')
  await until(() => sent.includes('exists'))
  const count = sent.filter(name => name !== 'exists').length
  t.comment(`idle: ${count} commands in ${SECONDS} s, ${(count / SECONDS).toFixed(2)} a second (${sent.join(', ')})`)
  t.ok(count > 0 && count / SECONDS <= 0.5, `${count} commands in ${SECONDS} s`)
})
