import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import t, { type Test } from 'tap'
import type { AttemptEndedMessage } from '../../lib/index.ts'
import { gate, until } from '../helpers/gate.ts'
import { startQueue } from '../helpers/queue.ts'
import { recordingLogger } from '../helpers/recording-logger.ts'

async function moduleOf (t: Test, name: string, source: string): Promise<URL> {
  const folder = await mkdtemp(join(tmpdir(), 'charts-generator-'))
  t.teardown(() => rm(folder, { recursive: true }))
  await writeFile(join(folder, name), source)
  return pathToFileURL(join(folder, name))
}

t.test('a generator that was compiled to CommonJS runs in a thread', async t => {
  const url = await moduleOf(t, 'generate.cjs', "Object.defineProperty(exports, '__esModule', { value: true })\nexports.default = async () => ({ rows: 1 })\n")
  const queue = await startQueue(t, 'memory')
  await queue.work(url)
  t.same(await queue.content(await queue.run()), { rows: 1 })
})

t.test('what a thread cannot pass on is not logged or shown, and does not fail the chart', async t => {
  const url = await moduleOf(t, 'generate.mjs', `export default async (_request, { log, progress }) => {
    const circular = {}
    circular.self = circular
    log.info(circular, 'circular')
    progress({ step: () => 'rendering' })
    log.info({ rows: 1 }, 'plain')
    return 1
  }`)
  const logger = recordingLogger()
  const queue = await startQueue(t, 'memory')
  await queue.work(url, { logger })
  t.match(await queue.run(), { status: 'COMPLETED' })
  t.equal(logger.said('circular').length, 0)
  t.match(logger.said('plain'), [{ details: { rows: 1 } }])
})

t.test('an error that cannot be read fails its chart, and is logged as such', async t => {
  const logger = recordingLogger()
  const queue = await startQueue(t, 'memory', { retry: { attempts: 1 }, logger })
  await queue.work(() => { throw Object.defineProperty(new Error('odd'), 'name', { get () { throw new Error('no name') } }) }, { logger })
  t.match(await queue.run(), { status: 'FAILED', error_code: 'CHARTS_ERR_GENERATION_FAILED' })
  await until(() => logger.said('chart failed').length > 0)
})

t.test('a host that listens to the ends of attempts only hears of those that were cancelled', async t => {
  const queue = await startQueue(t, 'memory')
  const ended: AttemptEndedMessage[] = []
  const listener = (message: unknown) => { if ((message as AttemptEndedMessage).queue.keyPrefix === queue.keyPrefix) ended.push(message as AttemptEndedMessage) }
  subscribe('fastify-async-charts:attempt-ended', listener)
  t.teardown(() => unsubscribe('fastify-async-charts:attempt-ended', listener))
  const begun = gate()
  await queue.work(async (_request, { signal }) => {
    begun.open()
    await new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
    return null
  })
  const { task_id } = await queue.enqueue()
  await begun.opened
  await queue.service.cancelTask(task_id)
  await until(() => ended.length > 0)
  t.match(ended, [{ task_id, outcome: 'cancelled' }])
})
