// What each feature of ours adds to a task, in commands and CPU of Redis. Names are those of the options and fields.
import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { ChartQueueService, CreateChartRequest, GenerateChart, Identity } from '../lib/index.ts'
import { makeRequest, MAX_BATCH } from './systems/system.ts'

export interface Feature {
  /** Of the service and of the worker. */
  readonly limits?: { readonly runningPerTenant?: number, readonly queueTimeout?: number }
  /** What is there before the clock starts. */
  readonly prepare?: (service: ChartQueueService, count: number) => Promise<void>
  readonly enqueue: (service: ChartQueueService, count: number) => Promise<void>
  /** ms from the last enqueue until all may run. */
  readonly due?: number
  readonly generate?: GenerateChart
}

const IN_FLIGHT = 100
const TENANTS = 50
const MANY_TENANTS = 1_000
/** Below what a tenant would run at a time, so that it is reached. */
const RUNNING_PER_TENANT = 1
const DEPENDENTS = 10
const DUE_MS = 3_000
/** ms between two reports: longer than a worker collects them. */
const REPORT_GAP_MS = 60
const PRIORITIES = ['high', 'normal', 'low'] as const

const tenant = (i: number, tenants = TENANTS): Identity => ({ user_id: `user-${i % tenants}` })

/** Each task by itself, 100 in flight. */
function single (fields: (i: number) => Partial<CreateChartRequest> = () => ({}), identity: (i: number) => Identity = tenant, options?: () => { idempotencyKey: string }): Feature['enqueue'] {
  return (service, count) => inFlight(count, i => service.enqueueChartTask({ ...makeRequest(i), ...fields(i) }, identity(i), options?.()))
}

const plain = single()
export const PLAIN_TASKS: Feature = { enqueue: plain }

export const FEATURES: Readonly<Record<string, Feature>> = {
  deduplication: { enqueue: single(() => ({ force_create: false })) },
  'idempotency-key': { enqueue: single(undefined, tenant, () => ({ idempotencyKey: randomUUID() })) },
  batch: { enqueue: batches },
  dependency: { enqueue: dependents },
  runningPerTenant: { enqueue: plain, limits: { runningPerTenant: RUNNING_PER_TENANT } },
  priority: { enqueue: single(i => ({ priority: PRIORITIES[i % PRIORITIES.length]! })) },
  tenants: { enqueue: single(undefined, i => tenant(i, MANY_TENANTS)) },
  run_at: { enqueue: single(() => ({ run_at: new Date(Date.now() + DUE_MS).toISOString() })), due: DUE_MS },
  progress: { enqueue: plain, generate: reportThreeTimes },
  step: { enqueue: plain, generate: (_request, { step }) => step('query', async () => ({ rows: 1 })) },
  supersede: superseding(),
  queueTimeout: { enqueue: plain, limits: { queueTimeout: 60_000 } },
  organization: { enqueue: single(() => ({ visibility: 'ORGANIZATION' }), i => ({ ...tenant(i), org_id: `org-${i % TENANTS}` })) }
}
export const FEATURE_NAMES = Object.keys(FEATURES)

async function batches (service: ChartQueueService, count: number): Promise<void> {
  for (let begin = 0; begin < count; begin += MAX_BATCH) {
    const size = Math.min(MAX_BATCH, count - begin)
    await service.enqueueChartTasks(Array.from({ length: size }, (_, i) => makeRequest(i)), tenant(begin / MAX_BATCH))
  }
}

/** Of each eleven tasks, ten need the first. */
async function dependents (service: ChartQueueService, count: number): Promise<void> {
  const group = DEPENDENTS + 1
  await inFlight(Math.ceil(count / group), async i => {
    const identity = tenant(i)
    const { task } = await service.enqueueChartTask(makeRequest(i), identity)
    const size = Math.min(DEPENDENTS, count - i * group - 1)
    await Promise.all(Array.from({ length: size }, (_, j) => service.enqueueChartTask({ ...makeRequest(j), depends_on: [task.task_id] }, identity)))
  }, Math.ceil(IN_FLIGHT / DEPENDENTS))
}

/** Each task ends an older one of its message, which waits. */
function superseding (): Feature {
  const messages: string[] = []
  return {
    async prepare (service, count) {
      messages.splice(0, messages.length, ...Array.from({ length: count }, () => randomUUID()))
      await single(i => ({ message_id: messages[i]! }))(service, count)
    },
    enqueue: single(i => ({ message_id: messages[i]!, supersede: true }))
  }
}

async function reportThreeTimes (...[, { progress }]: Parameters<GenerateChart>): Promise<object> {
  for (const [i, step] of ['query', 'model', 'rendering'].entries()) {
    progress({ step, progress: 25 * i })
    await delay(REPORT_GAP_MS)
  }
  return {}
}

async function inFlight (count: number, run: (i: number) => Promise<unknown>, lanes = IN_FLIGHT): Promise<void> {
  let next = 0
  await Promise.all(Array.from({ length: lanes }, async () => {
    while (next < count) await run(next++)
  }))
}
