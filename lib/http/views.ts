import { createHash } from 'node:crypto'
import type { ChartTask, PublicChartTask } from '../task.ts'

/** The door: what leaves the process does not say whose it is. */
export function publicTask ({ user_id, org_id, ...task }: ChartTask): PublicChartTask {
  return task
}

/** Makes something of a task once, however many readers there are. */
function once<T> (make: (task: ChartTask) => T): (task: ChartTask) => T {
  const made = new WeakMap<ChartTask, T>()
  return task => {
    let value = made.get(task)
    if (value === undefined) {
      value = make(task)
      made.set(task, value)
    }
    return value
  }
}

/** A WebSocket message: the task itself. */
export const webSocketFrame = once(task => Buffer.from(JSON.stringify(publicTask(task))))

const sseData = once(task => Buffer.concat([Buffer.from('data: {"type":"status_update","data":'), webSocketFrame(task), Buffer.from('}\n\n')]))

/** An SSE event of one task among many: the cursor is what `Last-Event-ID` comes back with. */
export const groupFrame = ({ task, cursor }: { task: ChartTask, cursor: string }): Buffer =>
  Buffer.concat([Buffer.from(`id: ${cursor}\n`), sseData(task)])

/** An SSE event: the version is what `Last-Event-ID` comes back with. */
export const sseFrame = once(task => Buffer.concat([Buffer.from(`id: ${task.version}\n`), sseData(task)]))

/** A strong validator of a body (RFC 9110). */
export function etagOf (body: string): string {
  return `"${createHash('sha1').update(body).digest('base64url')}"`
}

/** Whether `If-None-Match` names this validator; weakly compared, as RFC 9110 has it for GET. */
export function matches (ifNoneMatch: string | undefined, etag: string): boolean {
  if (ifNoneMatch === undefined) return false
  return ifNoneMatch.trim() === '*' || ifNoneMatch.split(',').some(candidate => candidate.trim().replace(/^W\//, '') === etag)
}
