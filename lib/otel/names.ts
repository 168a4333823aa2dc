/** Attributes of spans and labels of metrics. A test compares docs/reference/telemetry.md with these tables. */
export const ATTRIBUTES = {
  system: 'messaging.system',
  destination: 'messaging.destination.name',
  operation: 'messaging.operation.name',
  operationType: 'messaging.operation.type',
  message: 'messaging.message.id',
  batchCount: 'messaging.batch.message_count',
  client: 'messaging.client.id',
  error: 'error.type',
  attempt: 'async_charts.attempt',
  maxAttempts: 'async_charts.max_attempts',
  lease: 'async_charts.lease',
  priority: 'async_charts.priority',
  outcome: 'async_charts.outcome',
  link: 'async_charts.link',
  step: 'async_charts.step.name',
  remembered: 'async_charts.step.remembered'
} as const

export const LABELS = {
  status: 'status',
  outcome: 'outcome',
  code: 'code',
  priority: 'priority',
  step: 'step',
  remembered: 'remembered',
  state: 'state',
  transport: 'transport'
} as const

export const SYSTEM = 'fastify_async_charts'

/** Bucket bounds in seconds: for client operations those of the messaging conventions, for charts up to the default attempt timeout. */
const CLIENT_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10]
const CHART_BUCKETS = [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1_800]

interface Metric {
  readonly kind: 'counter' | 'histogram' | 'gauge' | 'upDownCounter'
  readonly unit: string
  readonly description: string
  /** In addition to `messaging.system` and `messaging.destination.name`, which all metrics have. */
  readonly labels: readonly string[]
  readonly buckets?: readonly number[]
}

const { operation, outcome, error } = ATTRIBUTES

export const METRICS = {
  'messaging.client.sent.messages': { kind: 'counter', unit: '{message}', description: 'Charts asked for, by what came of it', labels: [operation, outcome, error] },
  'messaging.client.consumed.messages': { kind: 'counter', unit: '{message}', description: 'Attempts that workers have claimed', labels: [operation] },
  'messaging.client.operation.duration': { kind: 'histogram', unit: 's', description: 'Calls to the store', labels: [operation, ATTRIBUTES.operationType, error], buckets: CLIENT_BUCKETS },
  'messaging.process.duration': { kind: 'histogram', unit: 's', description: 'Attempts, from begin to outcome', labels: [operation, outcome, error], buckets: CHART_BUCKETS },
  'async_charts.tasks.finished': { kind: 'counter', unit: '{task}', description: 'Tasks that have ended', labels: [LABELS.status, error] },
  'async_charts.attempts': { kind: 'counter', unit: '{attempt}', description: 'Attempts that have ended', labels: [LABELS.outcome] },
  'async_charts.leases.expired': { kind: 'counter', unit: '{lease}', description: 'Leases whose worker has ended or could not reach the store', labels: [] },
  'async_charts.requests.refused': { kind: 'counter', unit: '{request}', description: 'Requests that were answered with an error', labels: [LABELS.code] },
  'async_charts.task.wait.duration': { kind: 'histogram', unit: 's', description: 'From when a task could run to its first attempt', labels: [LABELS.priority], buckets: CHART_BUCKETS },
  'async_charts.task.duration': { kind: 'histogram', unit: 's', description: 'From when a task was created to its end', labels: [LABELS.status], buckets: CHART_BUCKETS },
  'async_charts.step.duration': { kind: 'histogram', unit: 's', description: 'Steps of attempts', labels: [LABELS.step, LABELS.remembered, error], buckets: CHART_BUCKETS },
  'async_charts.cancel.latency': { kind: 'histogram', unit: 's', description: 'From the cancel of a running task until its generator had stopped', labels: [], buckets: CLIENT_BUCKETS },
  'async_charts.estimate.error': { kind: 'histogram', unit: 's', description: 'How far the first estimate was from when the chart was there, early or late', labels: [], buckets: CHART_BUCKETS },
  'async_charts.tasks': { kind: 'gauge', unit: '{task}', description: 'Unfinished tasks of the whole queue', labels: [LABELS.state] },
  'async_charts.queue.oldest.age': { kind: 'gauge', unit: 's', description: 'Age of the task at the head of the queue, 0 where none waits', labels: [] },
  'async_charts.queue.paused': { kind: 'gauge', unit: '', description: '1 while the queue is paused', labels: [] },
  'async_charts.worker.slots': { kind: 'gauge', unit: '{slot}', description: 'Slots of the worker in this process', labels: [LABELS.state] },
  'async_charts.feed.up': { kind: 'gauge', unit: '', description: '1 while live updates arrive without polling', labels: [] },
  'async_charts.streams': { kind: 'upDownCounter', unit: '{stream}', description: 'Open streams of this process', labels: [LABELS.transport] }
} as const satisfies Readonly<Record<string, Metric>>

export type MetricName = keyof typeof METRICS
type NamesOf<Kind extends Metric['kind']> = { [Name in MetricName]: (typeof METRICS)[Name]['kind'] extends Kind ? Name : never }[MetricName]
export type SyncName = NamesOf<'counter' | 'upDownCounter'>
export type HistogramName = NamesOf<'histogram'>
export type GaugeName = NamesOf<'gauge'>

export const namesOf = <Kind extends Metric['kind']>(...kinds: Kind[]): Array<NamesOf<Kind>> =>
  (Object.keys(METRICS) as MetricName[]).filter(name => (kinds as string[]).includes(METRICS[name].kind)) as Array<NamesOf<Kind>>
