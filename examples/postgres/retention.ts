// Deletes old charts, once: run it every day. DATABASE_URL is where they are, CHART_DAYS how long they are kept.
import { chartPool } from './chart-pool.ts'
import { deleteOldCharts } from './delete-old-charts.ts'

const days = Number(process.env['CHART_DAYS'] ?? 365)
// At least `retention.task`: a task names its chart, and would lead to nothing.
if (!(days >= 1)) throw new Error(`CHART_DAYS must be a number from 1 on, got ${process.env['CHART_DAYS']}`)
const pool = chartPool({ connectionString: process.env['DATABASE_URL'] }, error => console.error(`PostgreSQL: ${error.message}`))
try {
  const deleted = await deleteOldCharts(pool, new Date(Date.now() - days * 86_400_000))
  console.log(`${deleted} charts of more than ${days} days were deleted`)
} finally {
  await pool.end()
}
