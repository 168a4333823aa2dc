import type { TraceContext } from '../task.ts'
import { context, SpanKind, SpanStatusCode, trace, type Attributes, type Context, type Exception, type Link, type Span, type SpanOptions, type Tracer } from '@opentelemetry/api'
import { tracingChannels, type ObservedQueue, type Traced } from '../telemetry/channels.ts'
import { errorTypeOf } from './error-type.ts'
import { ATTRIBUTES, SYSTEM } from './names.ts'
import { contextOf, runIn, toSpanContext, toTraceContext } from './propagation.ts'
import { onOperation } from './subscribe.ts'

const linkTo = (stored: TraceContext, link: 'send' | 'dependency'): Link => ({ context: toSpanContext(stored), attributes: { [ATTRIBUTES.link]: link } })

/** Records an error. It is the host's: even its getters may throw. */
function recordException (span: Span, thrown: unknown): void {
  try {
    span.recordException(thrown instanceof Error ? thrown as Exception : String(thrown))
  } catch {}
}

function setFailed (span: Span, type: string, thrown: unknown): void {
  span.setAttribute(ATTRIBUTES.error, type)
  span.setStatus({ code: SpanStatusCode.ERROR })
  if (thrown !== undefined) recordException(span, thrown)
}

/** Opens spans around the operations of a queue in this process. Returns a function that stops this. */
export function traceQueue (queue: ObservedQueue, tracer: Tracer): () => void {
  const { send, process, step } = tracingChannels
  const base: Attributes = { [ATTRIBUTES.system]: SYSTEM, [ATTRIBUTES.destination]: queue.keyPrefix }
  const spans = new WeakMap<Traced, Span>()

  const open = (message: Traced, name: string, options: SpanOptions, parent: Context) => {
    const span = tracer.startSpan(name, { ...options, attributes: { ...base, ...options.attributes } }, parent)
    spans.set(message, span)
    message.trace = toTraceContext(span.spanContext())
    runIn(message, trace.setSpan(parent, span))
  }

  const ends = [
    onOperation(send, queue, {
      start (message) {
        const active = context.active()
        // The headers of the request count only if no instrumentation of the host has read them.
        const parent = trace.getSpan(active) ? active : contextOf(message.trace)
        const attributes = { [ATTRIBUTES.operation]: 'send', [ATTRIBUTES.operationType]: 'send' }
        open(message, `send ${queue.keyPrefix}`, { kind: SpanKind.PRODUCER, attributes }, parent)
      },
      end (message) {
        const { result, error } = message
        const span = spans.get(message)
        if (!span) return
        if (!result) {
          setFailed(span, errorTypeOf(error), error)
        } else if ('tasks' in result) {
          span.setAttributes({ [ATTRIBUTES.batchCount]: message.count, [ATTRIBUTES.outcome]: result.outcome })
        } else {
          span.setAttributes({ [ATTRIBUTES.message]: result.task.task_id, [ATTRIBUTES.outcome]: result.outcome })
        }
        span.end()
      }
    }),

    onOperation(process, queue, {
      start (message) {
        const { task, priority, lease, worker_id, trace: stored, dependencies } = message
        const links = [...(stored ? [linkTo(stored, 'send')] : []), ...dependencies.map(dependency => linkTo(dependency, 'dependency'))]
        const attributes = {
          [ATTRIBUTES.operation]: 'process',
          [ATTRIBUTES.operationType]: 'process',
          [ATTRIBUTES.message]: task.task_id,
          [ATTRIBUTES.client]: worker_id,
          [ATTRIBUTES.attempt]: task.attempt,
          [ATTRIBUTES.maxAttempts]: task.max_attempts,
          [ATTRIBUTES.lease]: lease,
          [ATTRIBUTES.priority]: priority
        }
        open(message, `process ${queue.keyPrefix}`, { kind: SpanKind.CONSUMER, attributes, links }, contextOf(stored))
      },
      end (message) {
        const { outcome, code, thrown, error } = message
        const span = spans.get(message)
        if (!span) return
        span.setAttribute(ATTRIBUTES.outcome, outcome ?? 'failed')
        if (code !== undefined) setFailed(span, code, thrown)
        else if (error !== undefined) setFailed(span, errorTypeOf(error), error)
        span.end()
      }
    }),

    onOperation(step, queue, {
      start (message) {
        const { task, step, remembered } = message
        const attributes = { [ATTRIBUTES.message]: task.task_id, [ATTRIBUTES.step]: step, [ATTRIBUTES.remembered]: remembered }
        open(message, `step ${step}`, { kind: SpanKind.INTERNAL, attributes }, context.active())
      },
      end (message) {
        const span = spans.get(message)
        if (!span) return
        if (message.error !== undefined) setFailed(span, errorTypeOf(message.error), message.error)
        span.end()
      }
    })
  ]
  return () => { for (const end of ends) end() }
}
