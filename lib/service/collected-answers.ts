import type { MessageIndex } from '../store/task-store.ts'
import { isFinished, type ChartTask, type Identity } from '../task.ts'
import { hostIdOf, messageIdOf } from './arguments.ts'
import { toContent } from './charts.ts'
import { collect } from './collect.ts'
import type { ListedChart, MessageCharts, MessageChartsOptions } from './listed-charts.ts'
import type { OpenAnswers } from './open-answers.ts'

/** Maximum number of active tasks in one answer, and maximum bytes of their `adjustment_query` together. */
const MAX_ACTIVE = 1_000
const MAX_ACTIVE_BYTES = 8 * 2 ** 20

/** A user's unfinished tasks of a message, newest first. */
export async function activeTasks (
  { store, answers }: { readonly store: Pick<MessageIndex, 'readActive'>, readonly answers: OpenAnswers }, message_id: string, user_id: string
): Promise<ChartTask[]> {
  const refs = await store.readActive({ message_id: messageIdOf(message_id), user_id: hostIdOf(user_id, 'user_id'), limit: MAX_ACTIVE })
  const active: ChartTask[] = []
  let bytes = 0
  for await (const tasks of answers.tasks(refs)) {
    for (const task of tasks) {
      // A task may have ended since its reference was read.
      if (isFinished(task)) continue
      bytes += Buffer.byteLength(task.adjustment_query ?? '')
      if (bytes > MAX_ACTIVE_BYTES) return active
      active.push(task)
    }
  }
  return active
}

/** The charts and tasks of a message, contents parsed. */
export async function messageCharts (answers: OpenAnswers, message_id: string, identity: Identity, options: MessageChartsOptions): Promise<MessageCharts> {
  const listing = await answers.message(message_id, identity, options)
  const active_tasks = await answers.estimated(await collect(listing.active()))
  const failed_tasks = await collect(listing.failed())
  const charts: ListedChart[] = []
  for await (const { chart, content } of listing.charts()) charts.push(content === undefined ? chart : { ...chart, ...toContent(content) })
  return { charts, active_tasks, failed_tasks, content_complete: listing.contentComplete, cursor: listing.cursor }
}
