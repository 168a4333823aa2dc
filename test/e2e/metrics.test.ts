import { Redis } from 'ioredis'
import t from 'tap'
import { messages } from '../../examples/chat/messages.ts'
import { METRICS, type MetricName } from '../../lib/otel/names.ts'
import { until } from '../helpers/gate.ts'
import { freePort } from '../helpers/ports.ts'
import { redisUrl, removeKeys, uniquePrefix } from '../helpers/redis.ts'
import { prometheusName, samplesOf, type Sample } from '../helpers/prometheus.ts'
import { startExample } from './example.ts'
import { Visitor } from './visitor.ts'

async function scrape (address: string): Promise<Sample[]> {
  const response = await fetch(`${address}/metrics`)
  if (response.status !== 200) throw new Error(`${address}: ${response.status}`)
  return samplesOf(await response.text())
}

const find = (samples: readonly Sample[], name: string, labels: Record<string, string> = {}) =>
  samples.find(sample => sample.name === name && Object.entries(labels).every(([label, value]) => sample.labels[label] === value))?.value

t.test('a Prometheus that scrapes the server and the worker finds all metrics that a chart makes', async t => {
  const url = await redisUrl()
  const keyPrefix = uniquePrefix(t)
  t.teardown(async () => {
    const redis = new Redis(url)
    await removeKeys(redis, keyPrefix)
    redis.disconnect()
  })
  const env = { REDIS_URL: url, KEY_PREFIX: keyPrefix, PACE: '0' }
  const server = await startExample(t, 'metrics/server', { ...env, PORT: String(await freePort()) })
  const metricsPort = String(await freePort())
  const worker = await startExample(t, 'metrics/worker', { ...env, METRICS_PORT: metricsPort })
  const workerAddress = `http://127.0.0.1:${metricsPort}`
  const ada = await Visitor.arrive(server.address)
  const { task_id } = await ada.accepted(messages[0]!.id)
  t.match(await ada.finished(task_id), { status: 'COMPLETED' })
  await until(async () => find(await scrape(workerAddress), 'async_charts_tasks_finished_total', { status: 'COMPLETED' }) === 1)

  const [web, work] = [await scrape(server.address), await scrape(workerAddress)]
  const queue = { messaging_destination_name: keyPrefix, messaging_system: 'fastify_async_charts' }
  t.equal(find(web, 'messaging_client_sent_messages_total', { ...queue, async_charts_outcome: 'queued' }), 1)
  t.equal(find(web, 'messaging_client_operation_duration_count', { ...queue, messaging_operation_name: 'send' }), 1)
  for (const state of ['waiting', 'delayed', 'processing']) t.equal(find(web, 'async_charts_tasks', { ...queue, state }), 0)
  t.equal(find(web, 'async_charts_queue_oldest_age', queue), 0)
  t.equal(find(web, 'async_charts_queue_paused', queue), 0)
  t.equal(find(web, 'async_charts_feed_up', queue), 1)
  t.equal(find(web, 'async_charts_streams', { ...queue, transport: 'sse' }) ?? 0, 0)
  t.equal(find(work, 'messaging_client_consumed_messages_total', queue), 1)
  t.equal(find(work, 'messaging_process_duration_count', { ...queue, async_charts_outcome: 'completed' }), 1)
  t.equal(find(work, 'async_charts_attempts_total', { ...queue, outcome: 'completed' }), 1)
  t.equal(find(work, 'async_charts_task_wait_duration_count', { ...queue, priority: 'normal' }), 1)
  t.equal(find(work, 'async_charts_task_duration_count', { ...queue, status: 'COMPLETED' }), 1)
  t.ok(find(work, 'async_charts_worker_slots', { ...queue, state: 'free' }))
  t.equal(find(work, 'async_charts_tasks', queue), undefined, 'one process reads the queue')

  const known = (Object.keys(METRICS) as MetricName[]).map(name => prometheusName(name))
  for (const { name } of [...web, ...work]) {
    if (name === 'target_info') continue
    t.ok(known.includes(name.replace(/_(bucket|sum|count)$/, '')), `${name} is in the table`)
  }
  t.same([await worker.end('SIGTERM'), await server.end('SIGTERM')], [0, 0])
})
