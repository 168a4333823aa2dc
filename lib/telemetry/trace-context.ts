import type { TraceContext } from '../task.ts'

/** Version, trace id, span id, flags. Ids of zeros, and version ff, are invalid (W3C Trace Context). */
const TRACEPARENT = /^(?!ff)[\da-f]{2}-(?!0{32})[\da-f]{32}-(?!0{16})[\da-f]{16}-[\da-f]{2}$/
const TRACESTATE = /^[\x20-\x7e]+$/
/** Characters of a `tracestate` that W3C asks to propagate. A longer one is not stored. */
const MAX_TRACESTATE_BYTES = 512

/**
* The valid part of a trace context. W3C Trace Context requires to ignore an invalid one: without a valid `traceparent` the result is
 * null, and an invalid `tracestate` is left out.
 */
export function toTraceContext (given: { readonly traceparent?: unknown, readonly tracestate?: unknown } | null | undefined): TraceContext | null {
  const { traceparent, tracestate } = given ?? {}
  if (typeof traceparent !== 'string' || !TRACEPARENT.test(traceparent)) return null
  const isKept = typeof tracestate === 'string' && tracestate.length <= MAX_TRACESTATE_BYTES && TRACESTATE.test(tracestate)
  // Frozen, because the memory store keeps this very object.
  return Object.freeze(isKept ? { traceparent, tracestate } : { traceparent })
}
