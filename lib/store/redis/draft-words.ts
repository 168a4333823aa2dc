import type { TaskDraft } from '../task-store.ts'
import { toWord } from './words.ts'

/** The terms of a draft: the words behind `dedup_key` of TERMS in records.lua. */
export function toWords ({ message_id, user_id, tenant, shared_with, priority, retention, retry: { attempts, backoff } }: TaskDraft): string {
  const times = `${retention.task * 1000} ${retention.status * 1000} ${retention.messageIndex * 1000}`
  const pauses = `${backoff.type},${backoff.delay},${backoff.max},${backoff.jitter}`
  const user = toWord(user_id)
  return `${message_id} ${priority} ${attempts} ${times} ${pauses} ${tenant === `user:${user_id}` ? '=' : toWord(tenant)} ${user} ${shared_with === null ? '' : toWord(shared_with)}`
}

/** Options of a draft that few have, as JSON; empty where it has none. `extras` goes into its record. */
export function toOptions ({ force, chart_check, run_at, supersede, depends_on, queueTimeout, weight, retry_of, trace }: TaskDraft): string {
  const hasNone = !chart_check && run_at === null && !supersede && depends_on.length === 0 && queueTimeout === 0 && weight === 1 && retry_of === null && !trace
  if (hasNone) return force ? '{"force":true}' : ''
  const extras = {
    ...(run_at === null ? {} : { run_at }),
    ...(queueTimeout === 0 ? {} : { queue_timeout: queueTimeout }),
    ...(weight === 1 ? {} : { weight }),
    ...(retry_of === null ? {} : { retry_of }),
    // If `extras` has nothing else, plain-enqueue.lua copies it unchanged.
    ...trace
  }
  const options = {
    ...(force ? { force } : {}),
    ...(chart_check ? { chart_check: chart_check.chart_id, chart_exists: chart_check.kept } : {}),
    ...(run_at === null ? {} : { run_at }),
    ...(supersede ? { supersede } : {}),
    ...(depends_on.length === 0 ? {} : { needs: depends_on.join(' ') }),
    ...(retry_of === null ? {} : { retry_of }),
    ...(Object.keys(extras).length === 0 ? {} : { extras })
  }
  return JSON.stringify(options)
}
