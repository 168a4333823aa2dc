// What pages write: every export of the client once. Compiled by test/types, never run.
import { ChartsClientError, createChartsClient } from 'fastify-async-charts/client'
import type {
  Batch, ByMessageOptions, CallOptions, ChartPriority, ChartStatus, ChartVisibility, ChartsClient, ChartsClientOptions, ClientCode, CreateBatchedChart,
  CreateChart, CreateOptions, CreatedBatch, CreatedTask, FinishedChart, GenerateOptions, JsonValue, ListedMessage, PublicChartTask, Watch, WatchOptions
} from 'fastify-async-charts/client'

interface Params { year: number }
interface Bars { mark: 'bar', rows: number[] }

const options: ChartsClientOptions = { baseUrl: 'https://charts.example/api/v1/analytics', fetch, headers: async ({ refused }) => ({ authorization: refused ? 'new' : 'old' }) }
const charts: ChartsClient<Params, Bars> = createChartsClient<Params, Bars>(options)
const plain: ChartsClient = createChartsClient()
createChartsClient({ headers: () => new Headers(), baseUrl: new URL('https://charts.example') })

const message_id = 'b4fb1bd1-0f68-4e51-9d3c-3cba7b1e0b8e'
const { signal } = new AbortController()
const body: CreateChart<Params> = { message_id, adjustment_query: null, visibility: 'PRIVATE', priority: 'high', params: { year: 2026 } }
const generateOptions: GenerateOptions = { signal, idempotencyKey: 'key', onUpdate: ({ progress }) => progress.toFixed() }

export async function page (): Promise<void> {
  const chart: FinishedChart<Bars> = await charts.generate(body, generateOptions)
  chart.content.rows.map(row => row * 2)
  const { content } = await plain.generate({ message_id })
  const value: JsonValue = content
  const create: CreateOptions = { idempotencyKey: 'key', signal }
  const task: CreatedTask = await charts.create(body, create)
  const status: ChartStatus = task.status
  const visibility: ChartVisibility = task.visibility
  const priority: ChartPriority = 'low'
  const watchOptions: WatchOptions = { signal }
  const watch: Watch = charts.watch(task.task_id, watchOptions)
  for await (const state of watch) state.step_progress['rendering']?.toFixed()
  for await (const state of charts.watchMessage(message_id)) state satisfies PublicChartTask
  const call: CallOptions = { signal }
  const listing: ByMessageOptions = { limit: 10, content: false, signal }
  const listed: ListedMessage<Bars> = await charts.byMessage(message_id, listing)
  listed.charts[0]?.content?.mark
  const batched: CreateBatchedChart<Params> = { ref: 'a', message_id }
  const created: CreatedBatch = await charts.createBatch([batched, { message_id, depends_on: ['a'] }])
  for await (const { version } of charts.watchBatch(created.batch_id)) version.toFixed()
  const batch: Batch = await charts.batch(created.batch_id, call)
  batch.counts.COMPLETED.toFixed()
  await charts.cancelBatch(created.batch_id)
  const cancelled: PublicChartTask = await charts.cancel((await charts.status(task.task_id)).task_id)
  try {
    await charts.result(cancelled.task_id, call)
  } catch (error) {
    if (!(error instanceof ChartsClientError)) throw error
    const code: string = error.code
    const known: ClientCode = 'NETWORK_ERROR'
    if (code === known && error.status === 0 && error.retryAfter !== undefined) error.retryAfter.toFixed()
    error.task?.error_code?.toLowerCase()
  }

  // @ts-expect-error: the year is a number
  await charts.create({ message_id, params: { year: '2026' } })
  // @ts-expect-error: what is created needs a message
  await charts.create({})
  // @ts-expect-error: not what the generator returns
  const wrong: FinishedChart<{ mark: 'line' }> = chart
  // @ts-expect-error: there is no such option
  createChartsClient({ base: '/' })
  void [value, status, visibility, priority, wrong]
}
