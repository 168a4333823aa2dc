import { errors } from '../errors.ts'
import type { TaskDraft } from '../store/task-store.ts'
import { ChartPriority } from '../task.ts'
import { digest } from './digest.ts'
import type { Owner } from './identity.ts'

const KEY = /^[\x20-\x7e]{1,255}$/

/** @throws CHARTS_ERR_IDEMPOTENCY_KEY_INVALID for anything but undefined and 1 to 255 printable ASCII characters */
export function checkIdempotencyKey (key: unknown): void {
  if (key !== undefined && !(typeof key === 'string' && KEY.test(key))) throw new errors.CHARTS_ERR_IDEMPOTENCY_KEY_INVALID()
}

/** What a draft carries of a key. The same key of another owner is another key. */
export function idempotencyOf ({ user_id, org_id }: Owner, key: string, body: string): TaskDraft['idempotency'] {
  return { key: digest(user_id, org_id, key), body }
}

/**
 * The digest of a request that comes with a key. `dependencies`: the tasks that it depends on, in a form that a repetition shares. Fields with
 * their default values are left out: the version before this one, which may work on the same queue, did not know them.
 */
export function digestOfBody ({ dedup_key, force, priority, run_at, supersede }: TaskDraft, dependencies: ReadonlyArray<string | number>): string {
  const scheduling = {
    ...(priority === ChartPriority.NORMAL ? {} : { priority }),
    ...(run_at === null ? {} : { run_at }),
    ...(supersede ? { supersede } : {}),
    ...(dependencies.length === 0 ? {} : { needs: dependencies })
  }
  return Object.keys(scheduling).length === 0 ? digest(dedup_key, force) : digest(dedup_key, force, scheduling)
}

/** The digest of a batch, from those of its requests in their order. */
export const digestOfBatch = (bodies: readonly string[]): string => digest('batch', ...bodies)
