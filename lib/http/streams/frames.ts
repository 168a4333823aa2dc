import type { ChartTask } from '../../task.ts'
import { publicTask } from '../projections.ts'
import { memoize } from './memoize.ts'

// A state of a task is one object for all its watchers, so each frame is serialised once, however many readers it is sent to.

/** A WebSocket message: the task. */
export const webSocketFrame = memoize((task: ChartTask) => Buffer.from(JSON.stringify(publicTask(task))))

const sseData = memoize((task: ChartTask) => Buffer.concat([Buffer.from('data: {"type":"status_update","data":'), webSocketFrame(task), Buffer.from('}\n\n')]))

/** An SSE event of a stream of one task. Its id, which comes back as `Last-Event-ID`, is the version. */
export const sseFrame = memoize((task: ChartTask) => Buffer.concat([Buffer.from(`id: ${task.version}\n`), sseData(task)]))

/** An SSE event of a stream of many tasks. Its id, which comes back as `Last-Event-ID`, is the cursor. */
export const groupFrame = ({ task, cursor }: { task: ChartTask, cursor: string }): Buffer =>
  Buffer.concat([Buffer.from(`id: ${cursor}\n`), sseData(task)])
