import t from 'tap'
import { setTimeout as delay } from 'node:timers/promises'
import { StoreBudget } from '../../lib/http/store-budget.ts'

/** Longer than the budget of a request. */
const TOO_LONG_MS = 2_500
const unavailable = { code: 'CHARTS_ERR_STORE_UNAVAILABLE' }
const never = () => new Promise<never>(() => {})

t.test('the budget of a request', async t => {
  // Each waits until a budget is spent: at the same time, this takes two seconds.
  t.jobs = 10

  t.test('bounds all reads together, one after the other', async t => {
    const budget = new StoreBudget()
    const start = performance.now()
    t.equal(await budget.spend(() => delay(1_000, 'read')), 'read')
    await t.rejects(budget.spend(never), unavailable)
    t.ok(performance.now() - start < TOO_LONG_MS)
    await t.rejects(budget.spend(async () => 'not called'), unavailable, 'and nothing is left for another')
  })

  t.test('bounds reads at the same time', async t => {
    const budget = new StoreBudget()
    const start = performance.now()
    const quick = budget.spend(() => delay(10, 'read'))
    const slow = budget.spend(never)
    t.equal(await quick, 'read')
    await t.rejects(slow, unavailable)
    t.ok(performance.now() - start < TOO_LONG_MS)
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
