import t from 'tap'
import { EventSource } from 'eventsource'
import Fastify from 'fastify'
import { Redis } from 'ioredis'
import asyncCharts, { runWorker } from '../../lib/index.ts'
import { redisUrl, removeKeys, uniquePrefix } from '../helpers/redis.ts'

t.test('one chart goes from POST through a worker and SSE to its result, on Redis', async t => {
  const redis = new Redis(await redisUrl())
  const keyPrefix = uniquePrefix(t)
  const app = Fastify()
  await app.register(asyncCharts, { redis, keyPrefix, identify: () => ({ user_id: 'ada' }) })
  const worker = await runWorker({
    redis,
    keyPrefix,
    handleSignals: false,
    generate: async (request, context) => {
      context.progress({ step: 'rendering', step_progress: 50, progress: 50 })
      return { asked: request.adjustment_query }
    }
  })
  t.teardown(async () => {
    await app.close()
    await worker.stop()
    await removeKeys(redis, keyPrefix)
    redis.disconnect()
  })
  const address = await app.listen({ port: 0 })
  const base = `${address}/api/v1/analytics/charts`

  const created = await fetch(`${base}/async`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ message_id: 'b4fb1bd1-0f68-4e51-9d3c-3cba7b1e0b8e', adjustment_query: 'as a line chart' })
  })
  t.equal(created.status, 202)
  const task = await created.json() as { task_id: string, status: string }
  t.equal(task.status, 'PENDING')

  const source = new EventSource(`${base}/stream/${task.task_id}`)
  const versions: number[] = []
  await new Promise<void>(resolve => {
    source.onmessage = event => {
      const { type, data } = JSON.parse(event.data)
      t.equal(type, 'status_update')
      t.equal(event.lastEventId, String(data.version))
      versions.push(data.version)
      if (data.status === 'COMPLETED') resolve()
    }
  })
  source.close()
  t.same(versions, [...versions].sort((a, b) => a - b), 'versions only grow')

  const result = await fetch(`${base}/async/${task.task_id}/result`)
  t.equal(result.status, 200)
  t.match(await result.json(), { task_id: task.task_id, user_id: 'ada', content: { asked: 'as a line chart' } })
})
