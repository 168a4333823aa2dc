import type { Filter } from './filter.ts'
import type { Source } from './viewer.ts'

/** Tasks per call: Redis reads a page of this size in a few milliseconds. */
const PAGE_SIZE = 500

/** Counts a page of the tasks that an action would change. `cursor`: where the next page begins; null after the last. */
export async function countMatching ({ service, read }: Source, action: 'retry' | 'cancel', filter: Filter, cursor: string | null): Promise<{ count: number, cursor: string | null }> {
  const isWanted = action === 'retry' ? (status: string) => status === 'FAILED' : (status: string) => status === 'PENDING' || status === 'PROCESSING'
  const narrowed = action === 'retry' ? { ...filter, status: 'FAILED' as const } : filter
  const page = await read(() => service.listTasks({ ...narrowed, limit: PAGE_SIZE, cursor: cursor || null }))
  const count = page.tasks.filter(({ status }) => isWanted(status)).length
  // Unfinished tasks are listed first, and the cursor says in which of the two lists the page has ended.
  const isOver = action === 'cancel' && (count < page.tasks.length || page.cursor?.startsWith('finished') === true)
  return { count, cursor: isOver ? null : page.cursor }
}
