import { mock } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import Fastify from 'fastify'
import t from 'tap'
import asyncCharts, { memoryStore, runWorker } from '../../lib/index.ts'
import { silentLogger } from '../../lib/silent-logger.ts'
import { recordingLogger } from '../helpers/recording-logger.ts'

const identify = () => ({ user_id: 'ada' })
const faulty = (name: string) => new URL(`../fixtures/generators/${name}.js`, import.meta.url)
const faults: ReadonlyArray<readonly [what: string, url: URL, fault: RegExp]> = [
  ['is not there', new URL('file:///nowhere/generator.js'), /file:\/\/\/nowhere\/generator\.js could not be imported: Cannot find module/],
  ['exports no generator', faulty('no-default'), /no-default\.js has no default export that is a function$/],
  ['throws', faulty('throws'), /throws\.js could not be imported: no licence$/],
  ['ends its thread', faulty('exits'), /exits\.js has ended its thread: /]
]
for (const [what, url, fault] of faults) {
  t.test(`a worker does not start with a module that ${what}`, async t => {
    const message = new RegExp(`options\\.generate must be the URL of a module whose default export is a function: .*${fault.source}`)
    await t.rejects(runWorker({ store: memoryStore(), generate: url }), { code: 'CHARTS_ERR_INVALID_OPTIONS', message })
  })
}

t.test('nor does a host', async t => {
  const app = Fastify({ pluginTimeout: 0 })
  t.teardown(() => app.close())
  app.register(asyncCharts, { store: memoryStore(), identify, generate: faulty('throws') })
  await t.rejects(Promise.resolve(app.ready()), { code: 'CHARTS_ERR_INVALID_OPTIONS', message: /options\.generate .*throws\.js/ })
})

t.test('a module is not imported where nothing works with it, and never in the main thread', async t => {
  const app = Fastify({ pluginTimeout: 0 })
  t.teardown(() => app.close())
  await app.register(asyncCharts, { store: memoryStore(), identify, generate: faulty('throws'), worker: false })
  const worker = await runWorker({ store: memoryStore(), generate: faulty('thread-only'), handleSignals: false })
  await worker.stop()
})

t.test('a file of threads of the host is used in place of ours, and must be there', async t => {
  const threadEntry = new URL('../../lib/worker/thread-main.js', import.meta.url)
  const worker = await runWorker({ store: memoryStore(), generate: faulty('thread-only'), threadEntry, handleSignals: false })
  await worker.stop()
  const missing = new URL('thread-main.js', 'file:///nowhere/')
  const message = /the file in which generator threads start was not found: file:\/\/\/nowhere\/thread-main\.js/
  await t.rejects(runWorker({ store: memoryStore(), generate: faulty('thread-only'), threadEntry: missing }), { code: 'CHARTS_ERR_INVALID_OPTIONS', message })
})

t.test('a worker does not start where the file of threads throws', async t => {
  await t.rejects(runWorker({ store: memoryStore(), generate: faulty('thread-only'), threadEntry: faulty('throws'), logger: silentLogger }), { code: 'CHARTS_ERR_INVALID_OPTIONS', message: /no licence/ })
})

t.test('a worker that waits long for its module says so', async t => {
  const logger = recordingLogger()
  mock.timers.enable({ apis: ['setTimeout'] })
  t.teardown(() => mock.timers.reset())
  const starting = runWorker({ store: memoryStore(), generate: faulty('slow-import'), logger, handleSignals: false })
  while (logger.said('the generator is still being imported').length === 0) {
    mock.timers.tick(5_000)
    await setImmediate()
  }
  mock.timers.reset()
  await (await starting).stop()
})
