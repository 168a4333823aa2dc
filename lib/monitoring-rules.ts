// What the service and both stores must agree on.

/** ms of the minutes that are counted, and how long they are kept. */
export const MINUTE_MS = 60_000
export const HISTORY_MS = 86_400_000
/** Error codes of one minute that are kept apart, what the others are called, and the latest tasks of each. */
export const MAX_CODES = 20
export const OTHER_CODES = 'other'
export const MAX_LATEST = 5
/** Running attempts that are shown of one worker. */
export const MAX_SHOWN_ATTEMPTS = 100

const compare = (a: string, b: string): number => a < b ? -1 : a > b ? 1 : 0

/** The order in which workers are listed. */
export const byHostAndStart = (a: { host: string, started_at: string }, b: { host: string, started_at: string }): number =>
  compare(a.host, b.host) || compare(a.started_at, b.started_at)
