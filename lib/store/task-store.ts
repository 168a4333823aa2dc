import type { HintSource } from './port/hint-source.ts'
import type { LeaseStore } from './port/lease-store.ts'
import type { MessageIndex } from './port/message-index.ts'
import type { HistoryStore, WorkerDirectory } from './port/monitoring-store.ts'
import type { QueueAdmin } from './port/queue-admin.ts'
import type { QueueStatistics } from './port/queue-statistics.ts'
import type { StoreClock, StoreConnection } from './port/store-connection.ts'
import type { TaskQueue } from './port/task-queue.ts'
import type { TaskReader } from './port/task-reader.ts'

export type * from './port/hint-source.ts'
export type * from './port/lease-store.ts'
export type * from './port/message-index.ts'
export type * from './port/monitoring-store.ts'
export type * from './port/queue-admin.ts'
export type * from './port/queue-statistics.ts'
export type * from './port/store-connection.ts'
export type * from './port/task-queue.ts'
export type * from './port/task-reader.ts'

/**
 * The port between the service and a place that keeps tasks. Two stores implement it, in memory and on Redis; the conformance suite holds
 * every store to it.
 *
 * | interface | what it does | who needs it |
 * |---|---|---|
 * | `TaskQueue` | accepts and cancels tasks | admission, bulk operations |
 * | `LeaseStore` | claims tasks, settles attempts, stores their progress and step results, extends leases | workers |
 * | `TaskReader` | reads tasks, requests and charts by id | every read of one task or chart, watches |
 * | `MessageIndex` | finds tasks by message or batch | lists and streams of a message or batch |
 * | `QueueAdmin` | lists tasks; pauses the queue; removes expired tasks | operators; cleanup by workers |
 * | `QueueStatistics` | counts tasks; reads the queue snapshot | the stats route, metrics, estimates |
 * | `WorkerDirectory` | registers workers; lists them with their running attempts | workers; operators |
 * | `HistoryStore` | adds and reads counts per minute | every process adds; operators read |
 * | `HintSource` | announces changes | watches, and workers for cancels |
 * | `StoreClock` | tells a test's time | tests only |
 * | `StoreConnection` | health, start and end of the store's connections | the readiness probe, start-up and shutdown |
 *
 * Reads and writes are not apart everywhere: `list`, `readWorkers` and `readHistory` only read, and are beside the writes that make what they
 * return.
 *
 * Every method is atomic, and harmless when it is repeated with the same ids. Arguments are never changed. Results belong to the caller, who
 * does not change them. Unless a method says otherwise, it throws `CHARTS_ERR_STORE_UNAVAILABLE` if the store cannot be reached, is full, or
 * does not answer in time; it is then unknown whether the call took effect.
 */
export interface TaskStore extends
  TaskQueue, LeaseStore, TaskReader, MessageIndex, QueueAdmin, QueueStatistics, WorkerDirectory, HistoryStore, HintSource, StoreClock,
  StoreConnection {}
