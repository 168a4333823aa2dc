// The web process: accepts charts and streams their progress. It makes none.
import { timingSafeEqual } from 'node:crypto'
import Fastify from 'fastify'
import asyncCharts from 'fastify-async-charts'
import { identify } from './identify.js'
import { connectRedis, settings } from './settings.js'

const { port, scaleToken, trustProxy } = settings
const app = Fastify({ logger: true, trustProxy })
const redis = connectRedis(app.log)
await app.register(asyncCharts, { redis, identify })

const isAutoscaler = ({ headers: { authorization = '' } }) => {
  const [given, wanted] = [authorization, `Bearer ${scaleToken}`].map(text => Buffer.from(text))
  return Boolean(scaleToken) && given.length === wanted.length && timingSafeEqual(given, wanted)
}
// Nobody wants to read of each probe.
const quiet = { logLevel: 'warn' }

// That it answers is the proof. Redis is not asked: a restart would not bring it back.
app.get('/live', quiet, async () => ({ live: true }))

app.get('/ready', quiet, async (request, reply) => {
  const health = await app.asyncCharts.checkHealth()
  return reply.code(health.writable ? 200 : 503).send(health)
})

// The charts that could run now or are running: as many slots are needed.
app.get('/scale', quiet, async (request, reply) => {
  if (!isAutoscaler(request)) return reply.code(401).send({ statusCode: 401, error: 'Unauthorized', message: 'Not the autoscaler' })
  const { queue_length, delayed_count, processing_count } = await app.asyncCharts.getQueueStats()
  return { slots: queue_length - delayed_count + processing_count }
})

app.addHook('onClose', async () => redis.disconnect())
for (const signal of ['SIGTERM', 'SIGINT']) process.once(signal, () => app.close())
await app.listen({ host: '0.0.0.0', port })
