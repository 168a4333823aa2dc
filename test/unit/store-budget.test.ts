import t from 'tap'
import { setTimeout as delay } from 'node:timers/promises'
import { StoreBudget } from '../../lib/http/store-budget.ts'

/** Longer than the budget of a request. */
const TOO_LONG_MS = 2_500
const unavailable = { code: 'CHARTS_ERR_STORE_UNAVAILABLE' }
const never = () => new Promise<never>(() => {})
/** The code with which the promise rejects, or 'late' if a timer of `ms` fires first: timers of one process keep their order on a busy machine, too. */
const firstOf = (promise: Promise<unknown>, ms: number) => Promise.race([promise.then(() => 'resolved', error => error.code), delay(ms, 'late')])

t.test('the budget of a request', async t => {
  // Each waits until a budget is spent: at the same time, this takes two seconds.
  t.jobs = 10

  t.test('bounds all reads together, one after the other', async t => {
    const budget = new StoreBudget()
    t.equal(await budget.spend(() => delay(1_000, 'read')), 'read')
    t.equal(await firstOf(budget.spend(never), 1_500), unavailable.code, 'after what the first has left')
    await t.rejects(budget.spend(async () => 'not called'), unavailable, 'and nothing is left for another')
  })

  t.test('bounds reads at the same time', async t => {
    const budget = new StoreBudget()
    const quick = budget.spend(() => delay(10, 'read'))
    const slow = budget.spend(never)
    t.equal(await quick, 'read')
    t.equal(await firstOf(slow, TOO_LONG_MS), unavailable.code)
  })

  t.test('does not count a hook of the host', async t => {
    const budget = new StoreBudget()
    t.equal(await budget.spend(() => budget.exempt(() => delay(TOO_LONG_MS, 'allowed'))), 'allowed')
    t.equal(await budget.spend(async () => 'read'), 'read', 'and time is left')
  })

  t.test('counts again after a hook of the host', async t => {
    const budget = new StoreBudget()
    await t.rejects(budget.spend(async () => {
      await budget.exempt(() => delay(10))
      return never()
    }), unavailable)
  })

  t.test('has a fallback for an estimate', async t => {
    const budget = new StoreBudget()
    t.equal(await budget.estimate(never, 'unknown'), 'unknown')
    t.equal(await budget.estimate(async () => 'known', 'unknown'), 'unknown')
    await t.rejects(new StoreBudget().estimate(() => Promise.reject(new Error('failed')), 'unknown'), { message: 'failed' })
  })
})
