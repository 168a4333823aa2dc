// What hosts write that listen to their queue. Compiled by test/types, never run.
import { channel, tracingChannel } from 'node:diagnostics_channel'
import { metrics, trace } from '@opentelemetry/api'
import { ChartQueueService, memoryStore } from 'fastify-async-charts'
import type {
  AttemptEndedMessage, CancelDeliveredMessage, CancelMessage, ClaimMessage, ClaimedMessage, EnqueueOptions, EstimateMessage, FeedMessage, GenerateContext,
  LeaseExpiredMessage, ObservedQueue, ProcessMessage, RefusedMessage, SendMessage, SettleMessage, StepMessage, StreamMessage, TaskEndedMessage, Telemetry,
  ThreadMessage, TraceContext
} from 'fastify-async-charts'
import { otel, otelThread } from 'fastify-async-charts/otel'
import type { OtelOptions } from 'fastify-async-charts/otel'

const options: OtelOptions = { tracer: trace.getTracer('mine'), meter: metrics.getMeter('mine'), queueGauges: false }
otelThread()

/** All that there is, as one line each. */
export function lines (say: (line: string) => void): Telemetry {
  const from = <Message extends { readonly queue: ObservedQueue }>(name: string, line: (message: Message) => unknown) => {
    channel(`fastify-async-charts:${name}`).subscribe(message => { say(`${(message as Message).queue.keyPrefix}: ${String(line(message as Message))}`) })
  }
  return {
    listen (queue) {
      from<AttemptEndedMessage>('attempt-ended', ({ outcome, code }) => [outcome, code])
      from<CancelDeliveredMessage>('cancel-delivered', ({ latency }) => latency)
      from<ClaimedMessage>('claimed', ({ task, priority, lease, waited }) => [task.task_id, priority, lease, waited])
      from<EstimateMessage>('estimate', ({ error }) => error)
      from<FeedMessage>('feed', ({ up }) => up)
      from<LeaseExpiredMessage>('lease-expired', ({ worker_id, attempt }) => [worker_id, attempt])
      from<RefusedMessage>('refused', ({ code }) => code)
      from<StreamMessage>('stream', ({ transport, open }) => [transport, open])
      from<TaskEndedMessage>('task-ended', ({ task }) => task.status)
      const ended = (message: unknown) => {
        const { outcome, code, thrown } = message as ProcessMessage
        say([outcome, code, thrown, queue.slots?.used, queue.isFeedUp].join(' '))
      }
      const { asyncEnd } = tracingChannel('fastify-async-charts:process')
      asyncEnd.subscribe(ended)
      return () => asyncEnd.unsubscribe(ended)
    }
  }
}

export type Operations = SendMessage | ClaimMessage | SettleMessage | CancelMessage | ProcessMessage | StepMessage | ThreadMessage

export const headersOf = ({ trace }: GenerateContext): Record<string, string> => ({ ...trace })

const place: TraceContext = { traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' }
const asked: EnqueueOptions = { idempotencyKey: 'once', trace: place }
const queue = new ChartQueueService({ store: memoryStore(), telemetry: otel(options) })
await queue.enqueueChartTask({ message_id: 'b4fb1bd1-0f68-4e51-9d3c-3cba7b1e0b8e' }, { user_id: 'ada' }, asked)
