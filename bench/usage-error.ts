/** What was asked for cannot be done: said in one line, without a stack. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}
