import { Redis } from 'ioredis'
import t from 'tap'
import { queueOf } from '../../lib/chart-queue-service.ts'
import { ChartGenerationError, ChartQueueService } from '../../lib/index.ts'
import { RedisStore } from '../../lib/store/redis/redis-store.ts'
import { tracingChannels } from '../../lib/telemetry/channels.ts'
import { proseOf, readPage } from '../helpers/markdown.ts'
import { redisUrl, removeKeys, uniquePrefix } from '../helpers/redis.ts'

const page = proseOf(readPage('docs/reference/redis-keys.md'))
const section = (heading: string) => page.split(/^#+ /m).find(part => part.startsWith(`${heading}\n`))!
const cells = (heading: string, pattern: RegExp) => [...section(heading).matchAll(pattern)].map(([, name, second]) => [name!, second!] as const)

const keys = new Map(cells('Keys', /^\| `\{async-charts\}:(\S+)` \| ([\w ]+) \|/gm))
/** The words of a record or a state, in their order, and behind them what few tasks have. */
function lineOf (heading: string): { words: string[], rare: string[] } {
  const [words, rare] = section(heading).split('| field | |').map(part => [...part.matchAll(/^\| `(\w+)` \|/gm)].map(([, name]) => name!))
  return { words: words!, rare: rare! }
}
const record = lineOf('Record of a task')
const state = lineOf('State of a task')
const channels = cells('Channels', /^\| `\{async-charts\}:(\S+)` \|(.)/gm).map(([name]) => name)

/** `task:<task_id>` is any key that starts with `task:`. */
function named (names: Iterable<string>, actual: string): string {
  const found = [...names].find(name => new RegExp(`^${name.replace(/<\w+>/g, '.+')}$`).test(actual))
  return found ?? `not on the page: ${actual}`
}

const KEYS_AND_TYPES = `
  local found = {}
  for i, key in ipairs(redis.call('KEYS', ARGV[1])) do found[i] = { key, redis.call('TYPE', key).ok } end
  return found`

const TRACE = { traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', tracestate: 'vendor=1' }

t.test('the page names every key, type, field and channel that tasks make, and no other', async t => {
  const redis = new Redis(await redisUrl())
  const listener = redis.duplicate()
  const keyPrefix = uniquePrefix(t)
  const prefix = `{${keyPrefix}}:`
  const service = new ChartQueueService({
    redis,
    keyPrefix,
    limits: { runningPerTenant: 1, queueTimeout: 3_600_000 },
    tenantWeight: () => 2,
    retry: { attempts: 2, backoff: { delay: 60_000 } },
    telemetry: {
      listen () {
        const listener = () => {}
        tracingChannels.send.start.subscribe(listener)
        return () => { tracingChannels.send.start.unsubscribe(listener) }
      }
    }
  })
  t.teardown(async () => {
    await service.close()
    await removeKeys(redis, keyPrefix)
    redis.disconnect()
    listener.disconnect()
  })
  await service.ready(1_000)

  const message_id = crypto.randomUUID()
  const seenKeys = new Map<string, string>()
  const seenRare = { record: new Set<string>(), state: new Set<string>() }
  /** Each word where the page says that it is: what can be told from outside. */
  function readLine (kind: 'record' | 'state', line: string): void {
    const { words } = kind === 'record' ? record : state
    const values = line.split(' ')
    t.ok(values.length >= words.length, `${kind} has ${words.length} words: ${line}`)
    const of = (word: string) => values[words.indexOf(word)]!
    if (kind === 'record') t.match([of('format'), of('message'), of('priority'), of('tenant'), of('user')], ['2', message_id, 'normal', 'org:acme', 'ada'])
    else t.match([of('status'), of('version'), of('attempt')], [/^[A-Z]+$/, /^\d+$/, /^\d+$/])
    if (values.length > words.length) for (const field of Object.keys(JSON.parse(values.slice(words.length).join(' ')))) seenRare[kind].add(field)
  }
  const seenChannels = new Set<string>()
  async function look (): Promise<string[]> {
    // In one step: what is deferred is done meanwhile, and its keys are gone then.
    const found = await redis.eval(KEYS_AND_TYPES, 0, `${prefix}*`) as Array<[key: string, type: string]>
    for (const [key, type] of found) {
      seenKeys.set(named(keys.keys(), key.slice(prefix.length)), type === 'zset' ? 'sorted set' : type)
      if (!key.startsWith(`${prefix}task:`)) continue
      const [ended, asked] = (await redis.get(key))!.split('\n')
      readLine('record', asked!)
      const current = ended || await redis.hget(`${prefix}2:states`, key.slice(`${prefix}task:`.length))
      if (current) readLine('state', current)
    }
    return found.map(([key]) => key)
  }
  const heard = new Promise<void>(resolve => listener.on('pmessage', (_pattern, channel: string) => {
    seenChannels.add(named(channels, channel.slice(prefix.length)))
    if (channel === `${prefix}cancelled`) resolve()
  }))
  await listener.psubscribe(`${prefix}*`)

  const ada = { user_id: 'ada', org_id: 'acme' }
  const ask = async (more: object, idempotencyKey?: string) =>
    (await service.enqueueChartTask({ message_id, ...more }, ada, { idempotencyKey, trace: TRACE })).task.task_id
  const first = await ask({ visibility: 'ORGANIZATION' }, 'once')
  const second = await ask({ adjustment_query: 'as a line chart' })
  await look()

  const taken = (await service.dequeueChartTask())!
  t.equal(await service.dequeueChartTask(), null, 'the tenant is at its cap')
  await service.updateTaskProgress(first, taken.lease, { step: 'rendering', step_progress: 50, progress: 40 })
  await look()

  await service.completeTask(first, taken.lease, { content: { svg: '<svg/>' } })
  const retried = (await service.dequeueChartTask())!
  await service.completeTask(second, retried.lease, { error: new Error('again') })
  await look()
  for (const name of await redis.pubsub('CHANNELS', `${prefix}*`) as string[]) seenChannels.add(named(channels, name.slice(prefix.length)))

  await service.cancelTask(second)
  await ask({ adjustment_query: 'only 2015' })
  const failed = (await service.dequeueChartTask())!
  await service.completeTask(failed.task.task_id, failed.lease, { error: new ChartGenerationError('No rows') })
  const cancelled = await ask({ adjustment_query: 'log scale' })
  await service.dequeueChartTask()
  await service.cancelTask(cancelled)
  await heard

  const { tasks } = await service.enqueueChartTasks([
    { message_id, adjustment_query: 'this year', ref: 'base', run_at: new Date(Date.now() - 1_000).toISOString() },
    { message_id, adjustment_query: 'and last year', depends_on: ['base'] }
  ], ada)
  const base = (await service.dequeueChartTask())!
  await queueOf(service).leases.checkpoint(base.task.task_id, base.lease, 'llm_generation', '{}')
  await look()
  for (const { task } of tasks) await service.cancelTask(task.task_id)
  await service.cancelTask((await service.retryTask(failed.task.task_id))!.task.task_id)
  await service.pauseQueue()
  await look()
  await service.resumeQueue()

  await queueOf(service).workers.register({ worker_id: 'worker', host: 'host', pid: 1, version: '1.2.3', concurrency: 1, state: 'running', started_at: new Date().toISOString() })
  // Written when it is read.
  await service.getQueueHistory()
  await look()

  // More than one script ends, looked at before the rest has ended.
  const store = new RedisStore({ redis, keyPrefix })
  const dying = new ChartQueueService({
    store: new Proxy(store, {
      get (target, name: keyof RedisStore) {
        if (name === 'settleAttempts') return () => Promise.reject(new Error('nobody goes on'))
        return (target[name] as (...args: unknown[]) => unknown).bind(target)
      }
    })
  })
  t.teardown(async () => {
    await dying.close()
    await store.close()
  })
  const many = (more: object) => service.enqueueChartTasks(Array.from({ length: 30 }, () => ({ message_id, force_create: true, ...more })), ada)
  const needed = await ask({ adjustment_query: 'what many need' })
  await many({ depends_on: [needed] })
  await dying.cancelTask(needed)
  await many({ adjustment_query: 'x'.repeat(2_000) })
  const { task: last } = await dying.enqueueChartTask({ message_id, force_create: true, supersede: true }, ada)
  await look()
  for (let deferred: true | undefined = true; deferred;) {
    const claim = { worker_id: 'worker', claim_id: crypto.randomUUID(), count: 0, leaseDuration: 60_000 }
    deferred = (await queueOf(service).leases.settle([], claim)).claimed.deferred
  }
  await service.cancelTask(last.task_id)

  for (const key of await look()) t.ok(await redis.pttl(key) > 0, `${key} goes by itself once its tasks have ended`)
  t.same(Object.fromEntries([...seenKeys].sort()), Object.fromEntries([...keys].sort()), 'keys and their types')
  t.same([...seenRare.record].sort(), record.rare.sort(), 'what few records have')
  t.same([...seenRare.state].sort(), state.rare.filter(field => !['losses', 'lost_worker', 'waits'].includes(field)).sort(), 'what few states have')
  t.same([...seenChannels].sort(), [...channels].sort(), 'channels')
})

t.test('the commands for operators are about keys of the page', async t => {
  const commands = readPage('docs/reference/redis-keys.md').matchAll(/^redis-cli (?:[A-Z]+) '\{async-charts\}:([^']+)'/gm)
  const used = [...commands].map(([, key]) => key!)
  t.ok(used.length > 5)
  for (const key of used) t.ok(keys.has(key) || keys.has(named(keys.keys(), key)) || channels.includes(key), key)
})
