// Numbers that every built-in store keeps to: the memory store imports them, and the Lua scripts have them as `RULES.<name>`.
export { MAX_CODES, MAX_LATEST } from '../monitoring-rules.ts'
export { MAX_KEPT_BYTES } from '../task.ts'

/** Strides of the priorities: under full load, of every 21 tasks 16 are high, 4 normal and 1 low. */
export const STRIDE_HIGH = 1
export const STRIDE_NORMAL = 4
export const STRIDE_LOW = 16

/** The length of a round: a tenant of weight 3 has three turns in it, one of weight 1 has one. */
export const ROUND = 60
/** The score of a capped task is the number of its queue times this, plus its turn. */
export const CAPPED_RANK = 2 ** 44
/** First come, first served within a turn: the order of arrival, divided by this, is the fraction of a score. */
export const ARRIVALS = 2 ** 20
/** Of this many places that a tenant's capped tasks get, the last goes to a low task, and every `CAPPED_NORMAL_EVERY`th to a normal one. */
export const CAPPED_CYCLE = 21
export const CAPPED_NORMAL_EVERY = 5

/** Expired leases, passed queue timeouts and due tasks, all together, that one call collects. */
export const MAX_DUE = 25
/** Tasks that one call ends or makes ready because of others. */
export const MAX_CASCADE = 25
/** ms until a worker continues with deferred effects. Their caller does so at once: this is for a caller that has died. */
export const DEFERRED_DUE_MS = 100
/** Tasks that one call moves out of the queue, and back into it, for tenants at their cap. */
export const MAX_CAPPED_MOVES = 100
/** Tasks that one call claims, and bytes of requests and checkpoints after which it claims no more. */
export const MAX_CLAIMED = 500
export const MAX_CLAIMED_BYTES = 4 * 2 ** 20

/** Idempotency keys, and batches, that lead to one task. */
export const MAX_REFS = 100
/** Steps that a task shows. */
export const MAX_STEPS = 64
/** Attempts that are kept of one task. */
export const MAX_ATTEMPTS = 20
/** Of a tenant's tasks that have ended without an attempt, so many are kept, and so many of these with their whole requests. */
export const MAX_UNRUN = 10_000
export const MAX_WHOLE_REQUESTS = 1_000

/** Tasks that one call looks at for a list, and bytes of requests after which its page is full. */
export const MAX_LISTED = 1_000
export const MAX_LISTED_BYTES = 2 ** 20
/** Running attempts, and charts, in a snapshot, and finished tasks among which it looks for charts. */
export const MAX_IN_SNAPSHOT = 100
export const MAX_SNAPSHOT_SEARCHED = 500
