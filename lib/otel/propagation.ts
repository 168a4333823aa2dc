import { context, createTraceState, isSpanContextValid, ROOT_CONTEXT, trace, type Context, type SpanContext } from '@opentelemetry/api'
import type { TraceContext } from '../store/task-store.ts'
import type { Traced } from '../telemetry/channels.ts'

/** What is stored of a span. In the words of W3C Trace Context whatever propagator the host has: two hosts of a queue may have two. */
export function toTraceContext (span: SpanContext): TraceContext | null {
  if (!isSpanContextValid(span)) return null
  const traceparent = `00-${span.traceId}-${span.spanId}-${(span.traceFlags & 0xff).toString(16).padStart(2, '0')}`
  const tracestate = span.traceState?.serialize()
  return tracestate ? { traceparent, tracestate } : { traceparent }
}

/** The span that is meant by what was stored. */
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

/** The context in which that span is the parent of what begins; none is where nothing was stored. */
export const contextOf = (stored: TraceContext | null): Context =>
  stored ? trace.setSpanContext(ROOT_CONTEXT, toSpanContext(stored)) : ROOT_CONTEXT

/** Has the operation run in a context, beside what others have it run in. */
export function runIn (message: Traced, active: Context): void {
  const inner = message.run
  message.run = operation => context.with(active, () => inner ? inner(operation) : operation())
}
