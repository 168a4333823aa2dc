import { run } from 'node:test'
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
  const passed: string[] = []
  // A runner inside of another one would take itself for a test of that.
  delete process.env['NODE_TEST_CONTEXT']
  for await (const { type, data } of run({ files: tests.map(file => join(folder, file)), concurrency: 1, timeout: 60_000 })) {
    if (type === 'test:fail') t.fail(data.name, { found: data.details.error })
    if (type === 'test:pass') passed.push(data.name)
  }
  t.ok(passed.length > tests.length, passed.join(', '))
})

t.test('a queue of its own on Redis leaves nothing behind', async t => {
  const { withQueue } = await import(pathToFileURL(join(folder, 'with-redis.js')).href)
  const redis = new Redis(await redisUrl())
  t.teardown(() => redis.disconnect())
  let prefix = ''
  await withQueue(redis, async (options: { redis: Redis, keyPrefix: string }) => {
    prefix = options.keyPrefix
    const queue = new ChartQueueService(options)
    await queue.enqueueChartTask({ message_id: crypto.randomUUID() }, { user_id: 'ada' })
    t.not((await redis.keys(`{${prefix}}:*`)).length, 0)
    await queue.close()
  })
  t.same(await redis.keys(`{${prefix}}:*`), [])
})
