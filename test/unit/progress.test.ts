import fc from 'fast-check'
import { test } from 'tap'
import { merge, toReport } from '../../lib/service/progress.ts'

const all = (...updates: unknown[]) => {
  const [report, ...later] = updates.map(update => toReport('task', 1, update as never))
  for (const next of later) merge(report!, next)
  return { ...report!, step_progress: { ...report!.step_progress } }
}
const report = (update: unknown) => {
  const { task_id: _task_id, lease: _lease, ...rest } = all(update)
  return rest
}
const nothing = { progress: null, step: null, step_progress: {} }

test('a report carries what was said, as whole numbers from 0 to 100', async t => {
  t.strictSame(all({ step: 'rendering', step_progress: 12.9, progress: 50.5 }), {
    task_id: 'task', lease: 1, progress: 50, step: 'rendering', step_progress: { rendering: 12 }
  })
  t.strictSame(report({ step: 'rendering', step_progress: 250, progress: -3 }), { progress: 0, step: 'rendering', step_progress: { rendering: 100 } })
  t.strictSame(report({ progress: Infinity }), { ...nothing, progress: 99 })
  t.strictSame(report({ progress: -Infinity }), { ...nothing, progress: 0 })
})

test('100 is shown only when the chart is stored, but a step may be done', async t => {
  t.strictSame(report({ progress: 100, step: 'rendering', step_progress: 100 }), { progress: 99, step: 'rendering', step_progress: { rendering: 100 } })
})

test('what is no report says nothing', async t => {
  for (const update of [undefined, null, {}, 5, 'half', [], { progress: '50' }, { progress: NaN }, { step: '' }, { step: 5 }]) {
    t.strictSame(report(update), nothing, String(JSON.stringify(update)))
  }
  t.strictSame(report({ step_progress: 50 }), nothing, 'a step_progress without a step')
})

test('the name of a step is cut where it is too long', async t => {
  t.equal(report({ step: 'x'.repeat(1_000) }).step?.length, 64)
  t.equal(report({ step: 'x'.repeat(63) + '📈' }).step, 'x'.repeat(63) + '\ufffd', 'and no half a character is left')
})

test('a step may be named like what every object has', async t => {
  const { step_progress } = toReport('task', 1, { step: '__proto__', step_progress: 5 })
  t.strictSame(Object.entries(step_progress), [['__proto__', 5]])
})

test('of two reports the later wins, but the overall figure never falls', async t => {
  const fetched = { step: 'fetch', step_progress: 100, progress: 50 }
  const rendering = { step: 'render', step_progress: 5, progress: 40 }
  const merged = { task_id: 'task', lease: 1, progress: 50, step: 'render', step_progress: { fetch: 100, render: 5 } }
  t.strictSame(all(fetched, rendering), merged)
  t.strictSame(all(fetched, rendering, {}), merged)
  t.equal(all({}, { progress: 0 }).progress, 0)
  t.equal(all({}, {}).progress, null)
  t.strictSame(all({ step: 'fetch', step_progress: 90 }, { step: 'fetch', step_progress: 10 }).step_progress, { fetch: 10 })
})

test('of new steps without end the first are kept', async t => {
  const merged = all(...Array.from({ length: 10_000 }, (_, i) => ({ step: `step ${i}`, step_progress: i % 100 })))
  t.equal(Object.keys(merged.step_progress).length, 64)
  t.equal(merged.step, 'step 9999', 'the current step is told all the same')
})

test('whatever is said, the figures stay in their bounds and the overall one only grows', async t => {
  const update = fc.record({ step: fc.option(fc.string()), step_progress: fc.anything(), progress: fc.oneof(fc.double(), fc.anything()) }, { requiredKeys: [] })
  const fits = (value: number | null, most: number) => value === null || (Number.isInteger(value) && value >= 0 && value <= most)
  fc.assert(fc.property(fc.array(update, { minLength: 1, maxLength: 20 }), updates => {
    const reports = updates.map(update => toReport('task', 1, update as never))
    let last: number | null = null
    const merged = reports[0]!
    for (const next of reports.slice(1)) {
      merge(merged, next)
      if (!fits(merged.progress, 99) || !Object.values(merged.step_progress).every(value => fits(value, 100))) return false
      if (last !== null && merged.progress! < last) return false
      last = merged.progress
    }
    return true
  }))
  t.pass('held for all that was tried')
})
