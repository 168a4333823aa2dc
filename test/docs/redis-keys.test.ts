import { Redis } from 'ioredis'
import t from 'tap'
import { ChartGenerationError, ChartQueueService } from '../../lib/index.ts'
import { RedisStore } from '../../lib/store/redis/redis-store.ts'
import { proseOf, readPage } from '../helpers/markdown.ts'
import { redisUrl, removeKeys, uniquePrefix } from '../helpers/redis.ts'

const page = proseOf(readPage('docs/reference/redis-keys.md'))
const section = (heading: string) => page.split(/^#+ /m).find(part => part.startsWith(`${heading}\n`))!
const cells = (heading: string, pattern: RegExp) => [...section(heading).matchAll(pattern)].map(([, name, second]) => [name!, second!] as const)

const keys = new Map(cells('Keys', /^\| `\{async-charts\}:(\S+)` \| ([\w ]+) \|/gm))
const fields = cells('Fields of a task', /^\| `(\w+)` \|(.)/gm).map(([name]) => name)
const channels = cells('Channels', /^\| `\{async-charts\}:(\S+)` \|(.)/gm).map(([name]) => name)

/** `task:<task_id>` is any key that starts with `task:`. */
function named (names: Iterable<string>, actual: string): string {
  const found = [...names].find(name => new RegExp(`^${name.replace(/<\w+>/g, '.+')}$`).test(actual))
  return found ?? `not on the page: ${actual}`
}

t.test('the page names every key, type, field and channel that tasks make, and no other', async t => {
  const redis = new Redis(await redisUrl())
  const listener = redis.duplicate()
  const keyPrefix = uniquePrefix(t)
  const prefix = `{${keyPrefix}}:`
  const service = new ChartQueueService({
    redis, keyPrefix, limits: { runningPerTenant: 1, timeInQueue: 3_600_000 }, tenantWeight: () => 2, retry: { attempts: 2, backoff: { delay: 60_000 } }
  })
  t.teardown(async () => {
    await service.close()
    await removeKeys(redis, keyPrefix)
    redis.disconnect()
    listener.disconnect()
  })
  await service.ready(1_000)

  const seenKeys = new Map<string, string>()
  const seenFields = new Set<string>()
  const seenChannels = new Set<string>()
  async function look (): Promise<string[]> {
    const found: string[] = []
    for await (const page of redis.scanStream({ match: `${prefix}*`, count: 1_000 })) found.push(...page)
    for (const key of found) {
      const type = await redis.type(key)
      seenKeys.set(named(keys.keys(), key.slice(prefix.length)), type === 'zset' ? 'sorted set' : type)
      if (key.startsWith(`${prefix}task:`)) for (const field of await redis.hkeys(key)) seenFields.add(field)
    }
    return found
  }
  const heard = new Promise<void>(resolve => listener.on('pmessage', (_pattern, channel: string) => {
    seenChannels.add(named(channels, channel.slice(prefix.length)))
    if (channel === `${prefix}cancelled`) resolve()
  }))
  await listener.psubscribe(`${prefix}*`)

  const ada = { user_id: 'ada', org_id: 'acme' }
  const message_id = crypto.randomUUID()
  const ask = async (more: object, idempotencyKey?: string) =>
    (await service.enqueueChartTask({ message_id, ...more }, ada, { idempotencyKey })).task.task_id
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
  await service.leases.checkpoint(base.task.task_id, base.lease, 'llm_generation', '{}')
  await look()
  for (const { task } of tasks) await service.cancelTask(task.task_id)
  await service.cancelTask((await service.retryTask(failed.task.task_id))!.task.task_id)
  await service.pauseQueue()
  await look()
  await service.resumeQueue()

  // More than one script ends, looked at before the rest has ended.
  const store = new RedisStore({ redis, keyPrefix })
  const dying = new ChartQueueService({
    store: new Proxy(store, {
      get (target, name: keyof RedisStore) {
        if (name === 'closeLeases') return () => Promise.reject(new Error('nobody goes on'))
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
  for (let unsettled: true | undefined = true; unsettled;) {
    const take = { worker_id: 'worker', take_id: crypto.randomUUID(), count: 0, leaseDuration: 60_000 }
    unsettled = (await service.leases.close([], take)).taken.unsettled
  }
  await service.cancelTask(last.task_id)

  for (const key of await look()) t.ok(await redis.pttl(key) > 0, `${key} goes by itself once its tasks have ended`)
  t.same(Object.fromEntries([...seenKeys].sort()), Object.fromEntries([...keys].sort()), 'keys and their types')
  t.same([...seenFields].sort(), [...fields].sort(), 'fields of a task')
  t.same([...seenChannels].sort(), [...channels].sort(), 'channels')
})

t.test('the commands for operators are about keys of the page', async t => {
  const commands = readPage('docs/reference/redis-keys.md').matchAll(/^redis-cli (?:[A-Z]+) '\{async-charts\}:([^']+)'/gm)
  const used = [...commands].map(([, key]) => key!)
  t.ok(used.length > 5)
  for (const key of used) t.ok(keys.has(key) || keys.has(named(keys.keys(), key)) || channels.includes(key), key)
})
