import t from 'tap'
import { memoryStore } from '../../lib/store/memory.ts'
import type { HistoryAddition } from '../../lib/store/task-store.ts'
import { holdToConformance } from '../helpers/stores.ts'

t.test('in memory', async t => holdToConformance(t, async ({ now }) => memoryStore({ now })))

t.test('in memory, counts of more processes than are told apart are all added', async t => {
  const store = memoryStore({ now: () => 60_000 })
  const addition = (process_id: string): HistoryAddition => ({
    process_id, addition_id: 'first', minutes: [{ at: 60_000, created: 1, started: 0, completed: 0, cancelled: 0, failed: {}, latest: {}, wait: { sum: 0, counts: {} }, run: { sum: 0, counts: {} } }]
  })
  const created = async () => (await store.readHistory(1, { latest: false })).minutes[0]!.created
  for (let i = 1; i <= 1_100; i++) await store.addHistory(addition(`${i}`))
  t.equal(await created(), 1_100)
  await store.addHistory(addition('1100'))
  t.equal(await created(), 1_100, 'the latest one is not added twice')
})
