import t from 'tap'
import { errors } from '../../lib/index.ts'
import { Budget } from '../../lib/service/budget.ts'
import { gate, type Gate } from '../helpers/gate.ts'

/** Runs something that ends when it is told to. */
function start (budget: Budget, amount: number, begun: string[], name: string) {
  const end: Gate<string> = gate()
  const run = budget.run(amount, () => {
    begun.push(name)
    return end.opened
  })
  return { run, end: () => end.open(name) }
}
const turn = () => new Promise(resolve => setImmediate(resolve))

t.test('as much runs as there is room for, first come, first served', async t => {
  const budget = new Budget(10)
  const begun: string[] = []
  const [a, b, c, d] = [['a', 6], ['b', 4], ['c', 8], ['d', 1]].map(([name, amount]) => start(budget, amount as number, begun, name as string))
  t.strictSame(begun, ['a', 'b'])
  a!.end()
  await turn()
  t.strictSame(begun, ['a', 'b'], 'd would fit, but came after c')
  b!.end()
  await turn()
  t.strictSame(begun, ['a', 'b', 'c', 'd'])
  t.equal(budget.idle, false)
  for (const one of [c, d]) one!.end()
  t.strictSame(await Promise.all([a, b, c, d].map(one => one!.run)), ['a', 'b', 'c', 'd'])
  t.equal(budget.idle, true)
})

t.test('what is larger than the budget runs alone', async t => {
  const budget = new Budget(10)
  const begun: string[] = []
  const [a, huge, b] = [['a', 1], ['huge', 100], ['b', 1]].map(([name, amount]) => start(budget, amount as number, begun, name as string))
  t.strictSame(begun, ['a'])
  a!.end()
  await turn()
  t.strictSame(begun, ['a', 'huge'])
  huge!.end()
  await turn()
  t.strictSame(begun, ['a', 'huge', 'b'])
  b!.end()
})

t.test('a store that is away is told to all that wait; another failure is not theirs', async t => {
  for (const [error, refused] of [[new errors.CHARTS_ERR_STORE_UNAVAILABLE(), true], [new Error('broken'), false]] as const) {
    const budget = new Budget(1)
    const runs = [budget.run(1, async () => {
      await turn()
      throw error
    }), budget.run(1, async () => 'second'), budget.run(1, async () => 'third')]
    const outcomes = await Promise.allSettled(runs)
    t.match(outcomes[0], { status: 'rejected', reason: error })
    t.strictSame(outcomes.slice(1).map(({ status }) => status), Array(2).fill(refused ? 'rejected' : 'fulfilled'))
    t.equal(await budget.run(1, async () => 'later'), 'later')
    t.equal(budget.idle, true)
  }
})
