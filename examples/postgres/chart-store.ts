// Charts in PostgreSQL: give the same store to every process, servers and workers.
import type { Chart, ChartStore } from 'fastify-async-charts'
import type { Pool } from 'pg'

/** All that a call returns is in memory, and by-message answers with no more. */
const MAX_LISTED = 100

export function postgresChartStore (pool: Pool): Required<ChartStore> {
  return {
    // It may come twice with the same chart.
    async save (chart) {
      const { chart_id, message_id, user_id, org_id, visibility, created_at } = chart
      await pool.query(
        `insert into charts (chart_id, message_id, user_id, org_id, visibility, created_at, chart)
         values ($1, $2, $3, $4, $5, $6, $7) on conflict (chart_id) do nothing`,
        [chart_id, message_id, user_id, org_id, visibility, created_at, JSON.stringify(chart)])
    },

    async get (chart_id) {
      const { rows } = await pool.query<{ chart: Chart }>('select chart from charts where chart_id = $1', [chart_id])
      return rows[0]?.chart ?? null
    },

    // The caller's own, and what is shared within the caller's org. Who has no org shares nothing: null equals nothing in SQL.
    async findByMessage (message_id, { user_id, org_id = null }) {
      const { rows } = await pool.query<{ chart: Chart }>(
        `select chart from charts
         where message_id = $1 and (user_id = $2 or (org_id = $3 and visibility <> 'PRIVATE'))
         order by created_at desc limit $4`,
        [message_id, user_id, org_id, MAX_LISTED])
      return rows.map(({ chart }) => chart)
    },

    async delete (chart_id) {
      await pool.query('delete from charts where chart_id = $1', [chart_id])
    }
  }
}
