import type { ChartStatus } from '../task.ts'
import type { Filter } from './filter.ts'
import type { Source } from './viewer.ts'

/** Tasks per call: Redis reads a page of this size in a few milliseconds. */
const PAGE_SIZE = 500

/** Statuses of the tasks that an action changes. */
const STATUSES: Readonly<Record<'retry' | 'cancel', readonly ChartStatus[]>> = { retry: ['FAILED'], cancel: ['PENDING', 'PROCESSING'] }

/**
 * Counts a page of the tasks that an action would change, of each status one after the other. `cursor`: where the next page begins; null
 * after the last. It is the number of the status and the cursor of its list.
 */
export async function countMatching ({ service, read }: Source, action: 'retry' | 'cancel', filter: Filter, cursor: string | null): Promise<{ count: number, cursor: string | null }> {
  const statuses = STATUSES[action].filter(status => (filter.status ?? status) === status)
  const [, first = '0', position] = /^(\d)\.(.+)$/s.exec(cursor ?? '') ?? []
  let count = 0
  for (let i = Number(first); i < statuses.length; i++) {
    const page = await read(() => service.listTasks({ ...filter, status: statuses[i], limit: PAGE_SIZE, cursor: i === Number(first) ? position : null }))
    count += page.tasks.length
    if (page.cursor !== null) return { count, cursor: `${i}.${page.cursor}` }
  }
  return { count, cursor: null }
}
