import type { Pool } from 'pg'

/** Rows that one statement deletes: it is short, and holds nobody up. */
const SLICE = 1_000

/**
 * Deletes the charts that were made before a time; resolves to their number. Any number of processes may do it at once: each passes
 * over the rows that another is deleting.
 */
export async function deleteOldCharts (pool: Pool, before: Date, signal?: AbortSignal): Promise<number> {
  let total = 0
  for (;;) {
    signal?.throwIfAborted()
    const { rowCount } = await pool.query(
      `delete from charts where chart_id in (
         select chart_id from charts where created_at < $1 order by created_at limit $2 for update skip locked
       )`,
      [before, SLICE])
    total += rowCount ?? 0
    if ((rowCount ?? 0) < SLICE) return total
  }
}
