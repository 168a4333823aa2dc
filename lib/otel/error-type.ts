/** The value that OpenTelemetry gives for an error without a low-cardinality name. */
export const OTHER = '_OTHER'

/** A stable name for an error: its code if that has the form of ours, else `OTHER`. */
export function errorTypeOf (error: unknown): string {
  try {
    const code = (error as { code?: unknown } | null | undefined)?.code
    return typeof code === 'string' && /^[A-Z][A-Z0-9_]{0,63}$/.test(code) ? code : OTHER
  } catch {
    // Its getters throw.
    return OTHER
  }
}
