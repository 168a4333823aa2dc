import { toWord } from './words.ts'

/**
 * Every key and channel starts with one hash tag, so that all of them live on one node of a Cluster. The names behind it
 * are listed in `docs/reference/redis-keys.md`.
 */
export function keyspace (keyPrefix: string) {
  const prefix = `{${keyPrefix}}:`
  return {
    /** What the scripts derive every key from. */
    prefix,
    /**
     * The keys of every script: the prefix, and one that never exists. With two, a Cluster that moves the slot answers TRYAGAIN;
     * with one, it would run the script on the node that has none of the tasks yet.
     */
    declared: [prefix, `${prefix}none`],
    workSignal: `${prefix}2:work_signal`,
    chart: (chart_id: string) => `${prefix}chart:${chart_id}`,
    updates: (task_id: string) => `${prefix}updates:${task_id}`,
    message: (message_id: string, user_id: string) => `${prefix}message:${message_id}:${toWord(user_id)}`,
    cancelled: `${prefix}cancelled`,
    ping: (process_id: string) => `${prefix}ping:${process_id}`
  }
}
export type Keyspace = ReturnType<typeof keyspace>
