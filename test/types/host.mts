// What hosts write: every export of the package once, in the ways that the documents show. Compiled by test/types, never run.
import { Type } from '@sinclair/typebox'
import Fastify from 'fastify'
import type { FastifyRequest } from 'fastify'
import { Redis, Cluster } from 'ioredis'
import byDefault, {
  BatchRequestSchema, ChartGenerationError, ChartPriority, ChartQueueService, ChartSchema, ChartStatus, ChartTaskSchema, ChartVisibility, CreateChartRequestSchema,
  asyncCharts, defineCharts, errors, isChartsError, memoryStore, runWorker
} from 'fastify-async-charts'
import type {
  AbortCode, Access, AsyncChartsOptions, AttemptRecord, Authorize, BackoffOptions, BatchedChartRequest, Chart, ChartContent, ChartGenerationErrorOptions,
  ChartQueueServiceOptions, ChartsDefinition, ChartsError, ChartsErrorCode, ContentOf, CreatorOptions, FailureCode, LimitsOptions, Operation, ParamsOf, ParamsSchema,
  QueueOptions, RetentionOptions, RetryOptions, RouteLogOptions, StoredTask, StreamOptions, WorkerOptions,
  ChartRequest, ChartRoute, ChartRouteOptions, ChartStore, ChartTask, ChartWorker, CreateChartRequest, CustomizeRoute, EnqueueBatchResult, EnqueueResult, GenerateChart, GenerateContext, GroupState,
  Identify, Identity, JsonValue, ListTasksOptions, ListedChart, Logger, MessageCharts, MessageChartsOptions, Outcome, ProgressUpdate, PublicChartTask,
  QueueStats, RunWorkerOptions, StoreChoice, TaskDetails, TaskPage, TaskStore
} from 'fastify-async-charts'
import dashboardByDefault, { asyncChartsDashboard } from 'fastify-async-charts/dashboard'
import type { AsyncChartsDashboardOptions } from 'fastify-async-charts/dashboard'
import { storeConformance } from 'fastify-async-charts/store-conformance'
import type { ConformanceCase, OpenStore } from 'fastify-async-charts/store-conformance'

const message_id = 'b4fb1bd1-0f68-4e51-9d3c-3cba7b1e0b8e'
const identity: Identity = { user_id: 'ada', org_id: null, roles: ['analyst'] }

const identify: Identify = async (request: FastifyRequest) => request.headers.authorization ? identity : null
const authorize: Authorize = ({ roles = [] }, access: Access) => {
  if (access.action === 'create') return access.body.message_id === access.message_id
  if (access.action === 'monitor') return roles.includes('operator') && access.operation !== 'pause'
  return access.task?.user_id !== 'eve'
}

interface BarChart { mark: 'bar', rows: Array<{ x: string, y: number }> }

const generate: GenerateChart = async (request: ChartRequest, context: GenerateContext) => {
  const { signal, attempt, dependencies, progress, step, log } = context
  const update: ProgressUpdate = { step: 'rows', step_progress: 0, progress: 10 }
  progress(update)
  const rows = await step('rows', async () => [{ x: request.adjustment_query ?? '', y: attempt }])
  if (signal.aborted) log.info({ code: (signal.reason as { code: AbortCode }).code }, 'stopped')
  const options: ChartGenerationErrorOptions = { code: 'NO_DATA', retryable: false, retryDelay: 1_000, cause: dependencies[0]?.content }
  if (rows.length === 0) throw new ChartGenerationError('No rows', options)
  const chart: BarChart = { mark: 'bar', rows }
  return chart
}

const charts = new Map<string, Chart>()
const chartStore: ChartStore = {
  async save (chart) { charts.set(chart.chart_id, chart) },
  async get (chart_id) { return charts.get(chart_id) },
  async findByMessage (id, { user_id }) { return [...charts.values()].filter(chart => chart.message_id === id && chart.user_id === user_id) },
  async delete (chart_id) { charts.delete(chart_id) }
}
const logger: Logger = { debug () {}, info () {}, warn () {}, error () {}, child: () => logger }

const hidden: ChartRouteOptions = { schema: { tags: ['Reports'], hide: true, security: [{ session: [] }] }, logLevel: 'warn', constraints: { host: 'a.example' } }
const routes: CustomizeRoute = ({ name, method, url, kind }: ChartRoute) => {
  if (kind === 'ws') return false
  if (url.includes('/admin/')) return hidden
  if (method === 'POST') return { config: { rateLimit: { max: 5 } }, onRequest: async request => { console.log(request.ip) }, preHandler: [(_request, _reply, done) => done()] }
  console.log(name)
}

const options: AsyncChartsOptions = {
  redis: new Redis('redis://localhost:6379'),
  identify,
  authorize,
  generate,
  chartStore,
  logger,
  prefix: '/api',
  keyPrefix: 'charts',
  paramsSchema: { type: 'object' },
  tenantWeight: ({ org_id }) => org_id ? 2 : 1,
  onFinished: async (task: ChartTask) => console.log(task.status),
  worker: { concurrency: 2 },
  retry: { attempts: 2, backoff: { type: 'fixed', delay: 10 } },
  retention: { task: 60 },
  limits: { queueLength: 10 },
  stream: { allowedOrigins: ['https://app.example'] },
  routes
}

export async function host (): Promise<void> {
  const app = Fastify({ logger: true })
  // Options in a constant, as a literal, as a function, of a child, and what a host has not got.
  await app.register(asyncCharts, options)
  const dashboard: AsyncChartsDashboardOptions = { prefix: '/queue', readOnly: undefined }
  await app.register(asyncChartsDashboard, dashboard)
  await app.register(dashboardByDefault, { readOnly: true, logLevel: 'warn' })
  await app.register(byDefault, { store: memoryStore({ now: () => 0 }), identify: () => ({ user_id: 'ada' }), worker: false, generate: new URL('generate.js', 'file:///') })
  await app.register(async child => { await child.register(asyncCharts, { ...options, prefix: '/other', keyPrefix: 'other' }) })
  await app.register(asyncCharts, () => options)
  app.register(asyncCharts, { identify, redis: new Cluster([]), store: undefined, generate: undefined, limits: { queueLength: undefined } })
  const secure = Fastify({ http2: true })
  await secure.register(asyncCharts, options)

  const queue: ChartQueueService = app.asyncCharts
  const wish: CreateChartRequest = { message_id, visibility: ChartVisibility.ORGANIZATION, priority: ChartPriority.HIGH, params: { rows: [1, null] } }
  const { task, outcome }: EnqueueResult = await queue.enqueueChartTask(wish, identity, { idempotencyKey: 'a' })
  const batch: BatchedChartRequest[] = [{ message_id, ref: 'a' }, { message_id, depends_on: ['a'] }]
  const accepted: EnqueueBatchResult = await queue.enqueueChartTasks(batch, identity)
  const shown: PublicChartTask = { ...task, queue_position: 1, retry_of: message_id }
  for await (const state of queue.watchTask(task.task_id, { after: shown.version })) if (state.status === ChartStatus.COMPLETED) break
  const { signal } = new AbortController()
  for await (const state of queue.watchMessage(message_id, identity, { signal })) groupState(state)
  const wanted: MessageChartsOptions = { limit: 1, content: false, mayRead: async (one: ChartTask | null) => one !== null }
  const found: MessageCharts = await queue.getMessageCharts(message_id, identity, wanted)
  const [listed]: ListedChart[] = found.charts
  const content: JsonValue | undefined = listed?.content
  const stats: QueueStats = await queue.getQueueStats()
  const asked: ListTasksOptions = { status: 'FAILED', user_id: 'ada', limit: 10, cursor: null }
  const page: TaskPage = await queue.listTasks(asked)
  const details: TaskDetails | null = await queue.getTaskDetails(task.task_id)
  const attempts: readonly AttemptRecord[] = details?.attempts ?? []
  const taken = await queue.dequeueChartTask('by-hand')
  const outcomes: Outcome[] = [{ content }, { error: new Error('no') }]
  if (taken) await queue.completeTask(taken.task.task_id, taken.lease, outcomes[0]!)
  console.log(outcome, accepted.batch_id, stats.paused, page.cursor, attempts.length, (await queue.checkHealth()).store)
  try {
    await queue.retryTask(task.task_id)
  } catch (error) {
    if (error instanceof errors.CHARTS_ERR_TASK_NOT_FAILED) console.log(error.code, error.statusCode)
  }
}

function groupState ({ task, cursor }: GroupState): string {
  return `${task.task_id} ${cursor}`
}

export async function worker (): Promise<void> {
  const place: StoreChoice = { store: memoryStore() }
  const given: RunWorkerOptions = { ...place, generate, concurrency: 4, handleSignals: false, logger }
  const running: ChartWorker = await runWorker(given)
  await running.stop()
  await running.done
  const serviceOptions: ChartQueueServiceOptions = { ...place, poll: 100, leaseDuration: 1_000 }
  await new ChartQueueService(serviceOptions).close()
}

interface Params { year: number, region?: string }
const typed: GenerateChart<Params, BarChart> = async ({ params }) => ({ mark: 'bar', rows: [{ x: 'a', y: params?.year ?? 0 }] })
const typedStore: ChartStore<BarChart> = { async save ({ content }) { content.rows.map(({ y }) => y) }, async get () { return null }, async findByMessage () { return [] } }
const paramsSchema: ParamsSchema<Params> = { type: 'object' }
const definition: ChartsDefinition<Params, BarChart> = defineCharts({ paramsSchema, generate: typed, chartStore: typedStore })
const inferred = defineCharts({ paramsSchema: Type.Object({ year: Type.Integer() }), generate: async ({ params }) => ({ year: params?.year.toFixed() }) })
const paramsOf: ParamsOf<typeof inferred> = { year: 2026 }
const contentOf: ContentOf<typeof inferred> = { year: undefined }
const content: ChartContent = contentOf

const retention: RetentionOptions = { task: 60, status: undefined }
const backoff: BackoffOptions = { type: 'fixed' }
const retry: RetryOptions = { attempts: 1, backoff }
const limits: LimitsOptions = { queueTimeout: 1_000 }
const stream: StreamOptions = { pollInterval: 1_000, allowedOrigins: '*' }
const inProcess: WorkerOptions = { concurrency: 1 }
const log: RouteLogOptions = { logLevel: 'warn' }
const creator: CreatorOptions = { retention, retry }
const queueOptions: QueueOptions = { store: memoryStore(), limits }

export async function define (): Promise<void> {
  const app = Fastify()
  await app.register(asyncCharts, { ...queueOptions, ...creator, ...definition, ...log, identify, stream, worker: inProcess })
  await app.register(asyncCharts, { store: memoryStore(), identify, ...inferred })
  await app.register(asyncCharts, { store: memoryStore(), identify, generate: typed, chartStore: typedStore })
  await runWorker({ store: memoryStore(), ...definition })
  await runWorker({ store: memoryStore(), ...inferred })
  await runWorker({ store: memoryStore(), paramsSchema: Type.Object({ year: Type.Integer() }), generate: async ({ params }) => ({ year: params?.year.toFixed() }) })
  // @ts-expect-error: the schema and the generator disagree about the year
  defineCharts({ paramsSchema: Type.Object({ year: Type.String() }), generate: typed })
  console.log(paramsOf, content)
}

export function fault (error: unknown): ChartsErrorCode | FailureCode | undefined {
  const operation: Operation = 'stats'
  if (!isChartsError(error)) return operation === 'stats' ? 'CHARTS_ERR_WORKER_LOST' : undefined
  const known: ChartsError = error
  return known.code
}

export const schemas = [BatchRequestSchema, ChartSchema, ChartTaskSchema, CreateChartRequestSchema]
export const estimated = ({ step_at }: StoredTask): number | null => step_at

export async function conformance (mine: TaskStore): Promise<void> {
  const open: OpenStore = async ({ now }) => now() > 0 ? mine : memoryStore()
  for (const one of storeConformance as readonly ConformanceCase[]) await one.run(open)
}
