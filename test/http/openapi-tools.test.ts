import { execFile } from 'node:child_process'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import swagger from '@fastify/swagger'
import { createClient } from '@hey-api/openapi-ts'
import spectral, { type RulesetDefinition } from '@stoplight/spectral-core'
import rulesets from '@stoplight/spectral-rulesets'
import openapiTypescript, { astToString } from 'openapi-typescript'
import orval from 'orval'
import t from 'tap'
import { root } from '../helpers/root.ts'
import { startHost } from '../helpers/app.ts'
import { typeFaults } from '../helpers/type-faults.ts'

// Where nobody else says how long: the tools alone take their time to load.
t.setTimeout(500_000)

interface Test {
  readonly name: string
  teardown (ended: () => unknown): unknown
}

/** What a host with a session cookie publishes. */
async function publish (t: Test, openapi: string): Promise<{ document: object, folder: string, file: string }> {
  const host = await startHost(t, 'memory', {
    paramsSchema: { type: 'object', properties: { rows: { type: 'integer' } } },
    before: app => app.register(swagger, {
      openapi: {
        openapi,
        info: { title: 'Charts', description: 'Charts of a host', version: '1', license: { name: 'MIT', url: 'https://host.example/license' }, contact: { url: 'https://host.example' } },
        servers: [{ url: 'https://charts.host.test' }],
        security: [{ session: [] }],
        components: { securitySchemes: { session: { type: 'apiKey', in: 'cookie', name: 'session' } } }
      }
    })
  })
  await host.app.ready()
  const document = JSON.parse(JSON.stringify(host.app.swagger()))
  const folder = await mkdtemp(join(tmpdir(), 'charts-openapi-'))
  t.teardown(() => rm(folder, { recursive: true }))
  const file = join(folder, 'openapi.json')
  await writeFile(file, JSON.stringify(document))
  return { document, folder, file }
}

for (const version of ['3.0.3', '3.1.0']) {
  t.test(`redocly and spectral find no error in OpenAPI ${version}`, async t => {
    const { document, file } = await publish(t, version)
    const redocly = new URL('node_modules/@redocly/cli/bin/cli.js', root).pathname
    const env = { ...process.env, REDOCLY_TELEMETRY: 'off', REDOCLY_SUPPRESS_UPDATE_NOTICE: 'true' }
    const { stdout } = await promisify(execFile)(process.execPath, [redocly, 'lint', file, '--format', 'json'], { env }).catch(error => error)
    const { problems } = JSON.parse(stdout) as { problems: Array<{ severity: string, ruleId: string }> }
    t.same(problems.filter(({ severity }) => severity === 'error'), [])
    const rules = new spectral.Spectral()
    rules.setRuleset({ extends: [rulesets.oas as RulesetDefinition] })
    const found = await rules.run(document as Record<string, unknown>)
    t.same(found.filter(({ severity }) => severity === 0), [])
  })
}

/** What a program does with each generated client. */
const PROGRAMS = {
  'with-types.ts': `
import type { components, operations } from './types.ts'
type ChartTask = components['schemas']['ChartTask']
type Body = operations['createChart']['requestBody']['content']['application/json']
type Frame = operations['streamChart']['responses']['200']['content']['text/event-stream']
export const body: Body = { message_id: 'm', params: { rows: 1 } }
export const isDone = ({ data }: Frame) => data.status === 'COMPLETED'
export const outcomeOf = ({ outcome }: components['schemas']['ChartAttempt']): 'completed' | 'failed' | 'released' | 'expired' | 'cancelled' | null => outcome
export const positionOf = (task: ChartTask): number | undefined => task.queue_position
`,
  'with-hey.ts': `
import { createChart, getMessageCharts, streamChart, type Batch, type ChartTask, type Error as ChartsError } from './hey/index.ts'
export async function follow (message_id: string): Promise<ChartTask | ChartsError | undefined> {
  const { data: task, error } = await createChart({ body: { message_id } })
  if (!task) return error
  await getMessageCharts({ path: { message_id } })
  const { stream } = await streamChart({ path: { task_id: task.task_id }, query: { last_event_id: '1' } })
  for await (const frame of stream) if (frame && 'data' in frame && frame.data.status === 'FAILED') return frame.data
  return task
}
export const totalOf = ({ total }: Batch): number => total
`,
  'with-orval.ts': `
import { createChart, getChartBatch } from './orval/index.ts'
import type { Chart, ChartTask } from './orval/model/index.ts'
export async function ask (message_id: string): Promise<ChartTask> {
  const answer = await createChart({ message_id })
  if (answer.status !== 200 && answer.status !== 202) throw new Error(answer.data.message)
  return answer.data
}
export const batch = async (id: string) => (await getChartBatch(id)).data
export const idOf = ({ chart_id }: Chart): string => chart_id
`
}

t.test('the clients that generators make compile, and their types have names', async t => {
  const { folder, file } = await publish(t, '3.1.0')
  await writeFile(join(folder, 'types.ts'), astToString(await openapiTypescript(pathToFileURL(file))))
  await createClient({ input: file, output: join(folder, 'hey'), logs: { level: 'silent', file: false }, plugins: ['@hey-api/client-fetch', '@hey-api/typescript', '@hey-api/sdk'] })
  await orval.generate({ input: file, output: { target: join(folder, 'orval/index.ts'), schemas: join(folder, 'orval/model'), client: 'fetch' } }, folder)
  const models = await readdir(join(folder, 'orval/model'))
  t.ok(models.length < 110, `${models.length} models`)
  for (const name of ['chartTask', 'chart', 'batch', 'error', 'chartUpdate']) t.ok(models.includes(`${name}.ts`), name)
  for (const [name, program] of Object.entries(PROGRAMS)) await writeFile(join(folder, name), program)
  t.same(await typeFaults(folder, Object.keys(PROGRAMS), { types: [] }), [])
})
