import { Redis } from 'ioredis'
import t from 'tap'
import { memoryStore } from '../../lib/index.ts'
import { failing, idsOf, LEASE, leaseOf, Scene } from '../../lib/store/conformance/scene.ts'
import { RedisStore } from '../../lib/store/redis/redis-store.ts'
import { silentLogger } from '../../lib/silent-logger.ts'
import { gate, until } from '../helpers/gate.ts'
import { startQueue } from '../helpers/queue.ts'
import { recordingLogger } from '../helpers/recording-logger.ts'
import { redisUrl, removeKeys, uniquePrefix } from '../helpers/redis.ts'

const HOUR = 3_600_000

/** Processes with one Redis, whose clock can be set; `pass` is time that passes for all of them. */
async function start (t: { readonly name: string, teardown (end: () => unknown): void }) {
  const redis = new Redis(await redisUrl())
  const keyPrefix = uniquePrefix(t)
  const clock = { redis: Date.parse('2030-01-01T00:00:00.000Z'), ours: 1_000 }
  const logger = recordingLogger()
  const scenes: Array<() => void> = []
  t.teardown(async () => {
    for (const end of scenes) end()
    await removeKeys(redis, keyPrefix)
    redis.disconnect()
  })
  const open = async () => new RedisStore({ redis, keyPrefix, logger, now: () => clock.redis, monotonic: () => clock.ours })
  const process = (): Promise<Scene> => {
    const opened = gate<Scene>()
    Scene.play(open, scene => {
      opened.open(scene)
      const ended = gate()
      scenes.push(ended.open)
      return ended.opened
    })
    return opened.opened
  }
  return {
    process,
    warned: () => logger.lines.filter(({ level }) => level === 'warn').map(({ details }) => details['jump']),
    pass (ms: number) {
      clock.redis += ms
      clock.ours += ms
    },
    set (ms: number) { clock.redis += ms },
    date: (ms: number) => clock.redis + ms
  }
}

t.test('a clock that is set forward ends no lease of a process that lives, and those of a dead one in time', async t => {
  const { process, pass, set, warned } = await start(t)
  const [living, dead, other] = [await process(), await process(), await process()]
  const held = await living.claimed()
  pass(2_000)
  const lost = await dead.claimed()
  t.same(await other.claimIds({ worker_id: 'other' }), [])
  pass(3_000)
  t.same(await living.store.extend([leaseOf(held)], LEASE), ['ok'])

  set(HOUR)
  const { tasks, due } = await other.claim({ worker_id: 'other' })
  t.same(tasks, [])
  t.equal(due, LEASE - 3_000, 'it looks again when the first lease has ended, and not before')
  pass(3_000)
  t.same(await living.store.extend([leaseOf(held)], LEASE), ['ok'])
  pass(4_000)
  const { tasks: [again] } = await other.claim({ worker_id: 'other' })
  t.equal(again?.task.task_id, lost.task.task_id, 'its lease ends when it would have')
  // Lost once more, it would run alone.
  await other.complete(again!)
  t.same(await living.store.extend([leaseOf(held)], LEASE), ['ok'])
  pass(LEASE - 1)
  t.notOk((await other.claimIds({ worker_id: 'other', count: 2 })).includes(held.task.task_id))
  pass(1)
  t.ok((await other.claimIds({ worker_id: 'other', count: 2 })).includes(held.task.task_id), 'and once it is dead too')
  t.same(warned(), [HOUR, HOUR], 'each process says so once')
})

t.test('a clock that is set forward ends no wait in the queue while it is found out', async t => {
  const { process, set, pass } = await start(t)
  const worker = await process()
  await worker.claim()
  const { task_id } = await worker.enqueue({ queueTimeout: 900_000 })
  await worker.store.setPaused(true)
  set(HOUR)
  t.same((await worker.claim()).lost, [])
  pass(1_000)
  await worker.store.setPaused(false)
  t.same(await worker.claimIds(), [task_id])
})

t.test('a clock that is set back delays neither recovery nor backoff', async t => {
  const { process, pass, set, warned, date } = await start(t)
  const [living, dead, other] = [await process(), await process(), await process()]
  const held = await living.claimed()
  const lost = await dead.claimed()
  const failed = await dead.claimed()
  await dead.store.settleAttempts([failing(failed, { delay: LEASE })], null)
  const scheduled = await dead.enqueue({ run_at: date(LEASE) })
  t.same(await other.claimIds({ worker_id: 'other' }), [])
  pass(3_000)

  set(-30_000)
  t.same(await living.store.extend([leaseOf(held)], LEASE), ['ok'])
  t.same(await other.claimIds({ worker_id: 'other' }), [])
  pass(LEASE - 3_000)
  t.same(await living.store.extend([leaseOf(held)], LEASE), ['ok'])
  const { tasks } = await other.claim({ worker_id: 'other', count: 5 })
  t.same(idsOf(tasks).sort(), [lost.task.task_id, failed.task.task_id].sort())
  t.same(warned(), [-30_000, -30_000])
  // A task that loses its worker once more would run alone.
  for (const claimed of tasks) await other.complete(claimed)
  pass(30_000)
  t.ok((await other.claimIds({ worker_id: 'other', count: 5 })).includes(scheduled.task_id), 'what was asked for a time waits for it')
})

t.test('clocks that drift, and answers that are slow, are no jumps', async t => {
  const { process, pass, set, warned } = await start(t)
  const [living, other] = [await process(), await process()]
  const held = await living.claimed()
  for (let i = 0; i < 100; i++) {
    pass(3_000)
    set(i < 50 ? 100 : -100)
    t.same(await living.store.extend([leaseOf(held)], LEASE), ['ok'])
    t.same(await other.claimIds({ worker_id: 'other' }), [])
  }
  pass(HOUR)
  set(5_000)
  t.same(idsOf((await other.claim({ worker_id: 'other' })).tasks), [held.task.task_id], 'what was seen an hour ago says nothing')
  t.same(warned(), [])
})

t.test('a worker whose Redis is set forward keeps its attempts from others', async t => {
  const queue = await startQueue(t, 'redis')
  let jump = 0
  const logger = recordingLogger()
  const open = () => {
    const store = new RedisStore({ redis: queue.redis!, keyPrefix: queue.keyPrefix, logger, now: () => Date.now() + jump, monotonic: () => performance.now() })
    queue.closing.push(() => store.close())
    return { store, logger: silentLogger, leaseDuration: 1_500, concurrency: 1 }
  }
  const finish = gate()
  const runs: string[] = []
  const generate = async ({ task_id }: { task_id: string }) => {
    runs.push(task_id)
    await finish.opened
    return 'chart'
  }
  await queue.work(generate, open())
  const { task_id } = await queue.enqueue()
  await until(() => runs.length === 1)
  // Another that has looked for work, and so knows the time.
  const other = open()
  await other.store.claim({ worker_id: 'other', claim_id: 'first', count: 1, leaseDuration: 1_500, runningPerTenant: 0, beside: 0 })
  await queue.work(generate, other)
  jump = HOUR
  await until(() => logger.said(/set forward/).length === 2)
  finish.open()
  t.match(await queue.ended(task_id), { status: 'COMPLETED', attempt: 1 })
  t.equal(runs.filter(id => id === task_id).length, 1)
})

t.test('the memory store measures leases by a clock that nobody sets', async t => {
  const dateNow = Date.now
  t.teardown(() => { Date.now = dateNow })
  await Scene.play(async () => memoryStore(), async scene => {
    const held = await scene.claimed()
    Date.now = () => dateNow() + HOUR
    t.same(await scene.claimIds(), [])
    t.same(await scene.store.extend([leaseOf(held)], LEASE), ['ok'])
  })
})
