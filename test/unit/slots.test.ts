import t from 'tap'
import { setTimeout as delay } from 'node:timers/promises'
import type { Attempt } from '../../lib/worker/attempt.ts'
import { Slots } from '../../lib/worker/slots.ts'

/** The part of an attempt that slots use. */
function attempt (): { attempt: Attempt, abort: AbortController } {
  const abort = new AbortController()
  return { attempt: { signal: abort.signal } as unknown as Attempt, abort }
}

t.test('slots are free up to the total', async t => {
  const slots = new Slots(2)
  const [one, two] = [attempt().attempt, attempt().attempt]
  t.equal(slots.add(one, false), true)
  t.equal(slots.hasFree, true)
  t.equal(slots.add(two, false), true)
  t.equal(slots.hasFree, false)
  slots.remove(one)
  t.equal(slots.hasFree, true)
  t.same([...slots.attempts], [two])
})

t.test('nothing may run beside a solitary attempt, and no slot is free until it has ended', async t => {
  const slots = new Slots(3)
  const [solitary, late] = [attempt().attempt, attempt().attempt]
  t.equal(slots.add(solitary, true), true)
  t.equal(slots.hasFree, false)
  t.equal(slots.add(late, true), false)
  t.equal(slots.solitary, solitary, 'the first one stays')
  t.equal(slots.waiting, null, 'it runs: a drain must not abort it because of the other one')
  slots.remove(late)
  t.equal(slots.hasFree, false)
  slots.remove(solitary)
  t.equal(slots.hasFree, true)
})

for (const [how, end] of [
  ['the attempts beside it have ended', (slots: Slots, others: Attempt[]) => others.forEach(other => slots.remove(other))],
  ['it is aborted', (_slots: Slots, _others: Attempt[], abort: AbortController) => abort.abort()]
] as const) {
  t.test(`a solitary attempt waits until ${how}`, async t => {
    const slots = new Slots(3)
    const others = [attempt().attempt, attempt().attempt]
    const { attempt: solitary, abort } = attempt()
    for (const other of others) slots.add(other, false)
    slots.add(solitary, true)
    let isAlone = false
    const alone = slots.untilAlone(solitary).then(() => { isAlone = true })
    await delay(5)
    t.equal(isAlone, false)
    t.equal(slots.waiting, solitary)
    end(slots, others, abort)
    await alone
    t.equal(slots.waiting, null)
  })
}
