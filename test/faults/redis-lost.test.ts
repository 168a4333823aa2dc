import t from 'tap'
import { setTimeout as delay } from 'node:timers/promises'
import type { ChartTask } from '../../lib/index.ts'
import { inTime } from '../helpers/gate.ts'
import { connections, startQueue, type Queue } from '../helpers/queue.ts'
import { redisServerPath, startRedis, type RedisServer } from '../helpers/redis.ts'
import { startWorkerProcess } from '../helpers/worker-process.ts'

const skip = await redisServerPath() === null && 'needs a Redis of its own'
const AOF = ['--appendonly', 'yes', '--appendfsync', 'always']

/** Every version that a watcher sees; watching once this resolves. */
async function watch (queue: Queue, task_id: string): Promise<{ seen: Promise<ChartTask[]> }> {
  const watching = queue.service.watchTask(task_id)[Symbol.asyncIterator]()
  const seen = [(await watching.next()).value as ChartTask]
  const rest = async () => {
    for (let next = await watching.next(); !next.done; next = await watching.next()) seen.push(next.value)
    return seen
  }
  return { seen: rest() }
}

const rises = (tasks: ChartTask[]) => tasks.every(({ version }, i) => i === 0 || version > tasks[i - 1]!.version)

const faults: Record<string, (server: RedisServer, queue: Queue) => Promise<unknown>> = {
  'is restarted': server => server.restart(),
  'crashes and comes back': async server => {
    await server.kill()
    await delay(300)
    await server.restart()
  },
  'hangs for a while': async server => {
    server.pause()
    await delay(2_500)
    server.resume()
  },
  'forgets its scripts': (_server, queue) => queue.redis!.script('FLUSH'),
  'drops the connections for commands': (_server, queue) => queue.redis!.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes'),
  'drops the subscribers': (_server, queue) => queue.redis!.call('CLIENT', 'KILL', 'TYPE', 'pubsub')
}

for (const [what, fault] of Object.entries(faults)) {
  t.test(`nothing is lost when Redis ${what}`, { skip }, async t => {
    const server = await startRedis({ config: AOF })
    t.teardown(() => server.stop())
    const queue = await startQueue(t, 'redis', { url: server.url, pollInterval: 500 })
    const worker = await startWorkerProcess(t, { url: server.url, keyPrefix: queue.keyPrefix, leaseDuration: 20_000, concurrency: 3 })
    const held = await Promise.all([1, 2].map(async () => (await queue.enqueue({ adjustment_query: 'hold' })).task_id))
    await Promise.all(held.map(id => worker.next('started', ({ task_id }) => task_id === id)))
    const short = await Promise.all(Array.from({ length: 10 }, async () => (await queue.enqueue({ adjustment_query: 'after 100' })).task_id))
    const ids = [...held, ...short]
    const watching = await Promise.all(ids.map(id => watch(queue, id)))
    await worker.next('started', ({ task_id }) => short.includes(task_id))
    await fault(server, queue)

    for (const task_id of held) worker.send({ command: 'finish', task_id })
    const seen = await inTime(Promise.all(watching.map(({ seen }) => seen)), 15_000, 'all end')
    for (const [i, id] of ids.entries()) {
      const last = seen[i]!.at(-1)!
      t.match(last, { status: 'COMPLETED', attempt: 1 })
      t.same(last, await queue.service.getTaskStatus(id))
      t.ok(rises(seen[i]!), 'versions only rise')
      t.ok(await queue.content(last))
    }
    t.equal(worker.all('started').length, ids.length, 'each ran once')
    t.same(worker.all('aborted'), [])

    // Everything is as it was: work and cancels arrive at once.
    const next = await queue.enqueue({ adjustment_query: 'hold' })
    await inTime(worker.next('started', ({ task_id }) => task_id === next.task_id), 3_000, 'a new task starts')
    await queue.service.cancelTask(next.task_id)
    await inTime(worker.next('aborted', ({ task_id }) => task_id === next.task_id), 1_000, 'a cancel arrives')
  })
}

t.test('an idle worker hears of work after its blocking connection was lost', { skip }, async t => {
  const server = await startRedis()
  t.teardown(() => server.stop())
  const queue = await startQueue(t, 'redis', { url: server.url })
  await queue.work(async () => null)
  for (let i = 0; i < 3; i++) {
    for (const id of await connections(queue.redis!, 'blocking')) await queue.redis!.client('KILL', 'ID', id)
    t.match(await inTime(queue.run(), 2_000, 'it runs'), { status: 'COMPLETED' })
  }
})
