import { setImmediate } from 'node:timers/promises'
import t from 'tap'
import { errors } from '../../lib/errors.ts'
import { countFitting, Gatherer } from '../../lib/store/redis/gatherer.ts'
import { until } from '../helpers/gate.ts'

interface Call { readonly items: string[], answer (): void, fail (error: Error): void }

/** A gatherer whose calls are answered by hand, each item with itself in capitals. */
function start () {
  const calls: Call[] = []
  const gatherer = new Gatherer<string, string>(items => new Promise((resolve, reject) => {
    calls.push({ items, answer: () => resolve(items.map(item => item.toUpperCase())), fail: reject })
  }))
  return { calls, add: (item: string, bytes = 1) => gatherer.add(item, bytes) }
}

/** Adds items so that each has a call of its own. */
async function addAlone (add: (item: string) => Promise<string>, items: string[]): Promise<Array<Promise<string>>> {
  const answers = []
  for (const item of items) {
    answers.push(add(item))
    await setImmediate()
  }
  return answers
}

t.test('what comes alone is sent at once, what comes while four are under way together, each with its own answer', async t => {
  const { calls, add } = start()
  const first = await addAlone(add, ['a', 'b', 'c', 'd'])
  t.same(calls.map(({ items }) => items), [['a'], ['b'], ['c'], ['d']])
  const rest = ['e', 'f'].map(item => add(item))
  await setImmediate()
  t.equal(calls.length, 4)
  calls[1]!.answer()
  await until(async () => calls.length === 5)
  t.same(calls[4]!.items, ['e', 'f'])
  for (const call of calls) call.answer()
  t.same(await Promise.all([...first, ...rest]), ['A', 'B', 'C', 'D', 'E', 'F'])
})

t.test('what comes in one turn goes together, and much of it is divided between the calls that may be under way', async t => {
  const { calls, add } = start()
  const few = Promise.all(Array.from({ length: 16 }, (_, i) => add(`few ${i}`)))
  await setImmediate()
  t.same(calls.map(({ items }) => items.length), [16])
  const many = Promise.all(Array.from({ length: 100 }, (_, i) => add(`many ${i}`)))
  await setImmediate()
  t.same(calls.map(({ items }) => items.length), [16, 34, 33, 33])
  for (const call of calls) call.answer()
  t.same(await many, Array.from({ length: 100 }, (_, i) => `MANY ${i}`))
  await few
})

t.test('a call that fails fails its own items, and the next is sent', async t => {
  const { calls, add } = start()
  const answers = await addAlone(add, ['a', 'b', 'c', 'd', 'e'])
  calls[0]!.fail(new Error('no answer'))
  await t.rejects(answers[0]!, /no answer/)
  await until(async () => calls.length === 5)
  for (const call of calls.slice(1)) call.answer()
  t.same(await Promise.all(answers.slice(1)), ['B', 'C', 'D', 'E'])
})

t.test('who has waited too long is refused and not sent, and holds nobody up behind', async t => {
  const { calls, add } = start()
  const first = await addAlone(add, ['a', 'b', 'c', 'd'])
  const late = add('late')
  const since = performance.now()
  await until(async () => performance.now() - since > 1_600)
  const next = add('next')
  calls[0]!.answer()
  await t.rejects(late, new errors.CHARTS_ERR_STORE_UNAVAILABLE())
  await until(async () => calls.length === 5)
  t.same(calls[4]!.items, ['next'])
  for (const call of calls) call.answer()
  t.equal(await next, 'NEXT')
  await Promise.all(first)
})

t.test('all that waits is refused where all has waited too long, and what comes after is sent', async t => {
  const { calls, add } = start()
  const first = await addAlone(add, ['a', 'b', 'c', 'd'])
  const late = Array.from({ length: 450 }, (_, i) => add(`${i}`))
  const since = performance.now()
  await until(async () => performance.now() - since > 1_600)
  const next = add('next')
  for (const call of calls.slice(0, 4)) call.answer()
  t.same(new Set((await Promise.allSettled(late)).map(({ status }) => status)), new Set(['rejected']))
  await until(async () => calls.length === 5)
  calls[4]!.answer()
  t.equal(await next, 'NEXT')
  await Promise.all(first)
})

t.test('a call carries so many items and bytes, and at least one', async t => {
  const max = { items: 3, bytes: 10 }
  const count = (...sizes: number[]) => countFitting(sizes.map(bytes => ({ bytes })), max)
  t.same([count(), count(1), count(1, 1, 1), count(1, 1, 1, 1), count(6, 4, 1), count(6, 5), count(20), count(20, 1)], [0, 1, 3, 3, 2, 1, 1, 1])
})
