import type { StoredTask } from '../../task.ts'
import type { EndedTasks, MessageQuery, MessageTasks, TaskDetails, TaskRef } from '../task-store.ts'
import { isReplyError, within, type RedisClient } from './connections.ts'
import type { Keyspace } from './keys.ts'
import { requestOf, toTask, type RawTask } from './records.ts'
import type { ScriptRunner } from './script-runner.ts'
import { toDetails } from './task-details.ts'
import { fromWord, toWord } from './words.ts'

/** Tasks and bytes that one script reads at most: Redis serves nobody else meanwhile. */
const MAX_READ = { tasks: 100, bytes: 2 ** 18 }

/** A task in a reply; null where there is none. */
export type Found = RawTask | null
type RawRef = [task_id: string, created: string, completed: string | null]

/** The tasks that can be read. */
export const toTasks = (found: readonly Found[]): StoredTask[] => found.map(one => one && toTask(one)).filter(task => task !== null)

const toRefs = (refs: readonly RawRef[]): TaskRef[] =>
  refs.map(([task_id, created, completed]) => ({ task_id, created_at: Number(created), completed_at: completed === null ? null : Number(completed) }))

export async function readTasks (runner: ScriptRunner, task_ids: readonly string[], bytes?: number): Promise<Array<StoredTask | null>> {
  const records = await runner.run<Found[]>('read', [Math.min(bytes ?? MAX_READ.bytes, MAX_READ.bytes), ...task_ids.slice(0, MAX_READ.tasks)])
  const found = records.map(record => record && toTask(record))
  const isWhole = bytes !== undefined || found.length === task_ids.length
  return isWhole ? found : [...found, ...await readTasks(runner, task_ids.slice(found.length))]
}

export async function readRequest (runner: ScriptRunner, task_id: string): Promise<string | null> {
  const [record] = await runner.run<Found[]>('read', [0, task_id])
  return record ? requestOf(record) : null
}

export async function readContent (client: RedisClient, keys: Keyspace, chart_id: string): Promise<string | null> {
  try {
    return await within(client, () => client.get(keys.chart(chart_id)))
  } catch (error) {
    // Another program has written to this key: the chart is lost, but the store is available.
    if (isReplyError(error, 'WRONGTYPE')) return null
    throw error
  }
}

export async function readContents (runner: ScriptRunner, chart_ids: readonly string[], bytes: number): Promise<Array<string | number | null>> {
  return chart_ids.length === 0 ? [] : runner.run('contents', [bytes, ...chart_ids])
}

export async function readDetails (runner: ScriptRunner, task_id: string): Promise<TaskDetails<StoredTask> | null> {
  const [found, history] = await runner.run<[Found, string[]?]>('inspect', [task_id])
  return found && toDetails(found, history!)
}

export async function readMessage (runner: ScriptRunner, { message_id, user_id, org_id, limit }: MessageQuery & { readonly org_id: string | null }): Promise<MessageTasks> {
  const [active, completed, failed, others, now] = await runner.run<[RawRef[], RawRef[], RawRef[], RawRef[], string]>(
    'message', [message_id, toWord(user_id), org_id === null ? '' : toWord(org_id), limit])
  return {
    active: toRefs(active),
    completed: [...toRefs(completed), ...toRefs(others)].sort((a, b) => b.completed_at! - a.completed_at!).slice(0, limit),
    failed: toRefs(failed),
    read_at: Number(now)
  }
}

export async function readActive (runner: ScriptRunner, { message_id, user_id, limit }: MessageQuery): Promise<TaskRef[]> {
  const [active] = await runner.run<[RawRef[]]>('message', [message_id, toWord(user_id), '', limit, 1])
  return toRefs(active)
}

export async function readEnded (runner: ScriptRunner, { message_id, user_id, since, limit }: MessageQuery & { readonly since: number }): Promise<EndedTasks> {
  const [refs, now] = await runner.run<[RawRef[], string]>('ended', [message_id, toWord(user_id), since, limit])
  return { tasks: toRefs(refs), read_at: Number(now) }
}

export async function readBatch (runner: ScriptRunner, batch_id: string): Promise<{ user_id: string, tasks: TaskRef[] } | null> {
  const [user_id, refs] = await runner.run<[string | null, RawRef[]?]>('batch', [batch_id])
  return user_id === null ? null : { user_id: fromWord(user_id), tasks: toRefs(refs!) }
}
