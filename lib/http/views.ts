import { createHash } from 'node:crypto'
import type { ChartTask, PublicChartTask } from '../task.ts'
import { once } from './once.ts'

/** The door: what leaves the process does not say whose it is, and names no place in a queue that it is not in. */
export function publicTask ({ user_id, org_id, depends_on, step_at, step_from, progress_at, queue_position, retry_of, ...task }: ChartTask): PublicChartTask {
  return { ...task, ...(queue_position === null ? {} : { queue_position }), ...(retry_of === null ? {} : { retry_of }) }
}

/** What an operator sees of a task: whose it is too. */
export function operatorTask (task: ChartTask): PublicChartTask & Pick<ChartTask, 'user_id' | 'org_id'> {
  const { user_id, org_id } = task
  return { ...publicTask(task), user_id, org_id }
}

/** A WebSocket message: the task itself. */
export const webSocketFrame = once((task: ChartTask) => Buffer.from(JSON.stringify(publicTask(task))))

const sseData = once((task: ChartTask) => Buffer.concat([Buffer.from('data: {"type":"status_update","data":'), webSocketFrame(task), Buffer.from('}\n\n')]))

/** An SSE event of one task among many: the cursor is what `Last-Event-ID` comes back with. */
export const groupFrame = ({ task, cursor }: { task: ChartTask, cursor: string }): Buffer =>
  Buffer.concat([Buffer.from(`id: ${cursor}\n`), sseData(task)])

/** An SSE event: the version is what `Last-Event-ID` comes back with. */
export const sseFrame = once((task: ChartTask) => Buffer.concat([Buffer.from(`id: ${task.version}\n`), sseData(task)]))

/**
 * A weak validator of a task (RFC 9110), its version to the fore. Another place in the queue is another answer, lest a browser
 * show an old one from its cache. Another estimate is not: it changes with time alone.
 */
export function etagOf ({ estimated_completion: _, ...seen }: PublicChartTask): string {
  return `W/"${seen.version}.${createHash('sha1').update(JSON.stringify(seen)).digest('base64url')}"`
}

const opaque = (tag: string): string => tag.trim().replace(/^W\//, '')
const named = (ifNoneMatch: string): string[] => ifNoneMatch.split(',').map(opaque)

/** Whether `If-None-Match` names this validator; weakly compared, as RFC 9110 has it for GET. */
export function matches (ifNoneMatch: string, etag: string): boolean {
  return ifNoneMatch.trim() === '*' || named(ifNoneMatch).includes(opaque(etag))
}

/** The validator by which it names this version of the task, wherever that stood then; null where it does not. */
export function namedVersion (ifNoneMatch: string, task: PublicChartTask): string | null {
  if (ifNoneMatch.trim() === '*') return etagOf(task)
  const tag = named(ifNoneMatch).find(candidate => candidate.startsWith(`"${task.version}.`))
  return tag === undefined ? null : `W/${tag}`
}
