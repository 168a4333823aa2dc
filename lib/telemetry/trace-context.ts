import type { TraceContext } from '../store/task-store.ts'

/** Version, trace id, span id, flags. Ids of zeros, and version ff, are invalid (W3C Trace Context). */
const TRACEPARENT = /^(?!ff)[\da-f]{2}-(?!0{32})[\da-f]{32}-(?!0{16})[\da-f]{16}-[\da-f]{2}$/
const TRACESTATE = /^[\x20-\x7e]+$/
/** What W3C asks everybody to pass on; a longer one is not stored. */
const MAX_TRACESTATE_BYTES = 512

/**
 * What can be stored of a trace context. As W3C Trace Context has it, one that is invalid is ignored, not refused: without a valid
 * `traceparent` there is none, and an invalid `tracestate` is left out.
 */
export function toTraceContext (given: { readonly traceparent?: unknown, readonly tracestate?: unknown } | null | undefined): TraceContext | null {
  const { traceparent, tracestate } = given ?? {}
  if (typeof traceparent !== 'string' || !TRACEPARENT.test(traceparent)) return null
  const isKept = typeof tracestate === 'string' && tracestate.length <= MAX_TRACESTATE_BYTES && TRACESTATE.test(tracestate)
  // What is handed out is what a store in memory keeps.
  return Object.freeze(isKept ? { traceparent, tracestate } : { traceparent })
}
