import { randomUUID } from 'node:crypto'
import { test } from 'tap'
import { chartIdOf } from '../../lib/service/chart-identity.ts'

test('every lease gives a chart id of its own, and always the same one', async t => {
  const task_id = randomUUID()
  const ids = Array.from({ length: 1_000 }, (_, i) => chartIdOf(task_id, i + 1))
  t.equal(new Set(ids).size, ids.length)
  t.strictSame(ids, Array.from({ length: 1_000 }, (_, i) => chartIdOf(task_id, i + 1)))
  t.not(chartIdOf(randomUUID(), 1), ids[0])
  for (const id of ids) t.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
})
