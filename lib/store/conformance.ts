import { attempts } from './conformance/attempts.ts'
import { backoff } from './conformance/backoff.ts'
import { batch } from './conformance/batch.ts'
import { cancel } from './conformance/cancel.ts'
import { checkpoints } from './conformance/checkpoints.ts'
import { deadlines } from './conformance/deadlines.ts'
import { dependencies } from './conformance/dependencies.ts'
import { endings } from './conformance/endings.ts'
import { enqueue } from './conformance/enqueue.ts'
import { fairness } from './conformance/fairness.ts'
import { hints, waiting } from './conformance/hints.ts'
import { idempotencyKeys } from './conformance/idempotency.ts'
import { kept } from './conformance/kept.ts'
import { large } from './conformance/large.ts'
import { leases } from './conformance/leases.ts'
import { limits } from './conformance/limits.ts'
import { list } from './conformance/list.ts'
import { lostWorkers } from './conformance/lost-workers.ts'
import { history, workers } from './conformance/monitoring.ts'
import { message } from './conformance/message.ts'
import { snapshot } from './conformance/snapshot.ts'
import { parts } from './conformance/parts.ts'
import { pause } from './conformance/pause.ts'
import { position } from './conformance/position.ts'
import { priority } from './conformance/priority.ts'
import { progress } from './conformance/progress.ts'
import { retained } from './conformance/retention.ts'
import { dedup_key } from './conformance/dedup.ts'
import { schedule } from './conformance/schedule.ts'
import { supersedes } from './conformance/supersede.ts'
import { trace } from './conformance/trace.ts'
import type { ConformanceCase } from './conformance/scene.ts'

export type { ConformanceCase, OpenStore } from './conformance/scene.ts'
export type * from './task-store.ts'

/**
 * What every store must keep, as cases for any test runner: call `run` of each with what opens an empty store.
 * A store that passes them all may be given as the option `store`.
 */
export const storeConformance: readonly ConformanceCase[] = [
  ...enqueue, ...dedup_key, ...idempotencyKeys, ...leases, ...lostWorkers, ...endings, ...backoff, ...progress, ...cancel, ...message, ...retained, ...limits,
  ...hints, ...waiting, ...priority, ...fairness, ...schedule, ...supersedes, ...dependencies, ...batch, ...checkpoints,
  ...position, ...snapshot, ...deadlines, ...pause, ...list, ...attempts, ...large, ...parts, ...kept, ...workers, ...history, ...trace
]
