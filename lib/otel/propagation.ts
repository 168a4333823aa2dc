import type { TraceContext } from '../task.ts'
import { context, createTraceState, isSpanContextValid, ROOT_CONTEXT, trace, type Context, type SpanContext } from '@opentelemetry/api'
import type { Traced } from '../telemetry/channels.ts'

/** The trace context of a span. In W3C format whatever propagator the host uses, because two hosts of a queue may use different ones. */
export function toTraceContext (span: SpanContext): TraceContext | null {
  if (!isSpanContextValid(span)) return null
  const traceparent = `00-${span.traceId}-${span.spanId}-${(span.traceFlags & 0xff).toString(16).padStart(2, '0')}`
  const tracestate = span.traceState?.serialize()
  return tracestate ? { traceparent, tracestate } : { traceparent }
}

/** The span context of a stored trace context. */
export function toSpanContext ({ traceparent, tracestate }: TraceContext): SpanContext {
  const [, traceId, spanId, flags] = traceparent.split('-')
  return {
    traceId: traceId!,
    spanId: spanId!,
    traceFlags: parseInt(flags!, 16),
    isRemote: true,
    ...(tracestate === undefined ? {} : { traceState: createTraceState(tracestate) })
  }
}

/** A context in which that span is the parent of new spans; without a stored trace context, one without a parent. */
export const contextOf = (stored: TraceContext | null): Context =>
  stored ? trace.setSpanContext(ROOT_CONTEXT, toSpanContext(stored)) : ROOT_CONTEXT

/** Runs the operation in a context, within those that other subscribers set. */
export function runIn (message: Traced, active: Context): void {
  const inner = message.run
  message.run = operation => context.with(active, () => inner ? inner(operation) : operation())
}
