import { Redis } from 'ioredis'
import t from 'tap'
import { ChartQueueService, runWorker, type GenerateChart } from '../../lib/index.ts'
import { gate, until } from '../helpers/gate.ts'
import { readPage } from '../helpers/markdown.ts'
import { recordingLogger } from '../helpers/recording-logger.ts'
import { redisServerPath, startRedis } from '../helpers/redis.ts'
import { neededCommands } from '../../lib/store/redis/access.ts'
import { RedisStore } from '../../lib/store/redis/redis-store.ts'

const skip = await redisServerPath() === null && 'needs a Redis of its own'

interface Test { teardown (ended: () => unknown): unknown }

/** A service whose feed is up, on a Redis that a test may spoil; `admin` is its own connection. */
async function start (t: Test, { username = 'default', rules }: { username?: string, rules?: string[] } = {}) {
  const server = await startRedis({ config: ['--maxmemory-policy', 'noeviction'] })
  const admin = new Redis(server.url)
  if (rules) await admin.call('ACL', 'SETUSER', username, 'on', '>secret', ...rules)
  const redis = new Redis(server.url, { lazyConnect: true, ...(rules && { username, password: 'secret' }) })
  const logger = recordingLogger()
  const service = new ChartQueueService({ redis, logger })
  t.teardown(async () => {
    await service.close()
    redis.disconnect()
    admin.disconnect()
    await server.stop()
  })
  await service.ready(5_000)
  return { server, admin, service, logger }
}

t.test('a Redis that does not take writes is said to be not writable', { skip }, async t => {
  const { server, admin, service } = await start(t)
  await until(async () => (await service.checkHealth()).feed)
  const healthy = { store: true, feed: true, writable: true }
  t.strictSame(await service.checkHealth(), healthy)
  t.same(await admin.keys('*'), [], 'looking leaves nothing')

  const faults: Array<[what: string, spoil: () => Promise<unknown>, mend: () => Promise<unknown>]> = [
    ['full', () => admin.config('SET', 'maxmemory', '1mb'), () => admin.config('SET', 'maxmemory', '0')],
    ['without the replicas that it must write to', () => admin.config('SET', 'min-replicas-to-write', 1), () => admin.config('SET', 'min-replicas-to-write', 0)],
    ['forbidden', () => admin.call('ACL', 'SETUSER', 'default', '-set'), () => admin.call('ACL', 'SETUSER', 'default', '+set')],
    ['forbidden to run scripts', () => admin.call('ACL', 'SETUSER', 'default', '-evalsha', '-eval'), () => admin.call('ACL', 'SETUSER', 'default', '+evalsha', '+eval')]
  ]
  for (const [what, spoil, mend] of faults) {
    await spoil()
    t.match(await service.checkHealth(), { store: true, writable: false }, what)
    await mend()
    t.strictSame(await service.checkHealth(), healthy, `no longer ${what}`)
  }

  const master = await startRedis()
  t.teardown(() => master.stop())
  await admin.replicaof('127.0.0.1', master.port)
  await until(async () => /master_link_status:up/.test(await admin.info('replication')))
  await until(async () => {
    const { store, writable } = await service.checkHealth()
    return store && !writable
  })
  t.pass('a replica is read-only')
  await admin.replicaof('NO', 'ONE')
  await until(async () => (await service.checkHealth()).writable)
  await server.kill()
  t.match(await service.checkHealth(), { store: false, writable: false })
})

const lacking: Array<[what: string, rules: string[], missing: string[]]> = [
  ['the channels', ['~*', '+@all'], ['&{async-charts}:*']],
  ['the keys', ['&*', '+@all', '~others:*'], ['~{async-charts}:*']],
  ['some commands', ['~*', '&*', '+@all', '-zremrangebyrank', '-info', '-@blocking'], ['+blpop', '+zremrangebyrank', '+info']],
  ['keys and channels', ['~others:*', '&others:*', '+@all'], ['~{async-charts}:*', '&{async-charts}:*']],
  ['some commands on its own keys', ['~{async-charts}:*', '&{async-charts}:*', '+@all', '-hset', '-publish', '-set'], ['+hset', '+set', '+publish']],
  ['scripts', ['~*', '&*', '+@all', '-@scripting'], ['+evalsha', '+eval']]
]
for (const [what, rules, missing] of lacking) {
  t.test(`a Redis user that lacks ${what} is warned of at the start, and how to grant it`, { skip }, async t => {
    const { admin, service, logger } = await start(t, { username: 'charts', rules: ['resetchannels', ...rules] })
    const [{ details, message }] = logger.lines.filter(({ level }) => level === 'warn') as [typeof logger.lines[number]]
    t.same(details, { missing, grant: `ACL SETUSER charts ${missing.join(' ')}` })
    t.ok(message!.endsWith(String(details['grant'])))
    await admin.call(...String(details['grant']).split(' ') as [string])
    logger.lines.splice(0)
    await service.ready(5_000)
    t.same(logger.lines.filter(({ level }) => level === 'warn'), [], 'what it says helps')
  })
}

t.test('the user of the documentation may do all that is needed, and no more', { skip }, async t => {
  const [, line] = /^(ACL SETUSER charts .*)$/m.exec(readPage('docs/reference/redis-keys.md'))!
  const [,, , , ...rules] = line!.split(' ')
  t.same(rules.filter(rule => rule.startsWith('+') && !rule.includes('|')).map(rule => rule.slice(1)), neededCommands())

  const server = await startRedis()
  t.teardown(() => server.stop())
  const admin = new Redis(server.url)
  t.teardown(() => admin.disconnect())
  await admin.call(...line!.split(' ') as [string])
  const url = new URL(server.url)
  Object.assign(url, { username: 'charts', password: 'secret' })
  const logger = recordingLogger()
  const redis = new Redis(url.href)
  t.teardown(() => redis.disconnect())
  const service = new ChartQueueService({ redis, logger, limits: { runningPerTenant: 1, queueTimeout: 60_000 }, retry: { backoff: { delay: 10 } } })
  t.teardown(() => service.close())
  await service.ready(5_000)
  const started = gate()
  let runs = 0
  const generate: GenerateChart = async ({ adjustment_query }, { progress, step, signal }) => {
    if (adjustment_query === 'hold') {
      started.open()
      await new Promise(resolve => signal.addEventListener('abort', resolve))
    }
    progress({ step: 'rendering', progress: 10 })
    await step('query', () => 1)
    if (++runs === 1) throw new Error('again')
    return 'chart'
  }
  const worker = await runWorker({ redis, logger, handleSignals: false, generate })
  t.teardown(() => worker.stop())
  const ada = { user_id: 'ada' }
  const message_id = crypto.randomUUID()
  const { tasks: [first, second] } = await service.enqueueChartTasks([
    { message_id, ref: 'a' }, { message_id, depends_on: ['a'], adjustment_query: 'then' }
  ], ada, { idempotencyKey: 'once' })
  for (const { task } of [first!, second!]) {
    let last
    for await (const state of service.watchTask(task.task_id)) last = state
    t.match(last, { status: 'COMPLETED' })
  }
  const held = await service.enqueueChartTask({ message_id, adjustment_query: 'hold' }, ada)
  await started.opened
  t.match(await service.cancelTask(held.task.task_id), { status: 'CANCELLED' })
  await service.pauseQueue()
  await service.resumeQueue()
  await service.getMessageCharts(message_id, ada, { limit: 10, content: true })
  await service.listTasks()
  await service.cleanupExpiredTasks()
  await until(async () => (await service.checkHealth()).feed)
  t.strictSame(await service.checkHealth(), { store: true, feed: true, writable: true })
  await worker.stop()
  t.same(logger.lines.filter(({ level, message }) => level === 'warn' && message !== 'chart attempt failed, it will be retried'), [])
  t.same(await admin.call('ACL', 'LOG'), [], 'nothing was refused')
})

t.test('a registration that is refused does not make updates look lost', { skip }, async t => {
  const server = await startRedis()
  const redis = new Redis(server.url)
  const store = new RedisStore({ redis, keyPrefix: 'charts' })
  const feed: boolean[] = []
  const off = store.listen({ hint () {}, cancelled () {}, added () {}, feed: up => feed.push(up) })
  t.teardown(async () => {
    off()
    await store.close()
    redis.disconnect()
    await server.stop()
  })
  await until(() => feed.length > 0)
  await redis.call('ACL', 'SETUSER', 'default', '-set')
  const worker = { worker_id: 'worker', host: 'host', pid: 1, version: '1.0.0', concurrency: 1, state: 'running' as const, started_at: new Date().toISOString() }
  await t.rejects(store.registerWorker(worker), { code: 'CHARTS_ERR_STORE_UNAVAILABLE' })
  await until(async () => /cmdstat_publish:calls=\d/.test(await redis.info('commandstats')))
  t.same(feed, [true])
})
