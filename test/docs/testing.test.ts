import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { Redis } from 'ioredis'
import t from 'tap'
import { ChartQueueService } from '../../lib/index.ts'
import { followGuide } from '../helpers/guide.ts'
import { redisUrl } from '../helpers/redis.ts'

const { folder, files } = await followGuide(t, 'docs/guides/testing.md')

t.test('the tests of the guide pass under node:test', async t => {
  const tests = files.filter(file => file.endsWith('.test.js'))
  // A runner that finds itself inside of another one reports to that.
  const { NODE_TEST_CONTEXT, ...env } = process.env
  const { status, stdout } = spawnSync(process.execPath, ['--test', ...tests], { cwd: folder, env, encoding: 'utf8' })
  t.equal(status, 0, stdout)
  t.ok(Number(/pass (\d+)/.exec(stdout)?.[1]) > tests.length)
})

t.test('a queue of its own on Redis leaves nothing behind', async t => {
  const { withQueue } = await import(pathToFileURL(join(folder, 'with-redis.js')).href)
  const redis = new Redis(await redisUrl())
  t.teardown(() => redis.disconnect())
  let prefix = ''
  await withQueue(redis, async (options: { redis: Redis, keyPrefix: string }) => {
    prefix = options.keyPrefix
    const queue = new ChartQueueService(options)
    await queue.ready(10_000)
    await queue.enqueueChartTask({ message_id: crypto.randomUUID() }, { user_id: 'ada' })
    t.not((await redis.keys(`{${prefix}}:*`)).length, 0)
    await queue.close()
  })
  t.same(await redis.keys(`{${prefix}}:*`), [])
})
