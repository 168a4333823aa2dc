/** What OpenTelemetry calls an error that has no low-cardinality name. */
export const OTHER = '_OTHER'

/** A stable name for what was thrown: its code where it has one as ours are, else none. */
export function errorTypeOf (error: unknown): string {
  try {
    const code = (error as { code?: unknown } | null | undefined)?.code
    return typeof code === 'string' && /^[A-Z][A-Z0-9_]{0,63}$/.test(code) ? code : OTHER
  } catch {
    // Its getters throw.
    return OTHER
  }
}
