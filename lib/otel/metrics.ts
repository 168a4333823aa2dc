import type { Attributes, Counter, Histogram, Meter, UpDownCounter } from '@opentelemetry/api'
import { channels, tracingChannels, type ObservedQueue } from '../telemetry/channels.ts'
import { errorTypeOf, OTHER } from './error-type.ts'
import { ATTRIBUTES, LABELS, METRICS, namesOf, SYSTEM, type HistogramName, type SyncName } from './names.ts'
import { onMessage, onOperation } from './subscribe.ts'

/** Maximum number of values of a label that comes from the host's code, such as a step name: a bug there must not create a million series. */
const MAX_VALUES = 100

/** Passes the first values of a label; all others become one value. */
function bounded (): (value: string) => string {
  const known = new Set<string>()
  return value => {
    if (!known.has(value)) {
      if (known.size === MAX_VALUES) return OTHER
      known.add(value)
    }
    return value
  }
}

type Sync = Readonly<Record<SyncName, Counter | UpDownCounter>>
type Histograms = Readonly<Record<HistogramName, Histogram>>

function createSync (meter: Meter): Sync {
  return Object.fromEntries(namesOf('counter', 'upDownCounter').map(name => {
    const { kind, unit, description } = METRICS[name]
    return [name, kind === 'counter' ? meter.createCounter(name, { unit, description }) : meter.createUpDownCounter(name, { unit, description })]
  })) as Sync
}

function createHistograms (meter: Meter): Histograms {
  return Object.fromEntries(namesOf('histogram').map(name => {
    const { unit, description, buckets } = METRICS[name]
    return [name, meter.createHistogram(name, { unit, description, advice: { explicitBucketBoundaries: [...buckets] } })]
  })) as Histograms
}

/** Records the metrics of a queue in this process. Returns a function that stops this. */
export function measureQueue (queue: ObservedQueue, meter: Meter): () => void {
  const base: Attributes = { [ATTRIBUTES.system]: SYSTEM, [ATTRIBUTES.destination]: queue.keyPrefix }
  const counters = createSync(meter)
  const histograms = createHistograms(meter)
  const count = (name: SyncName, labels: Attributes = {}, by = 1) => counters[name].add(by, { ...base, ...labels })
  const measure = (name: HistogramName, ms: number, labels: Attributes = {}) => histograms[name].record(Math.max(0, ms) / 1_000, { ...base, ...labels })
  const errorLabel = bounded()
  const stepLabel = bounded()
  const failed = (type: string) => ({ [ATTRIBUTES.error]: errorLabel(type) })
  const begun = new WeakMap<object, number>()
  const begin = (message: object) => { begun.set(message, performance.now()) }
  // An operation that started before the subscription has no duration.
  const since = (message: object, then: (ms: number) => void) => {
    const at = begun.get(message)
    if (at !== undefined) then(performance.now() - at)
  }

  const operations = [[tracingChannels.send, 'send', 'send'], [tracingChannels.claim, 'claim', 'receive'], [tracingChannels.settle, 'settle', 'settle'], [tracingChannels.cancel, 'cancel', null]] as const
  const ends = operations.map(([channel, operation, type]) => onOperation<{ readonly queue: ObservedQueue, error?: unknown }>(channel as typeof tracingChannels.cancel, queue, {
    start: begin,
    end (message) {
      since(message, ms => measure('messaging.client.operation.duration', ms, {
        [ATTRIBUTES.operation]: operation,
        ...(type && { [ATTRIBUTES.operationType]: type }),
        ...(message.error === undefined ? {} : failed(errorTypeOf(message.error)))
      }))
    }
  }))

  ends.push(
    onOperation(tracingChannels.send, queue, {
      end ({ count: tasks, result, error }) {
        const name = 'messaging.client.sent.messages'
        const operation = { [ATTRIBUTES.operation]: 'send' }
        if (!result) return count(name, { ...operation, ...failed(errorTypeOf(error)) }, tasks)
        for (const { outcome } of 'tasks' in result ? result.tasks : [result]) count(name, { ...operation, [ATTRIBUTES.outcome]: outcome })
      }
    }),
    onOperation(tracingChannels.process, queue, {
      start: begin,
      end (message) {
        const { outcome = 'failed', code, error } = message
        since(message, ms => measure('messaging.process.duration', ms, {
          [ATTRIBUTES.operation]: 'process',
          [ATTRIBUTES.outcome]: outcome,
          ...(code === undefined ? error === undefined ? {} : failed(errorTypeOf(error)) : failed(code))
        }))
      }
    }),
    onOperation(tracingChannels.step, queue, {
      start: begin,
      end (message) {
        const { step, remembered, error } = message
        since(message, ms => measure('async_charts.step.duration', ms, {
          [LABELS.step]: stepLabel(step), [LABELS.remembered]: remembered, ...(error === undefined ? {} : failed(errorTypeOf(error)))
        }))
      }
    }),
    onMessage(channels.claimed, queue, ({ priority, waited }) => {
      count('messaging.client.consumed.messages', { [ATTRIBUTES.operation]: 'claim' })
      if (waited !== null) measure('async_charts.task.wait.duration', waited, { [LABELS.priority]: priority })
    }),
    onMessage(channels.attemptEnded, queue, ({ outcome }) => count('async_charts.attempts', { [LABELS.outcome]: outcome })),
    onMessage(channels.leaseExpired, queue, () => count('async_charts.leases.expired')),
    onMessage(channels.refused, queue, ({ code }) => count('async_charts.requests.refused', { [LABELS.code]: errorLabel(code) })),
    onMessage(channels.taskEnded, queue, ({ task: { status, error_code, created_at, completed_at } }) => {
      count('async_charts.tasks.finished', { [LABELS.status]: status, ...(error_code === null ? {} : failed(error_code)) })
      measure('async_charts.task.duration', Date.parse(completed_at!) - Date.parse(created_at), { [LABELS.status]: status })
    }),
    onMessage(channels.cancelDelivered, queue, ({ latency }) => measure('async_charts.cancel.latency', latency)),
    onMessage(channels.estimate, queue, ({ error }) => measure('async_charts.estimate.error', Math.abs(error))),
    onMessage(channels.stream, queue, ({ transport, open }) => count('async_charts.streams', { [LABELS.transport]: transport }, open ? 1 : -1))
  )
  return () => { for (const end of ends) end() }
}
