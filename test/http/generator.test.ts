import t from 'tap'
import type { GenerateChart, JsonValue } from '../../lib/index.ts'
import { startHost, storeKinds } from '../helpers/app.ts'
import { openSse, openWebSocket } from '../helpers/streams.ts'

const ada = { 'x-user': 'ada' }
const cycle: unknown[] = []
cycle.push(cycle)

/** What a generator may give back that is no chart, and what its task is told. */
const unusable: Array<[name: string, content: unknown, code: string]> = [
  ['a cycle', cycle, 'CHARTS_ERR_INVALID_CHART'],
  ['a BigInt', { n: 1n }, 'CHARTS_ERR_INVALID_CHART'],
  ['nothing', undefined, 'CHARTS_ERR_INVALID_CHART'],
  ['a function', () => {}, 'CHARTS_ERR_INVALID_CHART'],
  ['too much', 'x'.repeat(2_000), 'CHARTS_ERR_CHART_TOO_LARGE']
]

for (const kind of storeKinds) {
  t.test(`a generator in the plugin, on ${kind}`, async t => {
    let generate: GenerateChart = async () => null
    const host = await startHost(t, kind, {
      generate: (request, context) => generate(request, context),
      retry: { attempts: 2, backoff: { delay: 0 } },
      limits: { chartBytes: 1_000 }
    })
    const base = await host.listen()
    const asAda = host.as('ada')
    const everything = async (task_id: string, message_id: string) => {
      const stream = await openSse(`${base}/stream/${task_id}`, ada)
      const socket = await openWebSocket(`${base}/ws/${task_id}`, { headers: ada })
      const blocks = await stream.rest()
      const messages = await socket.rest()
      const bodies = await Promise.all([`/async/${task_id}/status`, `/async/${task_id}/result`, `/by-message/${message_id}`].map(async path => (await asAda.get(path)).body))
      return { status: JSON.parse(bodies[0]!), text: JSON.stringify([blocks, messages, bodies]) }
    }

    t.test('makes the chart', async t => {
      generate = async ({ message_id, adjustment_query }, { progress }) => {
        progress({ step: 'rendering', step_progress: 100, progress: 90 })
        return { message_id, adjustment_query }
      }
      const { task_id, message_id } = await asAda.create({ adjustment_query: 'log scale' })
      const { status } = await everything(task_id, message_id)
      t.match(status, { status: 'COMPLETED', step_progress: { rendering: 100 }, attempt: 1 })
      t.strictSame((await asAda.get(`/async/${task_id}/result`)).json().content, { message_id, adjustment_query: 'log scale' })
    })

    t.test('an error of its own stays inside', async t => {
      generate = async () => { throw Object.assign(new Error('secret'), { code: 'SECRET', stack: 'secret stack' }) }
      const { task_id, message_id } = await asAda.create()
      const { status, text } = await everything(task_id, message_id)
      t.match(status, {
        status: 'FAILED', attempt: 2, error_code: 'CHARTS_ERR_GENERATION_FAILED', error_message: 'Chart generation failed'
      })
      t.notMatch(text, /secret/i)
    })

    for (const [name, content, code] of unusable) {
      t.test(`${name} is no chart, and is not tried again`, async t => {
        generate = async () => content as JsonValue
        const { task_id, message_id } = await asAda.create()
        const { status } = await everything(task_id, message_id)
        t.match(status, { status: 'FAILED', attempt: 1, error_code: code, error_message: /^[A-Z][\w ]+$/ })
      })
    }
  })

  t.test(`worker: false works nothing, on ${kind}`, async t => {
    const host = await startHost(t, kind, { generate: async () => 1, worker: false })
    const { task_id } = await host.as('ada').create()
    t.ok(await host.take(task_id), 'nobody else has taken it')
  })
}
