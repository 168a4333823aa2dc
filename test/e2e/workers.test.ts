import t from 'tap'
import { Redis } from 'ioredis'
import { messages } from '../../examples/chat/messages.ts'
import { freePort } from '../helpers/ports.ts'
import { redisUrl, removeKeys, uniquePrefix } from '../helpers/redis.ts'
import { startExample } from './example.ts'
import { Visitor } from './visitor.ts'

t.test('a server and two workers on Redis', async t => {
  const url = await redisUrl()
  const keyPrefix = uniquePrefix(t)
  t.teardown(async () => {
    const redis = new Redis(url)
    await removeKeys(redis, keyPrefix)
    redis.disconnect()
  })
  const env = { REDIS_URL: url, KEY_PREFIX: keyPrefix, LEASE_DURATION: '1000', CONCURRENCY: '1', PACE: '500' }
  const server = await startExample(t, 'server', { ...env, PORT: String(await freePort()) })
  const workers = [await startExample(t, 'worker', env), await startExample(t, 'worker', env)] as const
  const ada = await Visitor.arrive(server.address)

  await t.test('a worker dies by kill -9 in the middle of a chart, and the chart is made all the same', async t => {
    // Each worker makes one chart at a time: with two running, both have one.
    const tasks = await Promise.all(messages.slice(0, 2).map(({ id }) => ada.accepted(id)))
    await Promise.all(tasks.map(({ task_id }) => ada.watch(task_id, ({ status }) => status === 'PROCESSING')))
    t.equal(await workers[0].end('SIGKILL'), 'SIGKILL')

    const finished = await Promise.all(tasks.map(({ task_id }) => ada.finished(task_id)))
    t.same(finished.map(({ status }) => status), ['COMPLETED', 'COMPLETED'])
    t.same(finished.map(({ attempt }) => attempt).sort(), [1, 2], 'one of them at its second try')
    for (const { task_id } of finished) {
      t.match(await (await ada.ask(`/async/${task_id}/result`)).json(), { content: { svg: /^<svg/ } })
    }
  })

  await t.test('a worker that is asked to stop finishes what it has', async t => {
    const { task_id } = await ada.accepted(messages[2]!.id)
    await ada.watch(task_id, ({ status }) => status === 'PROCESSING')
    t.equal(await workers[1].end('SIGTERM'), 0)
    t.match(await ada.finished(task_id), { status: 'COMPLETED', attempt: 1 })
  })

  await t.test('without workers charts wait, for the server too to be another one', async t => {
    const { task_id } = await ada.accepted(messages[3]!.id)
    t.equal(await server.end('SIGTERM'), 0)
    const next = await startExample(t, 'server', { ...env, PORT: new URL(server.address).port })
    t.match(await ada.chartsOf(messages[3]!.id), { active_tasks: [{ task_id, status: 'PENDING' }] })
    const worker = await startExample(t, 'worker', env)
    t.match(await ada.finished(task_id), { status: 'COMPLETED', attempt: 1 })
    t.same([await worker.end('SIGINT'), await next.end('SIGINT')], [0, 0])
  })
})

t.test('a worker without Redis says so, and ends when it is asked to', async t => {
  const worker = await startExample(t, 'worker', { REDIS_HOST: '127.0.0.1', REDIS_PORT: String(await freePort()) })
  t.match(worker.output, /ECONNREFUSED/)
  t.equal(await worker.end('SIGTERM'), 0)
})
