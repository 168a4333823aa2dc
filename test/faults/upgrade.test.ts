import { execFileSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { build } from 'esbuild'
import { Redis } from 'ioredis'
import t from 'tap'
import * as current from '../../lib/index.ts'
import { gate, until } from '../helpers/gate.ts'
import { redisUrl, removeKeys, uniquePrefix } from '../helpers/redis.ts'
import { root } from '../helpers/root.ts'

/** The last commit whose records have format 1: version 0.1.0 as it was. */
const FORMAT_1 = '26a941911251a6578fe0540a84c7e32ac12bb841'
const IDENTITY = { user_id: 'ada' }

function hasCommit (): boolean {
  try {
    execFileSync('git', ['cat-file', '-e', `${FORMAT_1}:lib/index.ts`], { cwd: root, stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

/** The old version of this package, compiled beside this one, so that it finds what it depends on. */
async function previous (): Promise<typeof current> {
  const folder = mkdtempSync(fileURLToPath(new URL('dist/format-1-', root)))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const sources = execFileSync('git', ['archive', FORMAT_1, 'lib'], { cwd: root, maxBuffer: 2 ** 26 })
  execFileSync('tar', ['-x', '-C', folder], { input: sources })
  const outfile = `${folder}/index.js`
  await build({ entryPoints: [`${folder}/lib/index.ts`], outfile, bundle: true, packages: 'external', format: 'esm', platform: 'node', logLevel: 'error' })
  return await import(pathToFileURL(outfile).href)
}

t.test('an upgrade from 0.1.0 goes without a pause, as the guide says', { skip: hasCommit() ? false : 'the commit of the old version is not there' }, async t => {
  const old = await previous()
  const redis = new Redis(await redisUrl())
  const keyPrefix = uniquePrefix(t)
  const options = { redis, keyPrefix, retention: { task: 60, status: 60, messageIndex: 60 } }
  const [oldService, newService] = [new old.ChartQueueService(options), new current.ChartQueueService(options)]
  t.teardown(async () => {
    await Promise.all([oldService.close(), newService.close()])
    await removeKeys(redis, keyPrefix)
    redis.disconnect()
  })
  const message_id = randomUUID()
  const create = async (service: typeof oldService, count: number) =>
    Promise.all(Array.from({ length: count }, async (_, i) => (await service.enqueueChartTask({ message_id, adjustment_query: String(i) }, IDENTITY)).task.task_id))
  const ended = async (service: typeof oldService, ids: readonly string[]) => {
    for (const id of ids) await until(async () => (await service.getTaskStatus(id))?.status === 'COMPLETED')
    return Promise.all(ids.map(async id => (await service.getChart((await service.getTaskStatus(id))!))!.content))
  }
  const left = async () => [await redis.zcard(`{${keyPrefix}}:processing`), await redis.hget(`{${keyPrefix}}:waiting`, '')]

  // What an old server has accepted, some of it running, when the upgrade begins.
  const hold = gate()
  const oldTasks = await create(oldService, 6)
  const oldWorker = await old.runWorker({
    redis,
    keyPrefix,
    concurrency: 2,
    handleSignals: false,
    generate: async () => {
      await hold.opened
      return 'old'
    }
  })
  await until(async () => (await left())[0] === 2)
  const watched: string[] = []
  const watching = (async () => {
    for await (const { status } of oldService.watchTask(oldTasks[0]!)) watched.push(status)
  })()

  const newWorker = await current.runWorker({ redis, keyPrefix, concurrency: 2, handleSignals: false, generate: async () => 'new' })
  // The same user asks for the same charts of the same message.
  const newTasks = await create(newService, 6)
  t.same(await ended(newService, newTasks), newTasks.map(() => 'new'), 'new charts are made while old ones run')
  t.equal(await newService.getTaskStatus(oldTasks[0]!), null, 'an old chart is unknown to a new server')
  t.same(await left(), [2, '4'], 'and no new worker takes one')

  hold.open()
  t.same(await ended(oldService, oldTasks), oldTasks.map(() => 'old'), 'the old workers empty the old queue')
  await watching
  t.equal(watched.at(-1), 'COMPLETED', 'and its streams go on to the end')
  await until(async () => (await left())[0] === 0)
  t.same(await left(), [0, null])
  await oldWorker.stop()

  t.same(await ended(newService, await create(newService, 2)), ['new', 'new'])
  await newWorker.stop()
  for (const service of [oldService, newService]) await service.cleanupExpiredTasks()
  const kept = await Promise.all((await redis.keys(`{${keyPrefix}}:*`)).map(async key => [key.slice(keyPrefix.length + 3), await redis.pttl(key)] as const))
  t.same(kept.filter(([, ttl]) => ttl < 0), [], 'what both have kept expires by itself')
})
