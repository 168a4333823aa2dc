import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import Fastify from 'fastify'
import t from 'tap'
import asyncCharts, { memoryStore, runWorker } from '../../lib/index.ts'
import { root } from '../helpers/root.ts'

t.test('the page is what the schemas say', async t => {
  const script = new URL('dist/scripts/generate-options-doc.js', root).pathname
  await t.resolves(promisify(execFile)(process.execPath, [script, '--check']))
})

t.test('what the page calls required is required', async t => {
  const store = memoryStore()
  const app = Fastify()
  t.teardown(() => app.close())
  await t.rejects(async () => app.register(asyncCharts, { store } as never), {
    code: 'CHARTS_ERR_INVALID_OPTIONS', message: /options\.identify must be a function, got undefined/
  })
  await t.rejects(runWorker({ store } as never), {
    code: 'CHARTS_ERR_INVALID_OPTIONS', message: /options\.generate must be a function or the URL of a module, got undefined/
  })
})
